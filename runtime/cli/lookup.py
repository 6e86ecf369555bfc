"""From what people type to what the management API wants."""

from __future__ import annotations

import re

from runtime.cli.client import ManagementClient
from runtime.cli.errors import CliError

_SPACE_ID = re.compile(r"mp-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def find_space_id(client: ManagementClient, space: str) -> str:
    """A space's id as it is, or the id of the one space with this name. Raises CliError."""
    if _SPACE_ID.fullmatch(space):
        return space
    ids = find_space_ids(client, space)
    if not ids:
        raise CliError(
            f"there is no space {space}.",
            code="SpaceNotFound",
            next_step=f"`yunhan space list` shows what is there; `yunhan space create {space}`"
            " makes it.",
        )
    if len(ids) > 1:
        raise CliError(
            f"{len(ids)} spaces have the name {space}.",
            code="SpaceNotUnique",
            next_step=f"Name one by its id: {', '.join(ids)}.",
        )
    return ids[0]


def find_space_ids(client: ManagementClient, name: str) -> list[str]:
    """The ids of all spaces with this name: names need not be unique."""
    spaces = client.items("ListSpace", {}, key="Spaces")
    return [str(found["SpaceId"]) for found in spaces if found["Name"] == name]


def node_versions(client: ManagementClient) -> list[int]:
    """The major versions of Node.js that the program has, ascending."""
    return sorted(map(int, client.call("YunhanDescribeServer")["NodeVersions"]))
