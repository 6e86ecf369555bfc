"""What the spawner contract runs: functions with known behaviour, and a host that records."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sandbox.api import LogLine

INVOKE_METHOD = "serverless.function.runtime.invoke"

JS_FUNCTIONS = {
    # One function with many behaviours, chosen by `ctx.args.do`, so that neighbours can differ.
    "actions": """
let count = 0;
const actions = {
  echo: async (ctx) => ctx.args,
  env: async (ctx) => ctx.env,
  nothing: async () => undefined,
  count: async () => ++count,
  throw: async () => {
    throw Object.assign(new TypeError('broken on purpose'), { code: 'E_PURPOSE' });
  },
  log: async (ctx) => {
    ctx.logger.debug('one');
    ctx.logger.info('two');
    ctx.logger.warn('three');
    ctx.logger.error('four');
  },
  flood: async (ctx) => {
    for (let i = 0; i < 5000; i += 1) ctx.logger.info('line ' + i);
  },
  exit: async (ctx) => process.exit(ctx.args.code),
  never: () => new Promise(() => {}),
  loop: async () => { while (true); },
  cycle: async () => { const value = {}; value.itself = value; return value; },
  large: async (ctx) => 'x'.repeat(ctx.args.bytes),
  call: async (ctx) => (await ctx.mpserverless.function.invoke('gate', ctx.args)).result,
  callAs: async (ctx) => {
    const services = ctx.mpserverless.setUserId('user-7');
    return (await services.function.invoke('gate', ctx.args)).result;
  },
  leave: async (ctx) => {
    ctx.mpserverless.function.invoke('never', {}).catch(() => {});
    await ctx.mpserverless.function.invoke('gate', {});
    return 'left';
  },
};
module.exports = (ctx) => actions[ctx.args.do](ctx);
""",
    "load_throws": "throw new Error('broken while loading');",
    "load_loops": "while (true);",
}


def write_js_functions(root: Path) -> None:
    """One folder with an index.js for each of JS_FUNCTIONS, and an empty one named `missing`."""
    for name, text in JS_FUNCTIONS.items():
        (root / name).mkdir(parents=True)
        (root / name / "index.js").write_text(text)
    (root / "missing").mkdir()


class RecordingHost:
    """An `InvocationHost` that keeps what it gets and answers calls when it is told to.

    A call of the function `never` stays without an answer; every other call waits for `gate`.
    """

    def __init__(self, *, gate_open: bool = True) -> None:
        self.lines: list[LogLine] = []
        self.cut = False
        self.calls: list[tuple[str, Any, str | None]] = []
        self.cancelled = 0
        self.gate = asyncio.Event()
        if gate_open:
            self.gate.set()
        self._called = asyncio.Condition()

    @property
    def texts(self) -> list[str]:
        return [line.text for line in self.lines]

    def on_log(self, lines: Sequence[LogLine], *, cut: bool) -> None:
        self.lines.extend(lines)
        self.cut |= cut

    async def on_call(self, method: str, params: bytes, *, user_id: str | None = None) -> bytes:
        decoded = json.loads(params)
        async with self._called:
            self.calls.append((method, decoded, user_id))
            self._called.notify_all()
        try:
            if decoded["functionTarget"] == "never":
                await asyncio.Event().wait()
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        answer = {"answer": decoded["functionArgs"]}
        return json.dumps({"success": True, "data": answer, "requestId": "r"}).encode()

    async def wait_for_calls(self, count: int) -> None:
        """Return when so many calls have come."""
        async with self._called:
            await self._called.wait_for(lambda: len(self.calls) >= count)
