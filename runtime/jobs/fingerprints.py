"""Whether two calls under one idempotency key are the same call. Pure."""

from __future__ import annotations

import hashlib

import orjson

from runtime.messages import Job, Source


def fingerprint(job: Job) -> str | None:
    """The same for calls with the same arguments. Of a request to an HTTP trigger method, path, query and
    body count. None for a tick of a timer: its key alone says which one it is. `job.args` are complete."""
    if job.source is Source.TIMING:
        return None
    args = job.args
    if job.source is Source.HTTP:
        request = orjson.loads(args)
        # They differ between repetitions of one request: dates, trace ids, addresses of proxies.
        request.pop("headers", None)
        args = orjson.dumps(request, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(args).hexdigest()[:32]
