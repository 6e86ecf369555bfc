"""Functions that call functions, with fewer slots than waiting parents."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.harness.management import Management

pytestmark = pytest.mark.e2e

CHAIN = """
module.exports = async (ctx) => {
  if (ctx.args.n === 0) return { source: ctx.env.MP_SOURCE, depth: 0 };
  const { result } = await ctx.mpserverless.function.invoke('chain', { n: ctx.args.n - 1 });
  return { ...result, depth: result.depth + 1 };
};
"""
FAN = """
module.exports = async (ctx) => {
  const answers = await Promise.all(
    Array.from({ length: 10 }, (_, i) => ctx.mpserverless.function.invoke('leaf', { i })));
  return answers.map((answer) => answer.result);
};
"""
FAILS = """
module.exports = async (ctx) => {
  try {
    await ctx.mpserverless.function.invoke(ctx.args.name, {});
  } catch (error) {
    return { isError: error instanceof Error, code: error.code, message: error.message };
  }
};
"""


@pytest.fixture(scope="module", autouse=True)
def functions(management: Management, space: tuple[str, str]) -> None:
    for name, source in {
        "chain": CHAIN,
        "fan": FAN,
        "fails": FAILS,
        "leaf": "module.exports = (ctx) => ctx.args.i * 2",
        "throws": "module.exports = () => { throw new Error('inner') }",
        "redis": "module.exports = async (ctx) => ctx.mpserverless.user.redisCli(['GET', 'a'])",
    }.items():
        management.deploy(space[0], name, {"index.js": source}, Timeout=30)


def test_a_chain_of_calls(management: Management, space: tuple[str, str]) -> None:
    answer = management.invoke(space[0], "chain", {"n": 4})
    assert answer["Success"], answer
    assert json.loads(answer["Result"]) == {"source": "function", "depth": 4}


def test_depth_is_bounded(management: Management, space: tuple[str, str]) -> None:
    answer = management.invoke(space[0], "chain", {"n": 12})
    assert answer["Success"] is False
    assert "deep" in answer["Error"]["Message"]


def test_more_waiting_parents_than_slots(management: Management, space: tuple[str, str]) -> None:
    with ThreadPoolExecutor(12) as threads:
        answers = list(
            threads.map(lambda _: management.invoke(space[0], "chain", {"n": 2}), range(12))
        )
    assert [json.loads(a["Result"])["depth"] for a in answers if a["Success"]] == [2] * 12, answers


def test_many_children_of_one_parent(management: Management, space: tuple[str, str]) -> None:
    answer = management.invoke(space[0], "fan")
    assert json.loads(answer["Result"]) == [i * 2 for i in range(10)]


def test_errors_of_children_are_errors_with_a_code(
    management: Management, space: tuple[str, str]
) -> None:
    thrown = json.loads(management.invoke(space[0], "fails", {"name": "throws"})["Result"])
    assert thrown == {"isError": True, "code": "FunctionBizError", "message": "inner"}
    unknown = json.loads(management.invoke(space[0], "fails", {"name": "nope"})["Result"])
    assert unknown["code"] == "FunctionNotFound"


def test_services_that_are_not_set_up_say_so(
    management: Management, space: tuple[str, str]
) -> None:
    answer = management.invoke(space[0], "redis")
    assert answer["Success"] is False
    assert "YUNHAN_REDIS_URL" in answer["Error"]["Message"]
