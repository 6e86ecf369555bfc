"""Why the product answers otherwise than published, on purpose: the marks `ours` of the tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PURPOSES: Final[Mapping[str, str]] = {
    "let": "no SDK has the option: ignored, so that its variables are unknown",
    "collation": "an option of aggregate alone, ignored elsewhere",
    "sort": "updateOne and replaceOne have no such option: ignored",
    "ordered": "insertMany inserts in order, up to the first that is refused",
    "before": "findOneAndReplace gives the document before the change",
    "keys": "keys of stored documents have no dollar and, in inserts, no dot",
    "pipeline": "an update is an object of operators",
    "elsewhere": "$out and $merge are not on the list of stages",
    "transaction": "the SDKs have no such command inside a transaction",
    "over": "a transaction that is over has no id that anything could be asked of",
}
"""By mark (spec: database commands §2, §4 to §6; ARCHITECTURE.md: operators are an allow-list)."""
