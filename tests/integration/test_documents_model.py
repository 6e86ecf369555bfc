"""Random commands through the database service, against a plain model (`tests.harness.document_model`).

After every command the answer and the whole collection, owners included, are what the model says. Three ways:
as a function (no rule holds), as several users under access rules, and with transactions. Before the embedded
server, and before a real MongoDB where MONGODB_URI names one.

Seeded, so that a failure is the same everywhere. `YUNHAN_TEST_MODEL_EXAMPLES=2000` makes as many random
histories instead; a failure says how to repeat it, and `-s` shows how many commands there were.

What the embedded server answers otherwise than MongoDB, and is not asked therefore (`wrong_in_embedded`):

- `distinct` drops values behind arrays of documents, and merges 1 and true;
- `findOneAndUpdate` with two operators for one field is no error where no document matches;
- a `$project` that excludes `s.x` leaves it in the items of an array `s`;
- expressions such as `$s.x` find nothing in the items of an array `s`;
- a `sort` by `s.x` passes over items of an array `s` that have no `x` (no sort has such a path).

It also visits the fields of an update in the order of the update, where MongoDB takes that of their names:
this decides the order of new fields, and which of two errors comes first. The model follows it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from runtime.documents.rules import Rules, policy_of
from runtime.messages import IN_TRANSACTION, READS, PolicyName
from tests.harness import document_model_commands as commands
from tests.harness.document_model import Answer, Caller, Collection, Entry, ModelError, values_of
from tests.harness.document_model_agreement import agree, agree_on_contents
from tests.harness.document_model_stage import Stage, Told, staged
from tests.harness.document_model_transactions import Transaction, changed_ids
from tests.harness.document_model_updates import check_update
from tests.harness.document_model_values import ObjectId, is_number, same
from tests.harness.documents import Documents

EXAMPLES = int(os.environ.get("YUNHAN_TEST_MODEL_EXAMPLES", "0"))
SHRINKING_S = 300
"""The longest that hypothesis looks for the shortest history that fails."""

pytestmark = [pytest.mark.integration, pytest.mark.timeout(SHRINKING_S + 120 + EXAMPLES)]

OVER, DENIED, CONFLICT = "251", "PermissionDenied", "112"
OWNER_ONLY = '"resource.auth.userId == request.auth.userId"'
RULES = Rules.of(
    {
        "mine": policy_of(
            PolicyName.EXTENDED, f'{{".read": {OWNER_ONLY}, ".write": {OWNER_ONLY}}}'
        ),
        "posts": policy_of(PolicyName.PUBLICREAD),
        "open": policy_of(PolicyName.EXTENDED, '{"*": true}'),
        "letters": policy_of(PolicyName.EXTENDED, '{".read": false, ".write": true}'),
        "box": policy_of(PolicyName.EXTENDED, f'{{".read": {OWNER_ONLY}, ".write": true}}'),
        "closed": policy_of(PolicyName.ADMINREADWRITEONLY),
    }
)
ALL, OWN, NONE = "all", "own", "none"
GRANTS = {
    "mine": {"read": OWN, "write": OWN},
    "posts": {"read": ALL, "write": OWN},
    "open": {"read": ALL, "write": ALL},
    "letters": {"read": NONE, "write": ALL},
    "box": {"read": OWN, "write": ALL},
    "closed": {"read": NONE, "write": NONE},
}
"""What the rules say, written down once more."""

Params = dict[str, Any]


@pytest.fixture(scope="module", params=["embedded", "mongodb"])
def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    if request.param == "mongodb":
        url = os.environ.get("MONGODB_URI", "")
        if not url:
            pytest.skip("no real MongoDB: set MONGODB_URI")
        with staged(url, embedded=False) as stage:
            yield stage
        return
    documents = Documents(tmp_path_factory.mktemp("documents")).start()
    try:
        with staged(documents.url, embedded=True) as stage:
            yield stage
    finally:
        documents.stop()


class Histories(RuleBasedStateMachine):
    """A stage, and the model of its collections."""

    stage: ClassVar[Stage]
    collection_names: ClassVar[Sequence[str]] = ("docs",)

    def __init__(self) -> None:
        super().__init__()
        by_name = not self.stage.embedded
        self.collections = {name: Collection(by_name=by_name) for name in self.collection_names}
        for name in self.collection_names:
            self.stage.clear(name)

    def compare(
        self, params: Params, name: str, caller: Caller | None, ask: Callable[[Params], Told]
    ) -> None:
        """Ask both. Without a `caller` the rules refuse it."""
        collection = self.collections[name]
        if self.stage.embedded and wrong_in_embedded(params, collection):
            return
        told = ask({**params, "collection": name})
        contents = self.stage.contents(name)
        agree(told, [answered(params, collection, caller, made_ids(contents, collection))])
        agree_on_contents(contents, collection.entries)


class FunctionHistories(Histories):
    """One collection, no rules."""

    @initialize(params=commands.insert_many)
    def begin_with_documents(self, params: Params) -> None:
        self.ask(params)

    @rule(params=commands.commands)
    def ask(self, params: Params) -> None:
        self.compare(params, "docs", Caller(), self.stage.trusted)

    @rule(several=st.lists(commands.reads, min_size=2, max_size=4))
    def read(self, several: list[Params]) -> None:
        for params in several:
            self.ask(params)


def test_functions_get_what_the_model_says(stage: Stage) -> None:
    run_histories(FunctionHistories, stage, examples=20)


class UserHistories(Histories):
    """Users, and one who has no id, under every kind of rule; functions beside them, also for a user."""

    collection_names = tuple(GRANTS)
    users = st.sampled_from(["u1", "u2", "anonymous-1", None])
    names = st.sampled_from(["mine", "mine", "posts", "posts", "open", "letters", "box", "closed"])

    @rule(params=commands.commands, name=names, user_id=users)
    def ask(self, params: Params, name: str, user_id: str | None) -> None:
        caller = client_of(name, params["command"], user_id)
        self.compare(params, name, caller, lambda asked: self.stage.client(asked, RULES, user_id))

    @rule(params=commands.commands, name=names, user_id=users)
    def ask_by_a_function(self, params: Params, name: str, user_id: str | None) -> None:
        caller = Caller(owner=user_id)
        self.compare(params, name, caller, lambda asked: self.stage.trusted(asked, user_id))


def test_users_reach_what_the_rules_let_through(stage: Stage) -> None:
    run_histories(UserHistories, stage, examples=20)


def client_of(name: str, command: str, user_id: str | None) -> Caller | None:
    """A client under the rules of a collection; None: refused. A write that answers a document is about those
    only that may be read, too; where none may be, it answers nothing."""
    grant = grant_of(name, "read" if command in READS else "write", user_id)
    shown = True
    if command.startswith("findOneAnd"):
        read = grant_of(name, "read", user_id)
        shown = read != NONE
        grant = OWN if OWN in (grant, read) and NONE not in (grant, read) else grant
    if grant == NONE:
        return None
    reaches = (lambda owner: owner == user_id) if grant == OWN else (lambda _: True)
    return Caller(reaches, user_id, shown)


def grant_of(name: str, operation: str, user_id: str | None) -> str:
    """Who has no id owns nothing."""
    grant = GRANTS[name][operation]
    return NONE if grant == OWN and user_id is None else grant


class TransactionHistories(Histories):
    """Two transactions at most, and others beside them, who read everything and change documents that no
    transaction has changed: those they would have to wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.open: dict[str, Transaction] = {}
        self.ended: list[str] = []
        self.conflicted: list[str] = []

    @property
    def committed(self) -> Collection:
        return self.collections["docs"]

    several = st.lists(commands.in_transaction, min_size=1, max_size=3)

    @initialize(params=commands.insert_many)
    def begin_with_documents(self, params: Params) -> None:
        self.compare(params, "docs", Caller(), self.stage.trusted)

    @rule(several=several)
    @precondition(lambda self: len(self.open) < 2)
    def begin(self, several: list[Params]) -> None:
        told = self.stage.trusted({"command": "startTransaction", "options": {}})
        assert told.data is not None
        assert told.data["affectedDocs"] == 0
        self.open[told.data["transactionId"]] = Transaction()
        self.ask_inside(several, len(self.open) - 1)

    @rule(several=several, number=st.integers(0, 1))
    @precondition(lambda self: self.open)
    def ask_inside(self, several: list[Params], number: int) -> None:
        identity, transaction = self._pick(number)
        for params in several:
            if identity in self.open:
                self._ask_inside(params, identity, transaction)

    def _ask_inside(self, params: Params, identity: str, transaction: Transaction) -> None:
        if self.stage.embedded and wrong_in_embedded(params, transaction.view or self.committed):
            return
        told = self.stage.trusted({**params, "collection": "docs", "transactionId": identity})
        others = [each for each in self.open.values() if each is not transaction]
        agree(told, transaction.run(params, told, self.committed, others))
        if told.code:
            transaction.fail()
        if told.code in (CONFLICT, OVER):
            self._end(identity)
            self.conflicted.append(identity)

    @rule(number=st.integers(0, 1))
    @precondition(lambda self: self.open)
    def commit(self, number: int) -> None:
        identity, transaction = self._pick(number)
        told = self._finish("commitTransaction", identity)
        if transaction.failed:
            assert told.code == OVER
            return
        assert told.data == {"affectedDocs": 0, "result": None}
        self.committed.entries = transaction.merged(self.committed.entries)
        for each in self.open.values():
            each.overtaken_by(transaction.written)

    @rule(number=st.integers(0, 1))
    @precondition(lambda self: self.open)
    def roll_back(self, number: int) -> None:
        identity, _ = self._pick(number)
        assert self._finish("abortTransaction", identity).data == {
            "affectedDocs": 0,
            "result": None,
        }

    @rule()
    @precondition(lambda self: self.conflicted)
    def roll_back_after_a_conflict(self) -> None:
        asked = {"command": "abortTransaction", "transactionId": self.conflicted.pop()}
        assert self.stage.trusted(asked).data == {"affectedDocs": 0, "result": None}
        assert self.stage.trusted(asked).code == OVER

    @rule(params=commands.in_transaction, command=st.sampled_from(["commitTransaction", ""]))
    @precondition(lambda self: self.ended)
    def ask_after_the_end(self, params: Params, command: str) -> None:
        asked = {**params, "collection": "docs", "transactionId": self.ended[-1]}
        assert self.stage.trusted({**asked, "command": command or params["command"]}).code == OVER

    @rule(params=commands.reads)
    def read_outside(self, params: Params) -> None:
        self.compare(params, "docs", Caller(), self.stage.trusted)

    @rule(params=commands.writes_of_exactly_one)
    def write_outside(self, params: Params) -> None:
        identity = params["filter"]["_id"]
        if any(each.has_written(identity) for each in self.open.values()):
            return
        before = self.committed.entries
        self.compare(params, "docs", Caller(), self.stage.trusted)
        for each in self.open.values():
            each.overtaken_by(changed_ids(before, self.committed.entries))

    def _pick(self, number: int) -> tuple[str, Transaction]:
        return list(self.open.items())[number % len(self.open)]

    def _finish(self, command: str, identity: str) -> Told:
        told = self.stage.trusted({"command": command, "transactionId": identity, "options": {}})
        self._end(identity)
        return told

    def _end(self, identity: str) -> None:
        del self.open[identity]
        self.ended.append(identity)

    @invariant()
    def others_see_what_was_committed(self) -> None:
        contents = self.stage.contents("docs")
        expected = self.committed.entries
        assert len(contents) == len(expected)
        # Which of several inserts counts as the first is the server's affair.
        self.committed.entries = [
            next(each for each in expected if same(each.document["_id"], one.document["_id"]))
            for one in contents
        ]
        agree_on_contents(contents, self.committed.entries)

    def teardown(self) -> None:
        for identity in self.open:
            self.stage.trusted({"command": "abortTransaction", "transactionId": identity})


def test_transactions_are_seen_as_a_whole_or_not_at_all(stage: Stage) -> None:
    run_histories(TransactionHistories, stage, examples=20)


def run_histories(machine: type[Histories], stage: Stage, *, examples: int) -> None:
    Histories.stage = stage
    stage.asked.clear()
    stage.refused.clear()
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES or examples,
            stateful_step_count=40,
            derandomize=not EXAMPLES,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(f"{sum(stage.asked.values())} answers {dict(stage.asked)}, errors {dict(stage.refused)}")
    assert set(stage.asked) >= {verb.value for verb in IN_TRANSACTION}
    assert stage.refused


def wrong_in_embedded(params: Mapping[str, Any], collection: Collection) -> bool:
    """See the module."""
    documents = [each.document for each in collection.entries]
    if params["command"] == "distinct":
        *way, _ = params["key"].split(".")
        if way and any(isinstance(each.get(way[0]), list) for each in documents):
            return True
        values = [value for each in documents for value in values_of(each, params["key"])]
        return any(isinstance(value, bool) for value in values) and any(map(is_number, values))
    if params["command"] == "aggregate":
        heads = re.findall(r"\$(\w+)\.", str(params["pipeline"]))
        for stage in params["pipeline"]:
            excluded = [path for path, each in stage.get("$project", {}).items() if each == 0]
            heads += [path.split(".")[0] for path in excluded if "." in path]
        return any(isinstance(each.get(head), list) for head in heads for each in documents)
    if params["command"] == "findOneAndUpdate":
        try:
            check_update(params["update"])
        except ModelError:
            return True
    return False


def made_ids(contents: list[Entry], collection: Collection) -> Iterator[str]:
    """The ids that the server made since the model was the same."""
    for entry in contents:
        identity = entry.document["_id"]
        given = not isinstance(identity, ObjectId) or identity.text in commands.OBJECT_IDS
        if not given and not any(
            same(identity, each.document["_id"]) for each in collection.entries
        ):
            yield identity.text


def answered(
    params: Params, collection: Collection, caller: Caller | None, made: Iterator[str]
) -> Answer | ModelError:
    if caller is None:
        return ModelError(DENIED)
    try:
        answer = collection.run(params, caller, iter(list(made)))
    except ModelError as error:
        return error
    return answer if caller.shown else replace(answer, result=None)
