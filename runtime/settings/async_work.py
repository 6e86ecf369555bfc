"""Asynchronous jobs as workers see them: how many at once, their leases, who looks after lost ones."""

from __future__ import annotations

from runtime.settings.fields import SettingGroup, setting


class AsyncWorkSettings(SettingGroup):
    """The first two hold for the queue inside the program; RabbitMQ's bounds are those of its shards. The
    next two, how fast jobs may come, hold for both."""

    async_max_jobs: int = setting(
        10_000, "count", "asynchronous jobs that wait in this program; more are refused", ge=1
    )
    async_max_jobs_per_space: int = setting(
        2_500, "count", "the same of one space; more are refused", ge=1
    )
    async_accept_per_space_per_s: float = setting(
        2_000.0,
        "1/s",
        "asynchronous jobs of one space that one program accepts a second, in the long run; 0 = no bound",
        ge=0,
    )
    async_accept_burst_per_space: int = setting(
        20_000, "count", "so many of them at once after a pause", ge=1
    )
    async_slots: int = setting(
        0,
        "count",
        "slots of YUNHAN_SLOTS that asynchronous jobs may use; 0 = half of them; the others are kept for"
        " synchronous calls",
        ge=0,
    )
    async_running_per_space: int = setting(
        100, "count", "asynchronous jobs of one space that run at once, on all workers", ge=1
    )
    async_running_per_function: int = setting(
        100, "count", "the same of one function; more wait", ge=1
    )
    async_quota_delay_s: float = setting(
        5.0, "s", "a job over one of these comes back to a worker after about this time", gt=0
    )
    async_quota_delay_longest_s: float = setting(
        300.0, "s", "the same when thousands of its space or function wait", gt=0
    )
    async_lease_s: float = setting(
        30.0, "s", "a job whose worker was lost is run again after at most this and a sweep", gt=0
    )
    async_claim_s: float = setting(
        3.0, "s", "a claim that the database did not answer is made again for so long", ge=0, le=60
    )
    async_settle_s: float = setting(
        3600.0,
        "s",
        "a worker keeps the end of a run for so long while database or file store do not take it; then the"
        " job is run again",
        ge=1,
        le=86_400,
    )
    async_sweep_s: float = setting(
        5.0, "s", "how often each program looks for jobs that nobody sees to any more", gt=0
    )
    async_sweep_grace_s: float = setting(
        30.0, "s", "a job that was due so long ago and did not start is enqueued again", gt=0
    )
    async_sweep_confirmed_s: float = setting(
        1800.0,
        "s",
        "the same of a job that RabbitMQ confirmed and that is in the ledger, too: it just waits",
        gt=0,
    )
    async_sweep_batch_max: int = setting(200, "count", "jobs of one sweep", ge=1)
    async_ended_keep_days: float = setting(
        7.0,
        "days",
        "age at which jobs that are over are forgotten; idempotency keys hold for 1 day",
        ge=1,
    )
    async_prune_s: float = setting(600.0, "s", "how often such jobs are deleted", gt=0)
    async_files_sweep_s: float = setting(
        3600.0, "s", "how often arguments and results of jobs that are no more are deleted", gt=0
    )
