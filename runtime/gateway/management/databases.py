"""Actions on the database of a space: commands and collections (spec: management API §4 and §5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.errors import InvalidParameterError
from runtime.gateway.management.deps import ManagementDeps
from runtime.gateway.management.parameters import Parameters
from runtime.messages import DocumentAnswer
from sandbox.json_text import JsonError, parse_json, write_json

_DROP = "drop"


async def run_db_command(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """`Result` is the JSON text of the command's result; no access rule holds."""
    answer = await _run(deps, parameters, parameters.needed("Body"))
    told: dict[str, Any] = {
        "AffectedDocs": answer.affected,
        "Result": write_json(answer.result).decode(),
    }
    if "transactionId" in answer.extra:
        told["TransactionId"] = answer.extra["transactionId"]
    return told


async def delete_db_collection(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """`Body` is JSON text, `{"command": "drop", "collection": name}`. The collection's rule stays."""
    text = parameters.needed("Body")
    try:
        body = parse_json(text)
    except JsonError as error:
        raise InvalidParameterError("Body", f"Body is no JSON text: {str(error)[:200]}") from None
    if not isinstance(body, dict) or body.get("command", _DROP) != _DROP:
        raise InvalidParameterError(
            "Body", 'Body is JSON text like {"command": "drop", "collection": "table1"}'
        )
    await _run(deps, parameters, _command(command=_DROP, collection=body.get("collection")))
    return {}


async def rename_db_collection(deps: ManagementDeps, parameters: Parameters) -> Mapping[str, Any]:
    """A collection of the new name must not be there. Rules belong to names: they stay."""
    origin, new = parameters.needed("OriginCollection"), parameters.needed("NewCollection")
    await _run(deps, parameters, _command(command="rename", collection=origin, newName=new))
    return {}


async def _run(deps: ManagementDeps, parameters: Parameters, body: str) -> DocumentAnswer:
    """Raises NotFoundError for an unknown space: a command would make a database for it."""
    space = await deps.spaces.get(parameters.needed("SpaceId"))
    return await deps.documents.manage(space.space_id, body)


def _command(**members: Any) -> str:
    return write_json(members).decode()


ACTIONS = {
    "RunDBCommand": run_db_command,
    "DeleteDBCollection": delete_db_collection,
    "RenameDBCollection": rename_db_collection,
}
