"""docs/database.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from runtime.documents.errors import (
    BAD_VALUE,
    DUPLICATE_KEY,
    EXCEEDED_MEMORY_LIMIT,
    MAX_TIME_EXPIRED,
    NO_SUCH_TRANSACTION,
    TYPE_MISMATCH,
    WRITE_CONFLICT,
)
from runtime.documents.rule_documents import policies_of_document
from runtime.documents.rules import Rules
from runtime.messages import ADMINISTRATION, READS, PolicyName, Verb
from runtime.settings import Settings
from runtime.wiring.limits import command_room_bounds, document_limits

ROOT = Path(__file__).parents[2]
BOOTSTRAP = ROOT / "node_bootstrap" / "src"
PAGE = (ROOT / "docs" / "database.md").read_text()
BOUND = re.compile(r"^\| [^|]+ \| (?P<defaults>[^|]+) \| (?P<names>`[^|]*`) \|$", re.MULTILINE)
BY_KIND = "another database than the embedded one"
UNITS = {"MiB": 1024 * 1024, "s": 1}


def shown(text: str) -> float:
    """A default as the table has it, without the unit of its setting."""
    number, _, unit = text.partition(" ")
    return float(number.replace(",", "")) * UNITS.get(unit, 1)


def test_the_table_has_the_defaults_of_the_settings() -> None:
    rows = [row for row in BOUND.finditer(PAGE) if BY_KIND not in row["defaults"]]
    assert len(rows) == 14
    for row in rows:
        names = re.findall(r"`(\w+)`", row["names"])
        defaults = row["defaults"].split("; ")
        assert len(names) == len(defaults)
        for name, default in zip(names, defaults, strict=True):
            field = Settings.model_fields[f"database_{name.lower()}"]
            factor = 1000 if name.endswith("_MS") else 1
            assert field.default == shown(default) * factor, name


def test_the_table_has_what_depends_on_the_kind_of_database() -> None:
    rows = [row for row in BOUND.finditer(PAGE) if BY_KIND in row["defaults"]]
    told = [re.findall(r"\d+", row["defaults"]) for row in rows]
    kinds = [Settings(), Settings(documents_url="mongodb://elsewhere")]
    degrees = [str(document_limits(kind).operators.regex_degree) for kind in kinds]
    rooms = [command_room_bounds(kind) for kind in kinds]
    commands = [str(bound) for room in rooms for bound in (room.per_space, room.total)]
    assert told == [degrees, commands]


def test_every_bound_is_in_the_table_but_those_of_transfers() -> None:
    told = {f"database_{name.lower()}" for name in re.findall(r"`([A-Z_]+)`", PAGE)}
    there = {name for name in Settings.model_fields if name.startswith("database_")}
    missing = there - told
    assert missing == {
        "database_regex_max_chars",
        "database_transactions_reserved_percent",
        "database_commands_reserved_percent",
        *(name for name in there if name.startswith("database_transfer_")),
    }


def test_it_says_how_large_requests_may_be() -> None:
    told = re.findall(r"(\d+) MiB \(`YUNHAN_(\w+)`\)", PAGE)
    assert {name for _, name in told} >= {"BODY_MAX_BYTES", "CALL_MAX_BYTES"}
    for number, name in told:
        assert Settings.model_fields[name.lower()].default == int(number) * UNITS["MiB"], name


def test_its_commands_and_methods_are_ours() -> None:
    service = (BOOTSTRAP / "database_service.mjs").read_text()
    methods = set(re.findall(r"^ +(?:async )?(\w+)\(.*\) \{$", service, re.MULTILINE))
    sample = re.search(r"```js\n(.*?)```", PAGE, re.DOTALL)
    assert sample is not None
    used = {name for name in re.findall(r"\.(\w+)\(", sample[1]) if name != "collection"}
    assert used == methods - {"collection"}
    assert all(f"`{verb}`" in PAGE for verb in ADMINISTRATION)


def test_its_rules_can_be_set_and_its_words_are_ours() -> None:
    [document] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert set(Rules.of(policies_of_document(document))._rules) == {"notes", "news", "*"}
    assert all(f"{verb}" in PAGE for verb in READS if verb is not Verb.FIND_ONE)
    assert all(name in PAGE for name in PolicyName if name is not PolicyName.EXTENDED)
    for number in (
        *(BAD_VALUE, TYPE_MISMATCH, MAX_TIME_EXPIRED, WRITE_CONFLICT),
        *(EXCEEDED_MEMORY_LIMIT, NO_SUCH_TRANSACTION, DUPLICATE_KEY),
    ):
        assert re.search(rf"\b{number}\b", PAGE), number
