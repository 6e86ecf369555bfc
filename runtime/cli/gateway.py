"""`yunhan gateway`: the HTTP side alone."""

from __future__ import annotations

import click

from runtime.cli import programs


@click.command
def gateway() -> None:
    """Serve clients, triggers and the management API; functions run in workers.

    Needs what it shares with other gateways and with the workers: YUNHAN_QUEUE_URL (amqp://...),
    YUNHAN_DOCUMENTS_URL (mongodb://...), YUNHAN_FILES_URL (s3://... or a shared folder) and
    YUNHAN_MASTER_KEY_FILE.
    """
    programs.run("gateway")
