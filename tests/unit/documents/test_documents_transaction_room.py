"""How many transactions may be open, and whose."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from runtime.documents.transaction_room import (
    TooManyTransactionsError,
    TransactionBounds,
    TransactionRoom,
)
from runtime.errors import OverloadedError

BOUNDS = TransactionBounds(per_user=2, per_space=5, total=8, reserved_percent=20)


def refused(room: TransactionRoom, space_id: str, user_id: str | None) -> str:
    """Which bound; empty when there was room."""
    try:
        room.take(space_id, user_id)
    except TooManyTransactionsError:
        return "PER_USER"
    except OverloadedError as error:
        return error.message.partition("YUNHAN_DATABASE_TRANSACTIONS_")[2].partition(")")[0]
    return ""


def test_who_is_refused_is_told_in_the_sdks_words_and_whose_turn_it_is() -> None:
    room = TransactionRoom(TransactionBounds(per_user=1, per_space=2, total=2, reserved_percent=0))
    room.take("mp-1", "tom")
    with pytest.raises(TooManyTransactionsError, match=r"this user has 1 .* commit or roll") as own:
        room.take("mp-1", "tom")
    room.take("mp-1", None)
    with pytest.raises(OverloadedError, match=r"mp-1.*2 are open") as all_of_it:
        room.take("mp-1", None)
    assert own.value.code == all_of_it.value.code == "Throttling.Api.Concurrency"


def test_a_user_has_a_bound_in_each_space() -> None:
    room = TransactionRoom(BOUNDS)
    assert [refused(room, "a", "tom") for _ in range(3)] == ["", "", "PER_USER"]
    assert refused(room, "b", "tom") == ""
    assert refused(room, "a", "jerry") == ""
    room.leave("a", "tom")
    assert refused(room, "a", "tom") == ""


def test_functions_have_none() -> None:
    room = TransactionRoom(BOUNDS)
    assert [refused(room, "a", None) for _ in range(6)] == [*[""] * 5, "PER_SPACE_MAX"]


def test_clients_leave_room_in_their_space() -> None:
    room = TransactionRoom(BOUNDS)
    assert [refused(room, "a", str(user)) for user in range(4)] == [""] * 4
    assert refused(room, "a", "one more") == "PER_SPACE_MAX without _RESERVED_PERCENT"
    assert refused(room, "a", None) == ""
    assert refused(room, "a", None) == "PER_SPACE_MAX"
    room.leave("a", "0")
    assert refused(room, "a", None) == ""


def test_what_functions_have_is_not_taken_from_the_clients_part() -> None:
    room = TransactionRoom(BOUNDS)
    room.take("a", None)
    assert [refused(room, "a", str(user)) for user in range(4)] == [""] * 4


def test_clients_leave_room_in_the_process() -> None:
    room = TransactionRoom(BOUNDS)
    for number in range(7):  # 8 without 20 %, rounded down
        room.take(f"space-{number}", "tom")
    assert refused(room, "b", "tom") == "MAX without _RESERVED_PERCENT"
    assert refused(room, "b", None) == ""
    assert refused(room, "b", None) == "MAX"


@pytest.mark.parametrize(
    ("bound", "percent", "left"), [(1, 90, 1), (50, 20, 40), (8, 20, 7), (5, 0, 5), (500, 90, 50)]
)
def test_the_part_of_clients(bound: int, percent: int, left: int) -> None:
    bounds = TransactionBounds(per_user=1, per_space=1, total=1, reserved_percent=percent)
    assert bounds.for_clients(bound) == left


def test_what_was_refused_takes_no_room_and_nothing_is_left_behind() -> None:
    generator = random.Random(7)
    room = TransactionRoom(BOUNDS)
    held: list[tuple[str, str | None]] = []
    for _ in range(2000):
        whose = (generator.choice("abc"), generator.choice([None, "tom", "jerry", "spike"]))
        if held and generator.random() < 0.5:
            room.leave(*held.pop(generator.randrange(len(held))))
        elif not refused(room, *whose):
            held.append(whose)
        clients = [each for each in held if each[1] is not None]
        assert len(held) <= BOUNDS.total
        assert len(clients) <= 7
        assert max(Counter(clients).values(), default=0) <= BOUNDS.per_user
        assert max(Counter(space for space, _ in held).values(), default=0) <= BOUNDS.per_space
        assert max(Counter(space for space, _ in clients).values(), default=0) <= 4
    for whose in held:
        room.leave(*whose)
    # There is no end of users: a name without a count would stay for ever.
    fresh = TransactionRoom(BOUNDS)
    assert room._of_user == fresh._of_user
    assert repr(vars(room._room)) == repr(vars(fresh._room))
