"""The SDKs' calls about files (`serverless.file.resource.*`), the same for every kind of caller."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from runtime.services import methods
from runtime.services.file_spaces import FileCaller
from runtime.services.files import FileService, UploadSide
from sandbox.json_text import dump_json

_Change = Callable[[FileCaller, Mapping[str, Any]], Awaitable[object]]


class FileCalls:
    """Answers with the JSON text of `data`."""

    def __init__(self, files: FileService) -> None:
        self._files = files
        self._others: Mapping[str, _Change] = {
            methods.FILE_REPORT: files.report,
            methods.FILE_INFO: files.info,
            methods.FILE_DELETE: files.delete,
        }

    def serves(self, method: str) -> bool:
        """Whether it is one of these calls."""
        return method == methods.FILE_SIGN or method in self._others

    async def answer(
        self,
        caller: FileCaller,
        method: str,
        params: Mapping[str, Any],
        *,
        host: str | None = None,
    ) -> bytes:
        """`host`: where this caller sends its bytes to, when that is not the usual place. Raises
        YunhanError."""
        if method == methods.FILE_SIGN:
            side = UploadSide.SERVER if caller.trusted else UploadSide.CLIENT
            return dump_json(await self._files.sign(caller, params, side=side, host=host))
        return dump_json(await self._others[method](caller, params))
