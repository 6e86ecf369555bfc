"""What `yunhan doctor` looks at. Each check says what is, and what to do when it is not right."""

from __future__ import annotations

import asyncio
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from runtime.cli.client import ManagementClient
from runtime.cli.connection import access_of, find_connection, find_key
from runtime.cli.doctor_addresses import CONNECT_TIMEOUT_S, check_address, check_https_address
from runtime.cli.doctor_findings import Finding, State
from runtime.cli.doctor_queue import check_queue
from runtime.cli.doctor_redis import check_redis
from runtime.cli.doctor_rungs import check_machine, check_rung
from runtime.cli.doctor_triggers import check_local_ca, check_trigger_domain, check_trigger_names
from runtime.cli.doctor_worker import check_worker
from runtime.cli.errors import CliError, UnreachableError
from runtime.data_dir import DataDir
from runtime.errors import OursError
from runtime.sealing import MasterKeyError, read_master_key
from runtime.settings import Settings, unknown_in
from sandbox.api import SandboxError
from sandbox.bootstrap_location import bootstrap_dir
from sandbox.node_runtimes import find_node_runtimes

_FREE_DISK_MIN_BYTES = 1024**3

_Check = Callable[[Settings], Finding]


def examine(settings: Settings) -> Iterator[Finding]:
    """All findings. Changes nothing but a probe file in the data directory, which goes again."""
    sandbox, rung = check_rung(settings)
    checks: tuple[_Check, ...] = (
        check_python,
        check_node,
        check_bootstrap,
        check_documents,
        check_queue,
        check_redis,
        check_data_dir,
        check_master_key,
        check_machine,
        lambda _: sandbox,
        *_program_checks(settings, rung),
    )
    for check in checks:
        yield check(settings)
    for problem in unknown_in():
        yield Finding(
            name="settings",
            state=State.PROBLEM,
            text=problem,
            next_step="`yunhan up` refuses to start with it: correct or unset it.",
        )


def _program_checks(settings: Settings, rung: str) -> tuple[_Check, ...]:
    """Of what runs here: a worker has neither the addresses nor the keys of a gateway."""
    worker = DataDir(settings.data_dir).lone_worker()
    if worker is not None:
        return (lambda settings: check_worker(settings, worker),)
    return (
        check_key,
        lambda settings: check_program(settings, rung_here=rung),
        check_address,
        check_https_address,
        check_local_ca,
        check_trigger_domain,
        check_trigger_names,
    )


def check_python(_settings: Settings) -> Finding:
    """The wheels that we need exist for CPython 3.11 to 3.13."""
    fits = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Finding(
        name="python",
        state=State.OK if fits else State.PROBLEM,
        text=f"{platform.python_implementation()} {platform.python_version()}"
        f" on {platform.system()} {platform.machine()} ({sys.executable})",
        next_step="" if fits else "Use CPython 3.11, 3.12 or 3.13.",
    )


def check_node(settings: Settings) -> Finding:
    """Which versions functions may run on."""
    try:
        runtimes = asyncio.run(find_node_runtimes(settings.node_paths))
    except SandboxError as error:
        return Finding(name="node", state=State.PROBLEM, text=str(error))
    versions = ", ".join(runtime.version for runtime in runtimes.values())
    return Finding(
        name="node",
        state=State.OK,
        text=f"{versions}; a function that asks for another version gets the nearest newer one",
    )


def check_bootstrap(_settings: Settings) -> Finding:
    """The Node.js side of the sandbox and its npm packages."""
    try:
        place = bootstrap_dir()
    except SandboxError as error:
        return Finding(name="bootstrap", state=State.PROBLEM, text=str(error))
    return Finding(name="bootstrap", state=State.OK, text=str(place))


def check_documents(settings: Settings) -> Finding:
    """The embedded database is installed, or the named one takes connections."""
    url = settings.documents_url
    if url == "embedded:":
        return _embedded_documents()
    hosts = urlsplit(url).netloc.rpartition("@")[2]
    if urlsplit(url).scheme == "mongodb+srv":
        return Finding(name="documents", state=State.OK, text=f"{hosts} (not tried: DNS seed list)")
    for address in hosts.split(","):
        host, _, port = address.partition(":")
        try:
            socket.create_connection((host, int(port or 27017)), CONNECT_TIMEOUT_S).close()
        except (OSError, ValueError) as error:
            return Finding(
                name="documents",
                state=State.PROBLEM,
                text=f"{address} takes no connection: {error}",
                next_step="Start the database, or correct YUNHAN_DOCUMENTS_URL.",
            )
    return Finding(name="documents", state=State.OK, text=f"{hosts} takes connections")


def _embedded_documents() -> Finding:
    from runtime.wiring.adapters import find_embedded_documents

    try:
        command = find_embedded_documents()
    except OursError as error:
        return Finding(name="documents", state=State.PROBLEM, text=error.message)
    return Finding(name="documents", state=State.OK, text=f"embedded ({command})")


def check_data_dir(settings: Settings) -> Finding:
    """Writable, and room left."""
    root = DataDir(settings.data_dir).root
    place = root
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".doctor-"):
            pass
    except OSError as error:
        return Finding(
            name="data directory",
            state=State.PROBLEM,
            text=f"{place} cannot be written: {error.strerror}",
            next_step="Set YUNHAN_DATA_DIR to a folder of yours.",
        )
    free = shutil.disk_usage(place).free
    text = f"{root} is writable, {free / 1024**3:.1f} GiB free"
    if free < _FREE_DISK_MIN_BYTES:
        return Finding(
            name="data directory",
            state=State.WARNING,
            text=text,
            next_step="Make room: code packages and logs are kept there.",
        )
    return Finding(name="data directory", state=State.OK, text=text)


def check_master_key(settings: Settings) -> Finding:
    """What seals the stored secrets is there, or is made at the first start."""
    file = settings.master_key_file
    if file is None and settings.production:
        return Finding(
            name="master key",
            state=State.PROBLEM,
            text="YUNHAN_ENV=production needs YUNHAN_MASTER_KEY_FILE, `yunhan up` refuses to start",
            next_step="Make one, keep a copy elsewhere, and set YUNHAN_MASTER_KEY_FILE to it:"
            " head -c 32 /dev/urandom | base64 > master.key",
        )
    if file is None:
        where = DataDir(settings.data_dir).root / "master.key"
        made = "" if where.exists() else " is made at the first start"
        return Finding(name="master key", state=State.OK, text=f"{where}{made}")
    try:
        read_master_key(file)
    except MasterKeyError as error:
        return Finding(
            name="master key",
            state=State.PROBLEM,
            text=f"YUNHAN_MASTER_KEY_FILE: {error}",
            next_step="Name the file with which this data directory was made; for a new one:"
            " head -c 32 /dev/urandom | base64 > master.key",
        )
    return Finding(name="master key", state=State.OK, text=f"{file}")


def check_key(settings: Settings) -> Finding:
    """Whether the command line may speak to the program."""
    try:
        key = find_key(access_of(settings))
    except CliError as error:
        return Finding(
            name="management key",
            state=State.WARNING,
            text=error.message,
            next_step=error.next_step,
        )
    return Finding(name="management key", state=State.OK, text=key.key_id)


def check_program(settings: Settings, *, rung_here: str) -> Finding:
    """Whether a program runs on this data directory and takes calls, and on which rung: it was started in
    an environment of its own. `rung_here` is what this command's environment gives; empty = none."""
    try:
        client = ManagementClient(find_connection(access_of(settings)))
        ready = client.is_ready()
        server = client.call("YunhanDescribeServer") if ready else {}
    except UnreachableError as error:
        return Finding(
            name="program", state=State.WARNING, text=error.message, next_step=error.next_step
        )
    except CliError as error:
        return Finding(name="program", state=State.WARNING, text=error.message)
    if not ready:
        return Finding(
            name="program",
            state=State.PROBLEM,
            text=f"runs at {client.endpoint} but is not ready",
            next_step=f"{client.endpoint}/readyz says which part, the log of the program why.",
        )
    return _what_runs(client.endpoint, server, rung_here)


def _what_runs(endpoint: str, server: Mapping[str, Any], rung_here: str) -> Finding:
    details = [f"{problem['Part']}: {problem['Text']}" for problem in server.get("Problems", ())]
    if not server["Rung"]:
        return Finding(
            name="program",
            state=State.PROBLEM,
            text=f"ready at {endpoint}, but no worker has reported: calls wait for one, and end as expired or"
            " refused",
            next_step="Start `yunhan worker` with the same queue, documents, files and master key; if one"
            " runs, its log and `yunhan doctor` there say what it lacks.",
            details=details,
        )
    text = f"ready at {endpoint} on rung {server['Rung']}"
    if details:
        return Finding(
            name="program",
            state=State.PROBLEM,
            text=f"{text}, but not all of it works",
            details=details,
        )
    if not server["Isolates"]:
        return Finding(
            name="program",
            state=State.WARNING,
            text=f"{text}: its functions run as its user and see its files and network",
            next_step="Run only code that you trust, or start it again on a rung with walls"
            " (see sandbox).",
        )
    if server["Rung"] != rung_here:
        return Finding(
            name="program",
            state=State.WARNING,
            text=f"{text}; from here it would be {rung_here or 'none'}: its settings or rights are"
            " others than those of this command",
        )
    return Finding(name="program", state=State.OK, text=text)
