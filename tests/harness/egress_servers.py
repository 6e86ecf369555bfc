"""Real servers on loopback for functions to reach: HTTP, HTTPS, WebSocket, MongoDB's wire, MariaDB.

Each is a context manager that ends its process. A server that is not installed is `None`; whoever needs it
skips, or fails in continuous integration.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from runtime.backends.embedded.child import find_server
from runtime.ports import SystemClock
from runtime.tls.local_ca import LocalCa, local_names
from tests.harness.program import default_node, free_port

START_TIMEOUT_S = 30.0
CLIENTS = Path(__file__).parents[1] / "egress_clients"
USER, PASSWORD = "shop", "p/w:%"
_MARIADB_SQL = Path("/usr/share/mysql")


@dataclass(frozen=True)
class Certificate:
    """A certificate of `localhost` and loopback, and the authority that signed it, as files."""

    ca: Path
    chain: Path
    key: Path


def make_certificate(folder: Path) -> Certificate:
    """By an authority that nobody knows but who is given `ca`."""
    authority = LocalCa(folder, local_names("fn.localhost"), SystemClock())
    authority.server_certificate()
    return Certificate(authority.ca_path, folder / "server.pem", folder / "server-key.pem")


@contextmanager
def node_servers(certificate: Certificate) -> Iterator[dict[str, int]]:
    """`egress_clients/live_servers.mjs`: port by name."""
    with subprocess.Popen(
        [default_node(), CLIENTS / "live_servers.mjs"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        told = {"cert": certificate.chain.read_text(), "key": certificate.key.read_text()}
        process.stdin.write(json.dumps(told) + "\n")
        process.stdin.flush()
        ports: dict[str, int] = json.loads(process.stdout.readline())
        yield ports
        process.stdin.close()


@contextmanager
def mongodb_servers(folder: Path, certificate: Certificate) -> Iterator[dict[str, int]]:
    """`plain` asks for `USER` and `PASSWORD`, `tls` for nobody but speaks TLS only."""
    folder.mkdir()
    plain, secure = free_port(), free_port()
    kept = ("--storage-path", str(folder / "data"), "--sync-on-commit")
    without_login = f"mongodb://127.0.0.1:{plain}/?directConnection=true"
    with (
        _running(_mongodb(folder, plain, *kept), plain, folder / "first.log"),
        MongoClient[dict[str, object]](without_login) as client,
    ):
        _when_ready(client)
        client.admin.command("createUser", USER, pwd=PASSWORD, roles=["root"])
    speaking = ("--tls-cert-file", str(certificate.chain), "--tls-key-file", str(certificate.key))
    with (
        _running(_mongodb(folder, plain, *kept, "--auth"), plain, folder / "plain.log"),
        _running(
            _mongodb(folder, secure, "--storage-path", ":memory:", *speaking),
            secure,
            folder / "tls.log",
        ),
    ):
        yield {"plain": plain, "tls": secure}


def _mongodb(folder: Path, port: int, *more: str) -> Sequence[str]:
    configuration = folder / "server.toml"
    configuration.write_text("")
    where = ("--config", str(configuration), "--host", "127.0.0.1", "--port", str(port))
    return [*find_server(), *where, "--cache-size", "64M", *more]


def _when_ready(client: MongoClient[dict[str, object]]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            client.admin.command("ping")
        except PyMongoError:
            if time.monotonic() > deadline:
                raise
        else:
            return


def mariadb_missing() -> str | None:
    """Why there can be no MariaDB server here; None when there can."""
    if shutil.which("mariadbd") is None or not _MARIADB_SQL.is_dir():
        return "MariaDB is not installed (apt-get install mariadb-server-core)"
    return None


@contextmanager
def mariadb_server(folder: Path, certificate: Certificate) -> Iterator[int]:
    """Its port. `USER` may use TLS, and has all rights on the database `shop`."""
    folder.mkdir()
    small = (
        "--no-defaults",
        *("--datadir", str(folder / "data")),
        *(("--user=root",) if os.geteuid() == 0 else ()),
        "--innodb-log-file-size=4M",
        "--innodb-buffer-pool-size=8M",
        "--loose-aria-log-file-size=8M",
    )
    (folder / "data").mkdir()
    # `mysql_...` or, in newer versions, `mariadb_...`.
    tables = ("m*_system_tables.sql", "m*_system_tables_data.sql")
    script = ["create database mysql;", "use mysql;"]
    script += [next(_MARIADB_SQL.glob(name)).read_text() for name in tables]
    made = subprocess.run(
        ["mariadbd", *small, "--bootstrap"],
        input="\n".join(script),
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT_S,
        check=False,
    )
    assert made.returncode == 0, made.stderr[-3000:]
    users = folder / "users.sql"
    users.write_text(
        "CREATE DATABASE shop CHARACTER SET utf8mb4;\n"
        f"CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';\n"
        f"GRANT ALL ON shop.* TO '{USER}'@'%';\n"
    )
    port = free_port()
    command = [
        *("mariadbd", *small, f"--init-file={users}", "--skip-name-resolve"),
        *("--bind-address=127.0.0.1", f"--port={port}", f"--socket={folder / 'socket'}"),
        *(f"--ssl-cert={certificate.chain}", f"--ssl-key={certificate.key}"),
        "--max-allowed-packet=64M",
    ]
    with _running(command, port, folder / "server.log"):
        yield port


@contextmanager
def _running(command: Sequence[str], port: int, log: Path) -> Iterator[None]:
    """From when something accepts on `port` until it was killed: nothing of it is needed later."""
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            _wait_accepting(process, port, log)
            yield
        finally:
            process.kill()


def _wait_accepting(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)  # polling another process: there is nothing to wait on
    raise AssertionError(
        f"{process.args!r} is not ready\n{log.read_text(errors='replace')[-3000:]}"
    )
