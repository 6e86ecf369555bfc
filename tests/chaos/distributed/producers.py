"""Every way to ask for an asynchronous job, and the log of what was accepted."""

from __future__ import annotations

import http.client
import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aio_pika
from aio_pika.exceptions import AMQPError, DeliveryError

from tests.chaos.distributed import functions
from tests.chaos.distributed.amqp import Amqp
from tests.chaos.distributed.cluster import GATEWAYS, Cluster
from tests.chaos.distributed.tally import Submission
from tests.harness.management import ManagementError

WAYS: Mapping[str, int] = {"management": 40, "trigger": 28, "ctx": 16, "intake": 15, "cli": 1}
"""With their weights."""
_TIMEOUT_S = 45.0
_THROTTLED = "Throttling.Api.Concurrency"


class AcceptedLog:
    """Written before the next step, so that it knows whatever anybody was promised."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)

    def note(self, told: Submission) -> None:
        line = {"n": told.number, "state": told.state, "job": told.job_id, "way": told.way}
        self._file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        self._file.close()


class Producer:
    """Submits; tells whether it was accepted (it must run), refused (it must not) or unknown."""

    def __init__(self, cluster: Cluster, space_id: str, amqp: Amqp) -> None:
        self._cluster = cluster
        self._space_id = space_id
        self._amqp = amqp
        self._ask = {
            "management": self._management,
            "trigger": self._trigger,
            "ctx": self._ctx,
            "intake": self._intake,
            "cli": self._cli,
        }

    def submit(self, number: int, dice: random.Random, *, way: str, name: str) -> Submission:
        """`way` and `name` empty = by chance."""
        way = way or dice.choices(list(WAYS), list(WAYS.values()))[0]
        name = name or dice.choice(functions.ASYNCHRONOUS)
        if way == "trigger":
            name = functions.TRIGGERED
        args = functions.arguments(name, number, dice)
        gateway = dice.randrange(GATEWAYS)
        began = time.monotonic()
        job_id, state, why = "", "accepted", ""
        try:
            job_id = self._ask[way](gateway, name, args)
        except _RefusedError as error:
            state, why = "refused", str(error)
        except ManagementError as error:
            # An HTTP 4xx other than the throttle's is no fault of ours, and `judged` as such later.
            state = "refused" if error.status < 500 or error.code == _THROTTLED else "unknown"
            why = str(error)
        except DeliveryError as error:
            state, why = "refused", repr(error)
        except (
            OSError,
            http.client.HTTPException,
            ValueError,
            AMQPError,
            RuntimeError,
            _UnknownError,
        ) as error:
            state, why = "unknown", repr(error)
        seconds = time.monotonic() - began
        return Submission(
            number=number,
            name=name,
            way=way,
            state=state,
            seconds=seconds,
            job_id=job_id,
            why=why[:300],
        )

    def _management(self, gateway: int, name: str, args: dict[str, Any]) -> str:
        answer = self._cluster.management(gateway).call(
            "YunhanInvokeAsync", SpaceId=self._space_id, Name=name, Args=json.dumps(args)
        )
        return str(answer["JobId"])

    def _trigger(self, gateway: int, _name: str, args: dict[str, Any]) -> str:
        address = self._cluster.gateways[gateway].address
        request = urllib.request.Request(
            f"{address}/trigger/{self._space_id}{functions.TRIGGER_PATH}",
            data=json.dumps(args).encode(),
            headers={"X-Yunhan-Invocation": "async", "Content-Type": "text/plain"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
                if answer.status != 202:
                    raise _UnknownError(f"HTTP {answer.status}")
                return str(json.load(answer)["jobId"])
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode(errors="replace")
            refused = error.code == 429 or 400 <= error.code < 500
            raise (_RefusedError if refused else _UnknownError)(
                f"HTTP {error.code} {text}"
            ) from None

    def _ctx(self, gateway: int, name: str, args: dict[str, Any]) -> str:
        starter = {"i": -args["i"], "child": name, "args": args}
        answer = self._cluster.management(gateway).invoke(
            self._space_id, functions.STARTER, starter
        )
        if not answer["Success"]:
            raise _UnknownError(f"{answer['Outcome']} {answer['Error']}")
        result = json.loads(answer["Result"])
        if error := result.get("error"):
            raise _UnknownError(str(error))
        return str(result["jobId"])

    def _intake(self, _gateway: int, name: str, args: dict[str, Any]) -> str:
        self._amqp.publish(
            intake_message(self._space_id, name, args), f"{self._cluster.prefix}.intake", "v1"
        )
        return ""

    def _cli(self, _gateway: int, name: str, args: dict[str, Any]) -> str:
        words = ("invoke", name, "--space", self._space_id, "--args", json.dumps(args))
        done = self._cluster.cli(*words, "--async", "--json")
        if done.returncode:
            raise _UnknownError(f"exit code {done.returncode}: {done.stdout}{done.stderr}")
        return str(json.loads(done.stdout)["jobId"])


def intake_message(space_id: str, name: str, args: dict[str, Any]) -> aio_pika.Message:
    body = {
        "space": space_id,
        "function": name,
        "args": args,
        "idempotencyKey": f"number-{args['i']}",
    }
    return message(json.dumps(body).encode(), message_id=f"m-{args['i']}")


def message(body: bytes, *, message_id: str) -> aio_pika.Message:
    return aio_pika.Message(
        body,
        content_type="application/json",
        delivery_mode=2,
        user_id="guest",
        message_id=message_id,
    )


class _RefusedError(Exception):
    """It will not run."""


class _UnknownError(Exception):
    """It may run."""
