"""The checks of the fault tests of files: sound on random histories, and they notice what they are for."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from math import inf

import pytest

from runtime.messages import Blob, FileRecord
from tests.chaos.files_history import Content, History, Kind, PathHistory, Request, Told
from tests.chaos.files_store import Kept, StoredBytes, disagreements

PATH = "共享 files/a.bin"
KEY = "files/mp-1/u1-0001"
MD5 = "ab" * 16
UPLOAD, REPORT, DELETE = Kind.UPLOAD, Kind.REPORT, Kind.DELETE


def request(
    kind: Kind, began: float, ended: float, digest: str = "", *, told: Told = Told.DONE
) -> Request:
    return Request(kind, began, digest=digest, ended=ended, told=told)


def unanswered(kind: Kind, began: float, ended: float, digest: str = "") -> Request:
    return request(kind, began, ended, digest, told=Told.NOTHING)


def possible(*requests: Request) -> set[Content]:
    return set(PathHistory(list(requests)).possible())


A = [request(UPLOAD, 1, 2, "a"), request(REPORT, 3, 4)]
B = [request(UPLOAD, 5, 6, "b"), request(REPORT, 7, 8)]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ([], {None}),
        (A, {"a"}),
        ([*A, *B], {"b"}),
        ([*A, B[0]], {"a"}),
        ([*A, request(DELETE, 5, 6)], {None}),
        ([*A, unanswered(DELETE, 5, 9)], {"a", None}),
        ([*A, request(DELETE, 5, 6, told=Told.REFUSED)], {"a"}),
        ([*A, B[0], unanswered(REPORT, 7, 9)], {"a", "b"}),
        ([*A, unanswered(UPLOAD, 5, 9, "b")], {"a"}),
        ([*A, unanswered(UPLOAD, 5, 6, "b"), request(REPORT, 7, 8)], {"a", "b"}),
        ([A[0], request(DELETE, 2.2, 2.8), A[1]], {"a"}),
        (
            [*A, request(UPLOAD, 5, 8, "b"), request(UPLOAD, 6, 7, "c"), request(REPORT, 9, 10)],
            {"b", "c"},
        ),
        ([A[0], request(REPORT, 30, 31)], {"a", None}),
    ],
)
def test_what_may_be_there(made: list[Request], expected: set[Content]) -> None:
    assert possible(*made) == expected


@dataclass
class Model:
    """What the product promises of one path."""

    current: Content = None
    stored: list[str] = field(default_factory=list)

    def do(self, each: Request) -> bool:
        """False: refused."""
        match each.kind:
            case Kind.UPLOAD:
                self.stored.append(each.digest)
            case Kind.REPORT if self.stored:
                self.current = self.stored[-1]
                self.stored.clear()
            case Kind.DELETE if self.current is not None:
                self.current = None
            case _:
                return self.current is not None
        return True


def random_history(
    dice: random.Random, *, at_once: bool, answered: float
) -> tuple[PathHistory, Content]:
    """Requests with their effects at a moment of their time, and what is there in the end. All within the
    time in which uploads can be reported."""
    requests, moments = [], []
    now = 0.0
    for number in range(dice.randrange(1, 12)):
        began = dice.uniform(0, 6) if at_once else now + 0.1
        each = Request(
            dice.choice(list(Kind)), began, digest=f"{number}", ended=began + dice.uniform(0.1, 0.5)
        )
        now = each.ended
        requests.append(each)
        moments.append(dice.uniform(each.began, each.ended))
    model = Model()
    for _, each in sorted(zip(moments, requests, strict=True), key=lambda pair: pair[0]):
        if dice.random() < answered:
            each.told = Told.DONE if model.do(each) else Told.REFUSED
        elif dice.random() < 0.5:
            model.do(each)
    return PathHistory(sorted(requests, key=lambda each: each.began)), model.current


@pytest.mark.parametrize("answered", [1.0, 0.7])
def test_no_history_that_can_be_is_a_violation(answered: float) -> None:
    dice = random.Random(11)
    for _ in range(3000):
        history, current = random_history(dice, at_once=True, answered=answered)
        assert current in history.possible(), history
        assert list(history.wrongly_refused()) == [], history


def test_of_one_caller_exactly_one_content_is_possible() -> None:
    dice = random.Random(12)
    for _ in range(3000):
        history, current = random_history(dice, at_once=False, answered=1.0)
        assert history.possible() == {current}, history


def looks(history: History, *found: Content) -> list[str]:
    """Of the last look."""
    told: list[str] = []
    for content in found:
        told = list(history.look({PATH: content}))
    return told


def history_of(*requests: Request) -> History:
    history = History()
    history.paths[PATH] = PathHistory([replace(each) for each in requests])
    return history


@pytest.mark.parametrize(
    ("made", "found", "text"),
    [
        (A, ["a"], ""),
        (A, [None], "lost: no file, wanted a"),
        (A, ["HTTP 409 {}"], "lost: HTTP 409 {}, wanted a"),
        (A, ["f" * 64], "is nothing that was uploaded there"),
        ([*A, *B], ["a"], "is an old version, wanted b"),
        ([*A, request(DELETE, 5, 6)], ["a"], "although it was deleted"),
        ([A[0]], ["a"], "or never reported"),
        ([*A, unanswered(DELETE, 5, 9)], ["a", None], "changed by itself from a to no file"),
        ([*A, unanswered(DELETE, 5, 9)], [None, None], ""),
    ],
)
def test_looks_tell_what_is_wrong(made: list[Request], found: list[Content], text: str) -> None:
    told = looks(history_of(*made), *found)
    assert (len(told) == 1 and text in told[0]) if text else told == []


def test_an_upload_that_its_report_does_not_find_is_told() -> None:
    refused = request(REPORT, 3, 4, told=Told.REFUSED)
    assert len(list(history_of(A[0], refused).refusals())) == 1
    assert list(history_of(refused).refusals()) == []
    late = request(REPORT, 30, 31, told=Told.REFUSED)
    assert list(history_of(A[0], late).refusals()) == []
    taken = [unanswered(REPORT, 2.5, 9), unanswered(DELETE, 2.6, 9)]
    assert list(history_of(A[0], *taken, refused).refusals()) == []


def test_a_death_ends_what_was_under_way() -> None:
    history = History()
    first = history.begin(PATH, UPLOAD, 1.0, digest="a")
    second = history.begin(PATH, REPORT, 2.0)
    history.end(first, Told.DONE, 1.5)
    history.end(second, Told.NOTHING, 2.5)
    assert [each.kind for each in history.under_way()] == [REPORT]
    assert second.ended == inf
    history.die(3.0)
    assert (first.ended, second.ended, list(history.under_way())) == (1.5, 3.0, [])


RECORD = FileRecord(
    space_id="mp-1",
    file_id="f",
    path=PATH,
    owner_id=None,
    blob=Blob(key=KEY, size=3, md5=MD5, content_type="text/plain"),
    created_ms=1,
    modified_ms=1,
)
KEPT = Kept(blobs={KEY: StoredBytes(3, MD5)}, records=(RECORD,))


@pytest.mark.parametrize(
    ("kept", "listed", "found", "text"),
    [
        (KEPT, {PATH: 3}, "a", ""),
        (replace(KEPT, blobs={}), {PATH: 3}, "a", "a record without bytes"),
        (
            replace(KEPT, blobs={**KEPT.blobs, "files/mp-1/x": StoredBytes(0, MD5)}),
            {PATH: 3},
            "a",
            "bytes without",
        ),
        (
            replace(KEPT, blobs={KEY: StoredBytes(3, "cd" * 16)}),
            {PATH: 3},
            "a",
            "the record says 3 bytes",
        ),
        (
            replace(KEPT, blobs={KEY: StoredBytes(2, MD5)}),
            {PATH: 3},
            "a",
            "the record says 3 bytes",
        ),
        (
            replace(KEPT, records=(replace(RECORD, stale=("k",)),)),
            {PATH: 3},
            "a",
            "no sweep ended (stale ['k'])",
        ),
        (
            Kept(blobs={}, records=(replace(RECORD, blob=None),)),
            {},
            None,
            "a record that no sweep ended",
        ),
        (replace(KEPT, uploads=2), {PATH: 3}, "a", "2 uploads that no sweep ended"),
        (
            replace(KEPT, under_way=("spool/1.part",)),
            {PATH: 3},
            "a",
            "left of an upload: spool/1.part",
        ),
        (KEPT, {}, None, "listed with None bytes, recorded with 3"),
        (KEPT, {PATH: 4}, "a", "listed with 4 bytes, recorded with 3"),
        (KEPT, {PATH: 3}, None, "listed, but not there"),
    ],
)
def test_what_is_kept_must_agree(
    kept: Kept, listed: dict[str, int], found: Content, text: str
) -> None:
    told = list(disagreements(kept, listed=listed, found={PATH: found}))
    assert (len(told) == 1 and text in told[0]) if text else told == []


def test_what_is_there_must_be_listed() -> None:
    nothing = Kept(blobs={}, records=())
    assert list(disagreements(nothing, listed={}, found={PATH: "a"})) == [
        f"{PATH}: there, but not listed"
    ]
