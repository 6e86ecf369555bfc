"""A tiny process that outlives the worker to kill the sandboxes of a worker that was killed.

`PR_SET_PDEATHSIG` would need code in the forked child (a fork of the whole worker, unsafe beside
threads, Linux only) and reaches one process only. The guard knows process groups and reads a pipe
whose other end only the worker holds: when that closes, the worker is gone, however it ended.
"""

from __future__ import annotations

import subprocess

from sandbox.api import SandboxError

# One line in for each group that begins or ends. Signals meant for the worker do not reach it (a
# session of its own). dash, bash and busybox all know this much.
_SCRIPT = """
groups=
while read -r sign group; do
  rest=
  for known in $groups; do
    [ "$known" = "$group" ] || rest="$rest $known"
  done
  groups=$rest
  [ "$sign" = - ] || groups="$groups $group"
done
for group in $groups; do
  kill -s KILL -- "-$group"
done
"""


class OrphanGuard:
    """Knows the process groups that must not outlive this process."""

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None

    def add(self, group: int) -> None:
        """Guard a group from now on. Raises SandboxError when no guard can be started."""
        self._groups.add(group)
        if not self._tell(f"+ {group}\n"):
            self._start()

    def discard(self, group: int) -> None:
        """The group has ended. Idempotent; never raises."""
        if group in self._groups:
            self._groups.discard(group)
            self._tell(f"- {group}\n")

    def stop(self) -> None:
        """End the guard; it kills the groups that were not discarded. Idempotent."""
        process, self._process = self._process, None
        if process is not None:
            process.communicate()

    def _tell(self, line: str) -> bool:
        """False when there is no guard that could be told, or somebody killed it."""
        process = self._process
        if process is None or process.stdin is None or process.poll() is not None:
            return False
        try:
            process.stdin.write(line.encode())
        except OSError:
            return False
        return True

    def _start(self) -> None:
        """Start a guard, perhaps another one, that knows all groups."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
        try:
            process = subprocess.Popen(  # noqa: S603 - a constant script
                ["/bin/sh", "-c", _SCRIPT],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                cwd="/",
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise SandboxError(f"/bin/sh does not start: {error}.") from error
        self._process = process
        if not all(self._tell(f"+ {group}\n") for group in self._groups):
            raise SandboxError("the guard of the sandboxes ended as soon as it was started.")
