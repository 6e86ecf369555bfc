from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sandbox.call_budget import SANDBOX_PARTS, CallBudget, CallLine, Share


def line(share: Share, granted: list[int]) -> CallLine:
    return share.line(granted.append)


def test_a_call_that_is_alone_always_passes() -> None:
    budget = CallBudget()
    granted: list[int] = []
    for number in range(3):
        line(budget.share(10, 10), granted).reserve(number, 100)
    assert granted == [0, 1, 2]
    assert budget.held == 300


def test_the_bound_of_a_sandbox_holds_over_its_invocations() -> None:
    share = CallBudget().share(10, 100)
    granted: list[int] = []
    one, two = line(share, granted), line(share, granted)
    one.reserve(1, 6)
    two.reserve(2, 3)
    two.reserve(3, 3)
    two.reserve(4, 1)
    assert granted == [1, 2]  # in order: the short one does not overtake
    one.release(1)
    assert granted == [1, 2, 3, 4]


def test_a_full_worker_leaves_each_sandbox_one_call() -> None:
    budget = CallBudget()
    greedy, modest = budget.share(100, 20), budget.share(100, 20)
    first: list[int] = []
    second: list[int] = []
    hog = line(greedy, first)
    for number in range(5):
        hog.reserve(number, 5)
    assert first == [0, 1, 2, 3]
    small = line(modest, second)
    small.reserve(1, 5)
    small.reserve(2, 5)
    assert second == [1]
    small.release(1)
    assert second == [1, 2]
    assert first == [0, 1, 2, 3]


def test_who_holds_the_whole_worker_and_sends_nothing_leaves_the_others_their_part() -> None:
    budget = CallBudget()
    hogs: list[int] = []
    for number in range(8):
        hog = line(budget.share(32, 256), hogs)
        hog.reserve(2 * number, 16)
        hog.reserve(2 * number + 1, 16)
    assert (len(hogs), budget.held) == (16, 256)
    granted: list[int] = []
    share = budget.share(32, 256)
    modest, beside = line(share, granted), line(share, granted)
    for number in range(5):
        modest.reserve(number, 4)
    assert granted == [0, 1, 2, 3]  # a sixteenth
    beside.reserve(7, 1)  # its first one
    beside.reserve(8, 1)
    assert granted == [0, 1, 2, 3, 7]
    modest.release(0)
    assert granted == [0, 1, 2, 3, 7, 8]  # in order, and the 4 would be too much beside
    modest.release(1)
    assert granted == [0, 1, 2, 3, 7, 8, 4]


def test_those_that_wait_for_the_worker_are_served_in_turn() -> None:
    budget = CallBudget()
    holder: list[int] = []
    full = line(budget.share(100, 30), holder)
    full.reserve(0, 30)
    granted: list[list[int]] = [[], []]
    lines = [line(budget.share(100, 30), numbers) for numbers in granted]
    for one in lines:
        for number in range(3):
            one.reserve(number, 7)
    assert granted == [[0], [0]]
    # Room for two: one for each, not two for the first.
    full.close()
    assert granted == [[0, 1], [0, 1]]
    lines[1].close()
    assert granted == [[0, 1, 2], [0, 1]]


def test_what_waits_is_forgotten_with_its_invocation() -> None:
    budget = CallBudget()
    granted: list[int] = []
    one = line(budget.share(10, 10), granted)
    one.reserve(1, 10)
    one.reserve(2, 10)
    one.close()
    one.close()
    one.release(1)
    assert granted == [1]
    assert budget.held == 0


@given(st.data())
def test_every_call_is_granted_and_the_bounds_hold(data: st.DataObject) -> None:
    budget = CallBudget()
    shares = [budget.share(20, 40) for _ in range(3)]
    granted: list[tuple[int, int]] = []

    def line_of(index: int) -> CallLine:
        return shares[index % 3].line(lambda call: granted.append((index, call)))

    lines = [line_of(index) for index in range(6)]
    sizes: dict[tuple[int, int], int] = {}
    for call in range(data.draw(st.integers(0, 40))):
        index = data.draw(st.integers(0, 5))
        sizes[index, call] = data.draw(st.integers(1, 16))
        lines[index].reserve(call, sizes[index, call])
        if granted:
            index, over = data.draw(st.sampled_from(granted))
            lines[index].release(over)
        assert budget.held <= 40 + 3 * (40 // SANDBOX_PARTS) + 6 * 16
    done = 0
    while done < len(granted):
        index, call = granted[done]
        lines[index].release(call)
        done += 1
    assert sorted(granted) == sorted(sizes)
    assert budget.held == 0
