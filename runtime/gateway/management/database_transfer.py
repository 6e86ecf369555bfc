"""Our own actions that carry a collection out and in, page by page: `yunhan db export` and `import`."""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Mapping
from typing import Any

from runtime.errors import InvalidParameterError
from runtime.gateway.management.deps import ManagementDeps
from runtime.gateway.management.parameters import Parameters
from runtime.threads import run_to_end

_GZIP = "gzip"
_GZIP_WINDOW = 31
"""zlib's largest window, and the head and sum of gzip."""


async def yunhan_export_database(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """`Lines` are documents in the order of their ids, canonical extended JSON, one a line; `After` is empty
    at the end, else what the next call sends as `After`."""
    page = await deps.database_transfer.export(
        parameters.needed("SpaceId"),
        parameters.needed("CollectionName"),
        after=parameters.text("After") or None,
    )
    return {
        "Lines": page.lines.decode(),
        "Count": page.count,
        "Sha256": page.sha256,
        "After": page.after or "",
    }


async def yunhan_import_database(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """Documents one a line; one whose id is there is replaced. With `Encoding` gzip `Lines` is the URL-safe
    Base64 of it, so that a form does not treble it. `Sha256`, if given, is that of the lines."""
    space_id, collection = parameters.needed("SpaceId"), parameters.needed("CollectionName")
    text, digest = await run_to_end(
        _lines, parameters, deps.database_transfer.limits.line_max_bytes
    )
    if parameters.text("Sha256") not in {None, "", digest}:
        raise InvalidParameterError("Sha256", f"Lines came with another SHA-256: {digest}")
    count = await deps.database_transfer.load(space_id, collection, text)
    return {"Count": count, "Sha256": digest}


def _lines(parameters: Parameters, max_bytes: int) -> tuple[bytes, str]:
    """And their SHA-256 in hex. Raises InvalidParameterError."""
    text = parameters.needed("Lines")
    packed = parameters.one_of("Encoding", {_GZIP.upper(): _GZIP}) is not None
    content = _unpacked(text, max_bytes) if packed else text.encode()
    return content, hashlib.sha256(content).hexdigest()


def _unpacked(text: str, max_bytes: int) -> bytes:
    """Raises InvalidParameterError. Never makes more than `max_bytes`."""
    inflate = zlib.decompressobj(wbits=_GZIP_WINDOW)
    try:
        content = inflate.decompress(
            base64.b64decode(text, altchars=b"-_", validate=True), max_bytes
        )
    except (binascii.Error, ValueError, zlib.error):
        raise _no_gzip("Lines is not the URL-safe Base64 of gzip") from None
    if inflate.unconsumed_tail:
        raise _no_gzip(
            f"Lines has more than {max_bytes} bytes (YUNHAN_DATABASE_TRANSFER_LINE_MAX_BYTES)"
        )
    if not inflate.eof or inflate.unused_data:
        raise _no_gzip("Lines is cut, or has something behind its end")
    return content


def _no_gzip(message: str) -> InvalidParameterError:
    return InvalidParameterError("Lines", message)


ACTIONS = {
    "YunhanExportDatabase": yunhan_export_database,
    "YunhanImportDatabase": yunhan_import_database,
}
