"""Random steps on a ledger and on the model beside it: both must answer the same, always."""

from __future__ import annotations

from random import Random
from typing import Any

from runtime.ids import new_job_id, new_request_id
from runtime.messages import AsyncTerms, Code, FunctionLimits, Job, JobState, Outcome, Source
from runtime.ports import Claim, Ledger, LedgerQuery, Quota
from sandbox.api import Fault, OutcomeKind

_JOBS = 6
_SPACES = ("mp-1", "mp-2")
_LEASE_MS = 1000
_GRACE_MS = 700
_TERMINAL = [state for state in JobState if state.terminal]


class LedgerWalk:
    """A few jobs, few keys and narrow quotas, so that steps get in each other's way."""

    def __init__(self, ledger: Ledger, model: Ledger, random: Random) -> None:
        self._ledger = ledger
        self._model = model
        self._random = random
        self._now_ms = 1_700_000_000_000
        self._jobs = [self._new_job() for _ in range(_JOBS)]
        self._claims: list[Claim] = []

    async def run(self, *, steps: int) -> None:
        """Take so many steps; AssertionError at the first difference."""
        for _ in range(steps):
            # now and then a lease ends exactly now
            self._now_ms += self._random.choice((0, 1, 300, 999, 1000))
            await self._step()
        for query in (LedgerQuery(), LedgerQuery(space_id="mp-1", function="a")):
            assert await self._ledger.count(query) == await self._model.count(query)
            ours = await self._ledger.find(query, offset=1, limit=50)
            assert ours == await self._model.find(query, offset=1, limit=50)

    async def _step(self) -> None:
        at = self._random.randrange(_JOBS)
        job = self._jobs[at]
        if self._random.random() < 0.02:
            job = self._jobs[at] = self._new_job()
        name, *arguments = self._choose(job)
        settings = arguments.pop()
        answers = [
            await getattr(each, name)(*arguments, **settings)
            for each in (self._ledger, self._model)
        ]
        told = f"{name}{arguments} {settings}"
        assert answers[0] == answers[1], told
        if isinstance(answers[0], Claim):
            self._claims.append(answers[0])
        assert await self._ledger.read(job.job_id) == await self._model.read(job.job_id), told

    def _choose(self, job: Job) -> list[Any]:
        """Name of a method, positional arguments, keyword arguments."""
        now = {"now_ms": self._now_ms}
        lease = {"lease_ms": _LEASE_MS}
        steps: list[tuple[int, list[Any]]] = [
            (3, ["accept", job, now]),
            (1, ["accepted", job, now]),
            (8, ["claim", job, now | lease | self._claimant()]),
            (1, ["cancel", job.job_id, self._random.choice(_SPACES), now]),
            (1, ["expire", job, now]),
            (2, ["overdue", now | {"grace_ms": _GRACE_MS, "limit": 3}]),
            (2, ["bury", job.job_id, _outcome("r", OutcomeKind.WORKER_LOST), now]),
            (1, ["prune", {"before_ms": self._now_ms - 5000}]),
            (1, ["dropped", job.job_id, {}]),
        ]
        if self._claims:
            claim = self._random.choice(self._claims[-8:])
            request_id = claim.attempt.request_id
            state = self._random.choice(_TERMINAL)
            kind = self._random.choice(list(OutcomeKind))
            outcome = _outcome(request_id, kind)
            not_before = {"not_before_ms": self._now_ms + self._random.randrange(2000)}
            steps += [
                (4, ["renew", claim, now | lease]),
                (4, ["finish", claim, state, outcome, now]),
                (4, ["requeue", claim, outcome, now | not_before]),
            ]
        weights = [weight for weight, _ in steps]
        return self._random.choices([step for _, step in steps], weights)[0]

    def _claimant(self) -> dict[str, object]:
        quota = Quota(
            per_space=self._random.choice((2, 9)), per_function=self._random.choice((1, 9))
        )
        return {"worker_id": "w", "request_id": new_request_id(), "quota": quota}

    def _new_job(self) -> Job:
        return Job(
            job_id=new_job_id(),
            request_id=new_request_id(),
            space_id=self._random.choice(_SPACES),
            function=self._random.choice("ab"),
            code=Code(deployment_id="dep-000000000000000000000001", digest="0" * 64),
            limits=FunctionLimits(),
            args=b"[]",
            source=Source.SERVER,
            terms=AsyncTerms(
                accepted_ms=self._now_ms,
                attempts_max=self._random.choice((1, 2, 3)),
                idempotency_key=self._random.choice((None, "k")),
            ),
        )


def _outcome(request_id: str, kind: OutcomeKind) -> Outcome:
    if kind is OutcomeKind.OK:
        return Outcome(request_id=request_id, kind=kind, value=b"1")
    return Outcome(request_id=request_id, kind=kind, fault=Fault(name="E", message=kind.value))
