"""Environment variables of a function as one sealed value: made by the gateway, opened by the worker."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import orjson

from runtime.errors import OursError
from runtime.messages import Job
from runtime.sealing import SealingError, SecretBox


def env_context(space_id: str, function: str) -> str:
    """What a sealed environment is bound to: another space or function cannot open it."""
    return f"space/{space_id}/function/{function}/env"


def digest_of(env_sealed: bytes) -> str:
    """What tells two sealed environments apart; empty for none.

    Sealing the same variables again gives another one: a seal never repeats."""
    return hashlib.sha256(env_sealed).hexdigest() if env_sealed else ""


class SealedEnv:
    """Seals and opens. No variables are the empty value. Errors never quote what was sealed."""

    def __init__(self, box: SecretBox) -> None:
        self._box = box

    def seal(self, env: Mapping[str, str], *, space_id: str, function: str) -> bytes:
        """Every value is text without lone surrogates."""
        if not env:
            return b""
        return self._box.seal(orjson.dumps(dict(env)), context=env_context(space_id, function))

    def open_of(self, env_sealed: bytes, *, space_id: str, function: str) -> dict[str, str]:
        """Raises OursError when it does not open."""
        if not env_sealed:
            return {}
        try:
            text = self._box.open(env_sealed, context=env_context(space_id, function))
        except SealingError:
            raise OursError(
                "InternalServerError",
                f"the environment of function {function} in space {space_id} does not open: this is"
                " not the master key that it was sealed with (YUNHAN_MASTER_KEY_FILE). Put that key"
                " back, or set the variables again (yunhan function set --clear-env --env-file)",
            ) from None
        env: dict[str, str] = orjson.loads(text)
        return env

    def open(self, job: Job) -> dict[str, str]:
        """Implements `runtime.pool.Environments`."""
        return self.open_of(job.env_sealed, space_id=job.space_id, function=job.function)
