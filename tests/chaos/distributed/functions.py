"""The functions of these runs. Each writes when it starts and ends, so that executions can be counted."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.chaos.workload import kind_of
from tests.harness.management import Management

_SLEEP = "await new Promise((done) => setTimeout(done, args.ms));"
BODIES: Mapping[str, str] = {
    "quick": "return { i: args.i };",
    "sleeping": f"{_SLEEP}\n    return {{ i: args.i }};",
    "failing": "throw new Error(`as asked ${args.i}`);",
    "crashing": "process.abort();",
    "starter": "try {\n"
    "      const { result } = await ctx.mpserverless.function.invoke(\n"
    "        args.child, args.args, { async: true });\n"
    "      return { i: args.i, jobId: result.jobId };\n"
    "    } catch (error) {\n"
    "      return { i: args.i, error: { code: error.code, message: error.message } };\n"
    "    }",
}
"""By kind; the same names as in `tests.chaos.workload`, whose `judge` knows what they must answer."""
SYNCHRONOUS = ("quick-0", "quick-1", "sleeping-0", "sleeping-1", "sleeping-2", "failing-0")
ASYNCHRONOUS = ("quick-0", "sleeping-0", "sleeping-1", "sleeping-2", "sleeping-3", "failing-0")
CRASHING = "crashing-0"
STARTER = "starter-0"
PROBE = "quick-probe"
TRIGGER_PATH = "/http/sleeping-0"
TRIGGERED = "sleeping-0"
TIMEOUT_S = 10
_SLEEP_MS = (50, 800)


def deploy(management: Management, executions: Path) -> str:
    """All functions in a new space; its id."""
    space_id, _ = management.space("chaos")
    for name in sorted({*SYNCHRONOUS, *ASYNCHRONOUS, CRASHING, STARTER, PROBE}):
        more: dict[str, Any] = {"HttpTriggerPath": TRIGGER_PATH} if name == TRIGGERED else {}
        management.deploy(space_id, name, _source(name, executions), Timeout=TIMEOUT_S, **more)
    management.call("YunhanUpdateFunctionAsync", SpaceId=space_id, Name=TRIGGERED, Http="true")
    management.call("UpdateHttpTriggerConfig", SpaceId=space_id, EnableService="true")
    return space_id


def _source(name: str, executions: Path) -> dict[str, str]:
    return {
        "index.js": f"""const fs = require('fs');
const file = {json.dumps(str(executions))};
const note = (i, what) => fs.appendFileSync(file, `${{i}} ${{what}} ${{process.pid}}\\n`);
module.exports = async (ctx) => {{
  const args = ctx.args.body ? JSON.parse(ctx.args.body) : ctx.args;
  note(args.i, 'start');
  try {{
    {BODIES[kind_of(name)]}
  }} finally {{
    note(args.i, 'end');
  }}
}};
"""
    }


def arguments(name: str, number: int, dice: random.Random) -> dict[str, Any]:
    args: dict[str, Any] = {"i": number}
    if kind_of(name) == "sleeping":
        args["ms"] = dice.randrange(*_SLEEP_MS)
    return args


class Executions:
    """What the functions wrote, by number of the call or job."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""
        self.starts: defaultdict[int, list[int]] = defaultdict(list)
        """Process ids."""
        self.ends: defaultdict[int, list[int]] = defaultdict(list)
        path.touch()

    def read(self) -> None:
        """What was written since the last time."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            text = self._rest + file.read()
            self._offset = file.tell()
        lines = text.split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            number, what, pid = line.split()
            (self.starts if what == b"start" else self.ends)[int(number)].append(int(pid))

    def busy(self) -> set[int]:
        """Sandboxes in mid call; perhaps dead by now."""
        self.read()
        found: set[int] = set()
        for number in list(self.starts)[-200:]:
            open_ones = list(self.starts[number])
            for pid in self.ends.get(number, ()):
                if pid in open_ones:
                    open_ones.remove(pid)
            found |= set(open_ones)
        return found
