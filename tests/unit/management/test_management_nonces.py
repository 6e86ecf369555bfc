"""A nonce counts once in its window."""

import pytest

from runtime.errors import CallerError, OverloadedError
from runtime.gateway.management.nonces import NonceWindow


class ManualClock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def now_ms(self) -> int:
        return int(self.seconds * 1000)

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_a_nonce_is_refused_the_second_time(clock: ManualClock) -> None:
    window = NonceWindow(clock=clock, keep_s=60, max_nonces=10)
    window.use("key", "n1")
    with pytest.raises(CallerError) as caught:
        window.use("key", "n1")
    assert caught.value.code == "SignatureNonceUsed"
    window.use("key", "n2")
    window.use("other key", "n1")


def test_a_nonce_is_remembered_for_the_whole_window_and_not_longer(clock: ManualClock) -> None:
    window = NonceWindow(clock=clock, keep_s=60, max_nonces=10)
    window.use("key", "n1")
    clock.seconds += 60
    with pytest.raises(CallerError):
        window.use("key", "n1")
    clock.seconds += 0.001
    window.use("key", "n1")


def test_a_full_window_refuses_and_empties_with_time(clock: ManualClock) -> None:
    window = NonceWindow(clock=clock, keep_s=60, max_nonces=2)
    window.use("key", "n1")
    window.use("key", "n2")
    with pytest.raises(OverloadedError):
        window.use("key", "n3")
    assert len(window) == 2
    clock.seconds += 61
    window.use("key", "n3")
    assert len(window) == 1
