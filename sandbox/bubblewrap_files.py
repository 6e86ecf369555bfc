"""What a bubblewrap sandbox is handed from outside: files, its filter, and a sign of its end."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath

from sandbox.bubblewrap_command import (
    BOOTSTRAP_INSIDE,
    CODE_INSIDE,
    FOLDER_INSIDE,
    NODE_INSIDE,
    Bind,
)

_ETC_INSIDE = PurePosixPath("/etc")
_ETC = {
    "passwd": "function:x:65534:65534::/tmp:/bin/false\n",
    "group": "function:x:65534:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
}


class Handed:
    """For one start: everything that is bound, and the descriptors that the started process must get.

    `gone` reads the end of a pipe as soon as the last process that was given `sync` is gone.
    """

    def __init__(self, binds: Sequence[Bind], stack: ExitStack) -> None:
        """`stack` closes the descriptors. Raises OSError."""
        self.binds = binds
        self._stack = stack
        self.gone, self.sync = os.pipe()
        stack.callback(os.close, self.gone)
        stack.callback(os.close, self.sync)
        self.descriptors = [self.sync]

    def readable(self, data: bytes) -> int:
        """One more descriptor, from which `data` can be read up to its end. Raises OSError."""
        reading, writing = os.pipe()
        self._stack.callback(os.close, reading)
        self.descriptors.append(reading)
        try:
            os.write(writing, data)  # a few KB: they fit into the pipe
        finally:
            os.close(writing)
        return reading


class ShownFiles:
    """The files that all sandboxes of a worker see.

    With `staged` they are laid out by root for uids of their own.
    """

    def __init__(
        self,
        *,
        etc_dir: Path,
        bootstrap_dir: Path,
        libraries: Mapping[Path, Sequence[Path]],
        staged: bool,
    ) -> None:
        """`libraries` are those of each Node.js executable; `etc_dir` is made. Raises OSError."""
        self._staged = staged
        self._libraries = libraries
        etc_dir.mkdir(mode=0o755, exist_ok=True)
        etc_dir.chmod(0o755)
        for name, text in _ETC.items():
            (etc_dir / name).write_text(text, encoding="ascii")
            (etc_dir / name).chmod(0o644)
        self._common = [
            self._bind(etc_dir, _ETC_INSIDE, "etc"),
            self._bind(bootstrap_dir, BOOTSTRAP_INSIDE, "bootstrap"),
        ]

    @contextmanager
    def handed(self, *, node: Path, folder: Path, view: Path) -> Iterator[Handed]:
        """For one start; its descriptors are closed afterwards. Raises OSError."""
        with ExitStack() as stack:
            yield Handed(
                [
                    *self._common,
                    self._bind(node, NODE_INSIDE, "node"),
                    # Where the system keeps its libraries everybody can read.
                    *(
                        Bind(source=each, inside=PurePosixPath(each))
                        for each in self._libraries[node]
                    ),
                    self._bind(view, CODE_INSIDE, "code"),
                    self._bind(folder, FOLDER_INSIDE, "folder"),
                ],
                stack,
            )

    def _bind(self, source: Path, inside: PurePosixPath, name: str) -> Bind:
        return Bind(source=source, inside=inside, staged_as=name if self._staged else "")
