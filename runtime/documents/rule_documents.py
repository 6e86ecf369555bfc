"""The guide's one document for all collections <-> a policy for each. Pure.

    {"db": {"<collection>": {".read": ..., ".write": ...}, "*": {...}}}

The text of each rule goes over as it is, so that its order and odd members survive.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from runtime.documents.rule_text import RULE_MAX_CHARACTERS, rule_of
from runtime.messages import CollectionPolicy, PolicyName
from runtime.placed_json import Object
from runtime.rule_json import members_once, raise_faults, read_placed

DOCUMENT_MAX_CHARACTERS = 100 * RULE_MAX_CHARACTERS


def policies_of_document(text: str) -> dict[str, CollectionPolicy]:
    """By collection, in the order of the text. Raises RuleTextError with every fault."""
    node, lines = read_placed(text, DOCUMENT_MAX_CHARACTERS)
    faults: list[tuple[int, str]] = []
    policies: dict[str, CollectionPolicy] = {}
    members = members_once(node, faults) if isinstance(node, Object) else {}
    for name, (key, _) in members.items():
        if name != "db":
            faults.append((key.start, f"{name!r} is unknown: the document has one member, 'db'"))
    database = members["db"][1] if "db" in members else None
    if not isinstance(database, Object):
        place = node.start if database is None else database.start
        faults.append((place, 'the document is an object of collections in {"db": {...}}'))
    else:
        for name, (key, rule) in members_once(database, faults).items():
            if not name:
                faults.append((key.start, "the name of a collection is not empty"))
            rule_of(rule, faults)
            if rule.end - rule.start > RULE_MAX_CHARACTERS:
                faults.append(
                    (
                        rule.start,
                        f"a collection's rule has at most {RULE_MAX_CHARACTERS} characters",
                    )
                )
            policies[name] = CollectionPolicy(
                name=PolicyName.EXTENDED, text=text[rule.start : rule.end]
            )
    raise_faults(faults, lines)
    return policies


def document_of_policies(policies: Mapping[str, CollectionPolicy]) -> str:
    """The document that `policies_of_document` reads; texts of presets lose their names."""
    rules = [
        f"        {json.dumps(collection, ensure_ascii=False)}: {policy.text.strip()}"
        for collection, policy in policies.items()
    ]
    inside = "\n" + ",\n".join(rules) + "\n    " if rules else ""
    return f'{{\n    "db": {{{inside}}}\n}}\n'
