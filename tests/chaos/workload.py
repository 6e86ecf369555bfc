"""Fifty functions of several kinds, what each must answer, and what a caller may learn instead."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SOURCES = {
    "quick": "return { i: ctx.args.i };",
    "sleeping": "await new Promise((done) => setTimeout(done, ctx.args.ms));\n"
    "  return { i: ctx.args.i };",
    "memory": "const some = Buffer.alloc(48 * 1024 * 1024, 7);\n"
    "  await new Promise((done) => setTimeout(done, 50));\n"
    "  return { i: ctx.args.i, last: some[some.length - 1] };",
    "nested": "try {\n"
    "    const { result } = await ctx.mpserverless.function.invoke(\n"
    "      ctx.args.child, { i: ctx.args.i, ms: 100, nested: true });\n"
    "    return { i: ctx.args.i, child: result };\n"
    "  } catch (error) {\n"
    "    return { i: ctx.args.i, error: { code: error.code, message: error.message } };\n"
    "  }",
    "logging": "for (let line = 0; line < 50; line += 1) console.log('line', line);\n"
    "  return { i: ctx.args.i };",
    "failing": "throw new Error(`as asked ${ctx.args.i}`);",
}
"""Bodies by kind. `i` is the number of the call, by which its record is found without a request id."""

_PROLOGUE = "console.log(`${ctx.args.nested ? 'child' : 'call'} ${ctx.args.i}`);"
TIMEOUT_S = 30


def source(kind: str) -> dict[str, str]:
    body = SOURCES[kind]
    return {"index.js": f"module.exports = async (ctx) => {{\n  {_PROLOGUE}\n  {body}\n}};\n"}


def names(functions: int) -> list[str]:
    """Kinds in turn, half of them the sleeping kind: only a busy sandbox makes a kill interesting."""
    kinds = ["sleeping", "quick", "sleeping", "memory", "sleeping", "nested", "logging", "failing"]
    return [f"{kinds[number % len(kinds)]}-{number}" for number in range(functions)]


def kind_of(name: str) -> str:
    return name.partition("-")[0]


def arguments(name: str, number: int, dice: random.Random, all_names: list[str]) -> dict[str, Any]:
    args: dict[str, Any] = {"i": number}
    if kind_of(name) == "sleeping":
        args["ms"] = dice.randrange(50, 1200)
    if kind_of(name) == "nested":
        children = [other for other in all_names if kind_of(other) in {"quick", "sleeping"}]
        args["child"] = dice.choice(children)
    return args


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer says. `wrong` is empty unless it breaks the contract whatever was killed."""

    outcome: str
    blame: str
    wrong: str = ""
    blamed_on_function: str = ""
    """Set when a function is blamed that did nothing wrong: right only if nothing was killed, never."""


def judge(name: str, number: int, answer: Mapping[str, Any]) -> Verdict:
    """An answer of YunhanInvoke."""
    outcome = answer["Outcome"]
    if answer["Success"]:
        return Verdict(outcome, "", *_judge_result(name, number, json.loads(answer["Result"])))
    error = answer["Error"]
    blame, text = error["Blame"], f"{outcome}: {error['Code']}: {error['Message']}"
    if outcome == "function_error" and kind_of(name) == "failing":
        right = error["Message"] == f"as asked {number}"
        return Verdict(outcome, blame, "" if right else f"another's error: {text}")
    if blame == "function":
        return Verdict(outcome, blame, blamed_on_function=text)
    if blame != "ours":
        return Verdict(outcome, blame, f"blames {blame or 'nobody'}: {text}")
    return Verdict(outcome, blame)


def _judge_result(name: str, number: int, result: Mapping[str, Any]) -> tuple[str, str]:
    if kind_of(name) == "failing":
        return f"a function that throws answered {result}", ""
    if result["i"] != number or (kind_of(name) == "memory" and result["last"] != 7):
        return f"another's result: {result}", ""
    if kind_of(name) == "nested":
        error = result.get("error")
        if error is None:
            child = result["child"]["i"]
            return ("", "") if child == number else (f"another's child: {result}", "")
        if error["code"] == "FunctionBizError":
            return "", f"child: {error['message']}"
    return "", ""
