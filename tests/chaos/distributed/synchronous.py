"""One synchronous call, and what its caller makes of the answer."""

from __future__ import annotations

import http.client
import time
import urllib.error
from typing import Any

from tests.chaos.distributed.cluster import OUTCOME_GRACE_S, QUEUE_WAIT_S, Cluster
from tests.chaos.distributed.functions import TIMEOUT_S
from tests.chaos.distributed.tally import Call
from tests.chaos.workload import Verdict, judge
from tests.harness.management import ManagementError

CALL_BOUND_S = QUEUE_WAIT_S + TIMEOUT_S + OUTCOME_GRACE_S + 5.0
"""The latest moment at which a caller must know: wait, run, way of the outcome, and a slow machine."""


def call(
    cluster: Cluster, space_id: str, gateway: int, name: str, number: int, args: dict[str, Any]
) -> Call:
    """Never raises for what the programs do."""
    began = time.monotonic()
    request_id = ""
    try:
        answer = cluster.management(gateway).invoke(space_id, name, args)
        request_id = answer["RequestId"]
        verdict = judge(name, number, answer)
    except ManagementError as error:
        verdict = refusal(error)
    except TimeoutError as error:
        verdict = Verdict("hang", "", f"no answer: {error}")
    except urllib.error.URLError as error:
        hangs = isinstance(error.reason, TimeoutError)
        verdict = Verdict("hang" if hangs else "cut", "", str(error) if hangs else "")
    except (OSError, http.client.HTTPException, ValueError):
        verdict = Verdict("cut", "")
    return Call(
        number=number,
        name=name,
        gateway=gateway,
        began=began,
        ended=time.monotonic(),
        verdict=verdict,
        request_id=request_id,
    )


def refusal(error: ManagementError) -> Verdict:
    """An answer of the gateway itself."""
    ours = error.status >= 500 or error.status == 429
    wrong = "" if ours and error.code else str(error)
    return Verdict(f"HTTP {error.status} {error.code}", "ours" if ours else "caller", wrong)
