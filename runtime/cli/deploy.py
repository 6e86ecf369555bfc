"""`yunhan deploy`: a folder becomes the live code of a function."""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from runtime.cli.client import ManagementClient
from runtime.cli.errors import CliError, RemoteError
from runtime.cli.lookup import find_space_id, node_versions
from runtime.cli.options import json_option, remote_command, space_option
from runtime.cli.output import note, print_json
from runtime.package.errors import PackageError
from runtime.package.make import make_package

DEPLOY_TIMEOUT_S = 120.0
POLL_S = 0.2

Progress = Callable[[str, int, int], None]
"""What is done, bytes done, bytes to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A zip to upload. `digest` is the SHA-256 of its bytes in hex."""

    path: Path
    digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """The deployment that is live now."""

    function: str
    deployment_id: str
    digest: str
    version_no: str
    created: bool
    """Whether the function was made, too."""


@click.command
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@space_option
@click.option("--name", help="Name of the function; else the name of the folder.")
@json_option
@remote_command
def deploy(
    client: ManagementClient, path: Path, space: str, name: str | None, as_json: bool
) -> None:
    """Make the folder (or zip) PATH the live code of a function.

    The folder is packed as it is, node_modules included. A function that does not exist is made.
    """
    function = name or function_name_of(path)
    space_id = find_space_id(client, space)
    with tempfile.TemporaryDirectory(prefix="yunhan-") as folder, _progress_bar() as progress:
        packed = pack(path, Path(folder), progress, function=function)
        deployed = publish(client, space_id, function, packed, progress)
    if as_json:
        print_json(
            {
                "function": deployed.function,
                "deploymentId": deployed.deployment_id,
                "digest": deployed.digest,
                "versionNo": deployed.version_no,
            }
        )
        return
    made = " (a new function)" if deployed.created else ""
    note(f"{function}{made} runs deployment {deployed.deployment_id}, {packed.size_bytes} bytes.")
    note(f"Try it: yunhan invoke {function} --space {space} --args '{{}}'")


def function_name_of(path: Path) -> str:
    """The folder's own name, or the zip's without its ending."""
    place = path.resolve()
    return place.stem if place.is_file() else place.name


def pack(source: Path, out_folder: Path, progress: Progress, *, function: str = "") -> Packed:
    """The folder as a zip in `out_folder`; the same bytes for the same contents. Raises CliError."""
    try:
        summary = make_package(
            source,
            out_folder / "function.zip",
            function=function,
            progress=lambda done, total: progress("packing", done, total),
        )
    except PackageError as error:
        raise CliError(f"{source} cannot be deployed: {error.message}", code=error.code) from error
    with summary.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Packed(path=summary.path, digest=digest, size_bytes=summary.zip_bytes)


def publish(
    client: ManagementClient,
    space_id: str,
    function: str,
    packed: Packed,
    progress: Progress,
    *,
    poll_s: float = POLL_S,
) -> Deployed:
    """Upload a zip and make it live; the function is made when there is none.

    Raises RemoteError when the program refuses the zip, CliError when it is not live in time.
    """
    wanted = {"SpaceId": space_id, "Name": function}
    created = False
    try:
        deployment = client.call("CreateFunctionDeployment", wanted)
    except RemoteError as error:
        if error.code != "FunctionNotFound":
            raise
        _create(client, wanted)
        created = True
        deployment = client.call("CreateFunctionDeployment", wanted)
    deployment_id = str(deployment["DeploymentId"])

    sent = 0

    def on_chunk(size: int) -> None:
        nonlocal sent
        sent += size
        progress("uploading", sent, packed.size_bytes)

    client.upload(str(deployment["UploadSignedUrl"]), packed.path, progress=on_chunk)
    client.call("DeployFunction", {"SpaceId": space_id, "DeploymentId": deployment_id})
    live = _wait_until_live(client, space_id, function, deployment_id, poll_s)
    return Deployed(
        function=function,
        deployment_id=deployment_id,
        digest=packed.digest,
        version_no=str(live.get("VersionNo", "")),
        created=created,
    )


def _create(client: ManagementClient, wanted: dict[str, str]) -> None:
    """On the newest Node.js that the program has, so that it runs what the settings say."""
    versions = node_versions(client)  # none: no worker is there yet, the program's default will do
    newest = {"Runtime": f"nodejs{versions[-1]}"} if versions else {}
    try:
        client.call("CreateFunction", {**wanted, **newest})
    except RemoteError as error:
        if error.code != "InvalidParameter.Name":
            raise
        raise RemoteError(
            error.code,
            f"{wanted['Name']!r} is no name for a function: {error.told.partition(';')[0]}",
            next_step="Choose another one with --name.",
        ) from error


def _wait_until_live(
    client: ManagementClient, space_id: str, function: str, deployment_id: str, poll_s: float
) -> dict[str, Any]:
    """The deployment as the program lists it. Another one may have become live since."""
    deadline = time.monotonic() + DEPLOY_TIMEOUT_S
    while True:
        listed = client.items(
            "ListFunctionDeployment", {"SpaceId": space_id, "Name": function}, key="DataList"
        )
        found = next((item for item in listed if item["DeploymentId"] == deployment_id), None)
        state = found["Status"] if found else {}
        status = state.get("Status", "missing")
        if found is not None and status == "DEPLOY_SUCCESS":
            return found
        if status == "DEPLOY_FAILED":
            raise CliError(
                f"deployment {deployment_id} of {function} failed: {state.get('Label', '')}"
            )
        if time.monotonic() > deadline:
            raise CliError(
                f"deployment {deployment_id} of {function} is still {status} after"
                f" {DEPLOY_TIMEOUT_S:.0f} s.",
                next_step="Look at the log of `yunhan up`, then deploy again.",
            )
        time.sleep(poll_s)


@contextmanager
def _progress_bar() -> Iterator[Progress]:
    """On a terminal only, on stderr."""
    if not sys.stderr.isatty():
        yield lambda _text, _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description:<9}"), BarColumn(), DownloadColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def show(text: str, done: int, total: int) -> None:
            if text not in tasks:
                tasks[text] = bar.add_task(text, total=total)
            bar.update(tasks[text], completed=done, total=total)

        yield show
