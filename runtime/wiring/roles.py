"""The three programs, and what each of them must be told.

`up` has everything in one process, on whatever the settings name. `gateway` and `worker` meet only through
the queue, the document database and the file store, so none of these may be one that a program has for
itself.
"""

from __future__ import annotations

from enum import StrEnum
from urllib.parse import urlsplit

from runtime.data_dir import GATEWAY_FOLDER, WORKER_FOLDER
from runtime.settings import Settings, SettingsError


class Role(StrEnum):
    """A program; the value is its command."""

    UP = "up"
    GATEWAY = "gateway"
    WORKER = "worker"

    @property
    def serves_clients(self) -> bool:
        return self is not Role.WORKER

    @property
    def runs_functions(self) -> bool:
        return self is not Role.GATEWAY


_FOLDERS = {Role.UP: "", Role.GATEWAY: GATEWAY_FOLDER, Role.WORKER: WORKER_FOLDER}


def settings_for(role: Role, settings: Settings) -> Settings:
    """The settings with the role's own data directory. Raises SettingsError when a part that programs share
    is one that only this program would have; all that is wrong is told at once."""
    if role is Role.UP:
        return settings
    problems = _not_shared(settings)
    if problems:
        needed = f"yunhan {role.value} shares queue, documents, files and master key with other programs:"
        raise SettingsError("\n".join([needed, *problems]))
    return settings.model_copy(update={"data_dir": settings.data_dir / _FOLDERS[role]})


def _not_shared(settings: Settings) -> list[str]:
    problems = []
    if settings.queue_url == "memory:":
        problems.append(
            "YUNHAN_QUEUE_URL=memory: is inside one program; set amqp://user@host/vhost"
        )
    if settings.documents_url == "embedded:":
        problems.append(
            "YUNHAN_DOCUMENTS_URL=embedded: belongs to one program; set mongodb://host/?replicaSet=name"
        )
    files = urlsplit(settings.files_url)
    if files.scheme == "memory" or (files.scheme == "file" and not files.path):
        problems.append(
            f"YUNHAN_FILES_URL={files.scheme}: belongs to one program; set s3://bucket, or file:///path of a"
            " folder that every program sees"
        )
    if settings.master_key_file is None:
        problems.append(
            "YUNHAN_MASTER_KEY_FILE is not set; give every program the same file, made once:"
            " head -c 32 /dev/urandom | base64 > master.key"
        )
    return problems
