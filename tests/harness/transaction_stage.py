"""Gateways and workers of one installation that share transactions, and users of several gateways at once."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.harness.database_client import DatabaseClient
from tests.harness.database_sdk import set_rule
from tests.harness.distributed import DistributedProgram
from tests.harness.management import Management
from tests.harness.program import Process, free_port
from tests.harness.sdk_http import Connection, authorize

BEGIN = """module.exports = async (ctx) => {
  const transaction = await ctx.mpserverless.db.startTransaction();
  await transaction.collection(ctx.args.collection).insertOne({ _id: 'of a function', n: 1 });
  return transaction.id;
};"""
GO_ON = """module.exports = async (ctx) => {
  const transaction = await ctx.mpserverless.db.startTransaction();
  await transaction.rollback();
  transaction.status = 'init';
  transaction.queryService.transId = ctx.args.id;
  await transaction.collection(ctx.args.collection).insertOne({ _id: 'of another' });
  return (await transaction.commit()).success;
};"""

_numbers = itertools.count()


class TransactionStage:
    """Two of each, and a space that is open to its clients."""

    def __init__(self, program: DistributedProgram, folder: Path) -> None:
        self.program = program
        self.folder = folder
        self.other = self.gateway()
        self.other.start()
        program.add_worker().start()
        self.management = Management(program.endpoint, program.access_key())
        self.space = self.open_space()
        for name, code in (("begin", BEGIN), ("go-on", GO_ON)):
            self.management.deploy(self.space[0], name, {"index.js": code})

    def gateway(self, **settings: str) -> Process:
        """One more, not started."""
        number = next(_numbers)
        port = free_port()
        environ = {
            **self.program.environ,
            "YUNHAN_HTTP": f"127.0.0.1:{port}",
            "YUNHAN_HTTPS": f"127.0.0.1:{free_port()}",
            "YUNHAN_DATA_DIR": str(self.folder / f"g{number}"),
            **settings,
        }
        return Process(
            "gateway",
            environ,
            address=f"http://127.0.0.1:{port}",
            log_path=self.folder / f"g{number}.log",
        )

    def open_space(self) -> tuple[str, str]:
        space = self.management.space("e2e-shared")
        set_rule(self.management, space[0], "*", "EXTENDED", {".read": True, ".write": True})
        return space


@asynccontextmanager
async def user(space: tuple[str, str], *addresses: str) -> AsyncIterator[list[DatabaseClient]]:
    """One user of the space at several gateways."""
    hosts = [urlsplit(address).netloc for address in addresses]
    token = await authorize(hosts[0], *space)
    async with AsyncExitStack() as stack:
        clients = []
        for host in hosts:
            connection = await Connection.open(host)
            stack.push_async_callback(connection.close)
            clients.append(DatabaseClient(host, space, token, connection))
        yield clients
