"""What is on a bill: figures of loading and of running, and nothing that is not known."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.billing import Spent, make_bill
from runtime.messages import CallKind
from runtime.ports import HttpTraffic
from runtime.services import methods
from runtime.services.methods import kind_of
from sandbox.api import Usage


def spent(**changes: Any) -> Spent:
    parts: dict[str, Any] = {
        "queue_ms": 1.0,
        "cold": False,
        "start_ms": 0.0,
        "load": None,
        "run": Usage(run_ms=5.0),
        "run_ms": 7.0,
        "calls": {},
        "proxied": HttpTraffic(),
    }
    return Spent(**{**parts, **changes})


def gated(connections: int, refused: int, size: int, **changes: Any) -> Usage:
    return Usage(
        egress_connections=connections, egress_refused=refused, egress_bytes=size, **changes
    )


def test_egress_of_loading_and_running_is_added() -> None:
    bill = make_bill(
        spent(cold=True, load=gated(1, 2, 30, run_ms=4.0), run=gated(10, 20, 300, run_ms=5.0))
    )
    assert (bill.egress_connections, bill.egress_refused, bill.egress_bytes) == (11, 22, 330)
    assert (bill.load_ms, bill.run_ms) == (4.0, 5.0)


def test_what_the_worker_sent_is_egress_like_the_rest() -> None:
    proxied = HttpTraffic(connections=1, refused=2, bytes_moved=30)
    bill = make_bill(spent(run=gated(10, 20, 300), proxied=proxied))
    assert (bill.egress_connections, bill.egress_refused, bill.egress_bytes) == (11, 22, 330)
    unknown = make_bill(spent(run=Usage(), proxied=proxied))
    assert (unknown.egress_connections, unknown.egress_bytes) == (None, None)


@pytest.mark.parametrize(
    ("load", "run", "connections"),
    [
        (None, Usage(), None),
        (gated(1, 0, 0), Usage(), None),
        (gated(1, 0, 0), None, 1),
        (None, gated(0, 0, 0), 0),
        (None, None, None),
    ],
)
def test_egress_that_was_not_counted_is_not_zero(
    load: Usage | None, run: Usage | None, connections: int | None
) -> None:
    assert make_bill(spent(load=load, run=run)).egress_connections == connections


def test_a_run_that_cannot_tell_its_time_is_measured_from_outside() -> None:
    assert make_bill(spent(run=Usage())).run_ms == 7.0
    assert make_bill(spent(run=Usage(run_ms=0.0))).run_ms == 0.0


def test_a_function_that_was_not_loaded_did_not_run() -> None:
    bill = make_bill(spent(cold=True, load=Usage(run_ms=3.0), run=None, run_ms=0.0))
    assert (bill.load_ms, bill.run_ms, bill.cpu_ms) == (3.0, 0.0, None)


def test_a_bill_keeps_its_counts() -> None:
    calls = {CallKind.DB: 1}
    bill = make_bill(spent(calls=calls))
    calls[CallKind.DB] = 2
    assert bill.calls == {CallKind.DB: 1}


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("serverless.function.runtime.invoke", CallKind.FUNCTION),
        ("serverless.db.default.execute", CallKind.DB),
        ("serverless.file.resource.info", CallKind.FILE),
        ("serverless.auth.user.getProfileInfo", CallKind.USER),
        ("serverless.http.proxy.request", CallKind.HTTP),
        ("serverless.redis.cli", CallKind.OTHER),
        ("serverless.dbx", CallKind.OTHER),
        ("", CallKind.OTHER),
    ],
)
def test_kinds_of_calls(method: str, kind: CallKind) -> None:
    assert kind_of(method) is kind


def test_only_what_has_no_figure_of_its_own_is_other() -> None:
    served = {value for name, value in vars(methods).items() if name.isupper() and "." in value}
    assert len(served) == 11
    assert {each for each in served if kind_of(each) is CallKind.OTHER} == {"serverless.redis.cli"}
