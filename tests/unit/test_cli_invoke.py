"""Calling a function on the command line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.cli_support import (
    SPACE_ID,
    FakeManagement,
    Shell,
)

# --- invoke -------------------------------------------------------------------------------------


def test_invoke_prints_the_answer_as_json(shell: Shell, fake: FakeManagement) -> None:
    fake.answers["YunhanInvoke"] = {
        "RequestId": "req-1",
        "Success": True,
        "Outcome": "ok",
        "Result": '{"text":"你好"}',
        "Bill": {
            "QueueMs": 0.1,
            "Cold": True,
            "RunMs": 2.5,
            "PeakMemoryMb": None,
            "EgressConnections": 2,
            "EgressRefused": 0,
            "EgressBytes": 1234,
            "Calls": {"Function": 0, "Db": 3},
        },
    }
    result = shell.run("invoke", "greet", "--space", "first", "--args", '{"a": 1}', "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "success": True,
        "requestId": "req-1",
        "outcome": "ok",
        "result": {"text": "你好"},
        "bill": {
            "queueMs": 0.1,
            "cold": True,
            "runMs": 2.5,
            "peakMemoryMb": None,
            "egressConnections": 2,
            "egressRefused": 0,
            "egressBytes": 1234,
            "calls": {"function": 0, "db": 3},
        },
    }
    assert fake.asked("YunhanInvoke") == [
        {"SpaceId": SPACE_ID, "Name": "greet", "Args": '{"a": 1}'}
    ]
    told = shell.run("invoke", "greet", "--space", "first").stderr
    assert "2 connections, 1234 bytes over the network, 3 db calls" in told
    answer = fake.answers["YunhanInvoke"]
    assert isinstance(answer, dict)
    answer["Bill"] = {"EgressConnections": 1, "EgressRefused": 1, "Calls": {"Http": 1}}
    told = shell.run("invoke", "greet", "--space", "first").stderr
    assert told.endswith(": 1 connection, 1 connection refused, 1 http call\n")


def test_invoke_of_a_failing_function_is_exit_code_1(shell: Shell, fake: FakeManagement) -> None:
    fake.answers["YunhanInvoke"] = {
        "RequestId": "req-1",
        "Success": False,
        "Outcome": "timeout",
        "Error": {"Code": "RequestTimeout", "Message": "longer than 5 s", "Blame": "function"},
        "Bill": {"RunMs": 5000.0},
    }
    result = shell.run("invoke", "greet", "--space", "first", "--json")
    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert answer["error"] == {
        "code": "RequestTimeout",
        "message": "longer than 5 s",
        "blame": "function",
    }
    assert "result" not in answer
    told = shell.run("invoke", "greet", "--space", "first")
    assert told.stdout == ""
    assert "longer than 5 s" in told.stderr
    assert "yunhan logs greet --space first --request-id req-1" in told.stderr


def test_invoke_names_what_was_thrown(shell: Shell, fake: FakeManagement) -> None:
    error = {"Code": "FunctionBizError", "Message": "no", "Blame": "function", "Name": "TypeError"}
    fake.answers["YunhanInvoke"] = {
        "RequestId": "req-1",
        "Success": False,
        "Outcome": "function_error",
        "Error": error,
    }
    told = shell.run("invoke", "greet", "--space", "first").stderr
    assert told.startswith("function_error: TypeError: no (FunctionBizError, blame: function)")


def test_ctrl_c_says_that_the_call_goes_on(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("runtime.cli.invoke.invoke_function", interrupt)
    result = shell.run("invoke", "greet", "--space", "first")
    assert result.exit_code == 130
    assert "The call goes on; its log: yunhan logs greet --space first" in result.stderr


def test_invoke_refuses_arguments_that_are_not_json(shell: Shell, fake: FakeManagement) -> None:
    result = shell.run("invoke", "greet", "--space", "first", "--args", "{a: 1}")
    assert result.exit_code == 2
    assert fake.calls == []
