"""`make run`: starts `yunhan up`, deploys examples/ into the space "demo", shows one result, serves.

With --once it stops after the result. Exit code 0 only when everything went well. What it does, anybody
can do with the command line; it keeps a note in the data directory, so that a second run deploys
only what has changed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from runtime.cli.client import ManagementClient
from runtime.cli.connection import Connection, access_of, find_key, read_settings
from runtime.cli.deploy import pack, publish
from runtime.cli.errors import CliError, RemoteError, UnreachableError
from runtime.cli.function import describe_function
from runtime.cli.invoke import invoke_function
from runtime.cli.logs import LogFilter, LogReader, ShownLine
from runtime.cli.space import create_space, describe_space
from runtime.data_dir import DataDir
from runtime.settings import Settings

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SPACE = "demo"
WITH_TRIGGER = ("form", "page", "redirect", "webhook")
"""Examples that answer HTTP requests, at /http/NAME."""
START_TIMEOUT_S = 60.0
LOG_TIMEOUT_S = 15.0
STOP_EXTRA_S = 30.0
POLL_S = 0.05


class Note:
    """What an earlier run made: `{"spaceId", "functions": {name: {"digest", "deploymentId"}}}`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            found = json.loads(path.read_bytes())
        except (OSError, ValueError):
            found = {}
        self.space_id = str(found.get("spaceId", ""))
        self.functions: dict[str, dict[str, str]] = found.get("functions", {})

    def write(self) -> None:
        """Only a shortcut: when it is lost or wrong, everything is deployed again."""
        content = {"spaceId": self.space_id, "functions": self.functions}
        self._path.write_text(json.dumps(content, indent=2) + "\n")


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="stop after the first result")
    once = parser.parse_args().once
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        settings = read_settings()
        data_dir = DataDir(settings.data_dir)
        with running_program(settings) as (program, endpoint):
            key = find_key(access_of(settings))
            client = ManagementClient(Connection(endpoint=endpoint, key=key))
            note = Note(data_dir.root / "demo.json")
            keys = ensure_space(client, note)
            deploy_examples(client, note)
            note.write()
            show_first_call(client, note.space_id)
            print(f"endpoint       {keys['endpoint']}")
            print(f"space id       {keys['spaceId']}")
            print(f"client secret  {keys['clientSecret']}")
            triggers = client.call("YunhanDescribeHttpTriggerConfig", {"SpaceId": note.space_id})
            print(f"HTTP triggers  {triggers['PathEndpoint']}/http/page", flush=True)
            if once:
                return stop(program, settings)
            return serve(program, settings)
    except CliError as error:
        error.show()
        return error.exit_code
    except KeyboardInterrupt:
        return 130


@contextmanager
def running_program(settings: Settings) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`yunhan up` as a child, ready, and its endpoint. On the way out it is stopped if it still runs.

    It has a process group of its own: Ctrl-C in a terminal reaches us, and we pass it on once.
    """
    say("starting yunhan up")
    environment = {"YUNHAN_LOG_LEVEL": "warning", **os.environ}
    command = Path(sys.executable).with_name("yunhan")
    program = subprocess.Popen([command, "up"], env=environment, start_new_session=True)
    try:
        yield program, wait_until_ready(program, settings)
    finally:
        if program.poll() is None:
            stop(program, settings)


def wait_until_ready(program: subprocess.Popen[bytes], settings: Settings) -> str:
    """The endpoint of the child. Raises CliError when it ends or is not ready in time."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        status = program.poll()
        if status is not None:
            raise CliError(f"yunhan up ended with exit code {status}; see above.")
        running = DataDir(settings.data_dir).read_running()
        if running is not None and running.pid == program.pid:
            key = find_key(access_of(settings))
            client = ManagementClient(Connection(endpoint=running.endpoint, key=key))
            try:
                if client.is_ready():
                    return running.endpoint
            except UnreachableError:
                pass  # it listens before it says so; perhaps behind a proxy that is not up yet
        time.sleep(POLL_S)
    raise CliError(f"yunhan up is not ready after {START_TIMEOUT_S:.0f} s.")


def ensure_space(client: ManagementClient, note: Note) -> dict[str, str]:
    """The noted space, else one with our name, else a new one; its keys."""
    spaces = list(client.items("ListSpace", {}, key="Spaces"))
    ids = [str(space["SpaceId"]) for space in spaces if space["Name"] == SPACE]
    if ids:
        note.space_id = note.space_id if note.space_id in ids else ids[0]
        return describe_space(client, note.space_id)
    say(f"creating the space {SPACE}")
    keys = create_space(client, SPACE, "made by make run")
    note.space_id = keys["spaceId"]
    note.functions = {}
    return keys


def deploy_examples(client: ManagementClient, note: Note) -> None:
    """Every folder of examples/ whose zip is not live already."""
    for folder in sorted(path.parent for path in EXAMPLES.glob("*/index.js")):
        name = folder.name
        with tempfile.TemporaryDirectory(prefix="yunhan-") as out:
            packed = pack(folder, Path(out), _no_progress)
            if is_live(client, note, name, packed.digest):
                continue
            say(f"deploying examples/{name}")
            deployed = publish(client, note.space_id, name, packed, _no_progress)
        if name in WITH_TRIGGER:
            open_trigger(client, note.space_id, name)
        note.functions[name] = {
            "digest": deployed.digest,
            "deploymentId": deployed.deployment_id,
        }


def open_trigger(client: ManagementClient, space_id: str, function: str) -> None:
    """Let a function answer HTTP requests, and the space too."""
    path = f"/http/{function}"
    client.call("UpdateFunction", {"SpaceId": space_id, "Name": function, "HttpTriggerPath": path})
    client.call("UpdateHttpTriggerConfig", {"SpaceId": space_id, "EnableService": True})


def is_live(client: ManagementClient, note: Note, function: str, digest: str) -> bool:
    """Whether the function still runs the deployment that we made of this zip."""
    made = note.functions.get(function)
    if made is None or made["digest"] != digest:
        return False
    try:
        deployment = describe_function(client, note.space_id, function)["deployment"]
    except RemoteError as error:
        if error.code == "FunctionNotFound":
            return False
        raise
    return deployment is not None and deployment["deploymentId"] == made["deploymentId"]


def show_first_call(client: ManagementClient, space_id: str) -> None:
    """Invoke hello through the queue; its result and log lines. Raises CliError when it fails."""
    answer = invoke_function(client, space_id, "hello", json.dumps({"name": "world"}))
    if not answer["success"]:
        raise CliError(f"hello ended as {answer['outcome']}: {answer['error']['message']}")
    result = json.dumps(answer["result"], ensure_ascii=False, separators=(",", ":"))
    run_ms = answer["bill"]["runMs"]
    server = client.call("YunhanDescribeServer")
    walls = "" if server["Isolates"] else ", which isolates nothing (yunhan doctor)"
    print(
        f"hello → {result}            {run_ms:.1f} ms, its own Node.js process"
        f" on rung {server['Rung']}{walls}"
    )
    for line in wait_for_lines(client, space_id, answer["requestId"]):
        print(f"  {line.level:<5} {line.text}")


def wait_for_lines(client: ManagementClient, space_id: str, request_id: str) -> list[ShownLine]:
    """Log lines of one invocation; they are written a moment after its answer."""
    wanted = LogFilter(space_id=space_id, function="hello", request_id=request_id)
    deadline = time.monotonic() + LOG_TIMEOUT_S
    while time.monotonic() < deadline:
        lines = LogReader(client, wanted).newest(1)
        if lines:
            return lines
        time.sleep(POLL_S)
    raise CliError(f"the log of request {request_id} did not appear in {LOG_TIMEOUT_S:.0f} s.")


def serve(program: subprocess.Popen[bytes], settings: Settings) -> int:
    """Wait for the program's end; each Ctrl-C is passed on (the second one kills)."""
    told = False

    def pass_on(number: int, _frame: Any) -> None:
        nonlocal told
        if not told:
            told = True
            say(
                f"stopping: waits up to {settings.drain_grace_s:g} s for running calls;"
                " Ctrl-C again ends it at once"
            )
        program.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    say("serving until Ctrl-C; in another terminal: .venv/bin/yunhan --help")
    return program.wait()


def stop(program: subprocess.Popen[bytes], settings: Settings) -> int:
    """Ask the program to end and wait for it; its exit code."""
    say("stopping")
    program.terminate()
    try:
        return program.wait(settings.drain_grace_s + settings.shutdown_flush_s + STOP_EXTRA_S)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()
        raise CliError("yunhan up did not stop in time and was killed.") from None


def say(text: str) -> None:
    """One step of ours."""
    print(f"==> {text}", flush=True)


def _no_progress(_text: str, _done: int, _total: int) -> None:
    """Examples are small."""


def _interrupt(_number: int, _frame: Any) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
