"""What callers asked of each path and were told, and what may be there after it. Pure.

A request lasts from its sending to its answer; one that nobody answered lasts until the program is dead.
Whatever it does, it does in that time. What follows from the product's promises:

    upload      its bytes become the file by a report, at once or later, or never
    report      takes the newest stored upload of the path; older ones are dropped
    delete      the file is gone; uploads that wait for their report stay

Times are seconds of one clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf

REPORTABLE_S = 9.0
"""An upload can be reported at least so long after it was sent: less than YUNHAN_FILE_SIGN_TTL_S."""

UNREADABLE = "HTTP "
"""How a content begins that is none: a file that is there for its record, but not to be had."""
_LOST = "lost"
_SHOWN = 12
"""Characters of a content that stands for it in a message."""

Content = str | None
"""SHA-256 in hex digits; None: there is no such file."""


class Kind(StrEnum):
    """Of a request that changes something."""

    UPLOAD = "upload"
    REPORT = "report"
    DELETE = "delete"


class Told(StrEnum):
    """What the caller knows of a request."""

    NOTHING = "nothing"
    """No answer, or one that leaves open what was done."""
    DONE = "done"
    REFUSED = "refused"
    """Surely without an effect."""


@dataclass(slots=True)
class Request:
    """One request on one path. `digest` and `size` are an upload's."""

    kind: Kind
    began: float
    digest: str = ""
    size: int = 0
    ended: float = inf
    told: Told = Told.NOTHING

    @property
    def done(self) -> bool:
        return self.told is Told.DONE


@dataclass(slots=True)
class PathHistory:
    """All requests on one path, in the order of their sending."""

    requests: list[Request] = field(default_factory=list)

    def of(self, kind: Kind) -> Iterator[Request]:
        """Those that may have had an effect."""
        for each in self.requests:
            if each.kind is kind and each.told is not Told.REFUSED:
                yield each

    def possible(self) -> frozenset[Content]:
        """What may be there when no request is under way."""
        found: set[Content] = {each.digest for each in self.of(Kind.UPLOAD) if self._may_be(each)}
        if not any(self._stays_there(each) for each in self._effective()):
            found.add(None)
        return frozenset(found)

    def wrongly_refused(self) -> Iterator[Request]:
        """Reports that were told "nothing was uploaded" although an acknowledged upload waited for them."""
        for report in self.requests:
            refused = report.kind is Kind.REPORT and report.told is Told.REFUSED
            if refused and any(self._waited_for(report, each) for each in self.of(Kind.UPLOAD)):
                yield report

    def _may_be(self, upload: Request) -> bool:
        """Whether the file may be this upload."""
        if not self._reported_after(upload.began):
            return False
        if any(upload.ended < newer.began for newer in self._effective()):
            return False  # dropped or replaced by one that came after it
        return not any(self._deleted(upload, each) for each in self.of(Kind.DELETE) if each.done)

    def _effective(self) -> Iterator[Request]:
        """Uploads of which is known that they, or newer ones, became the file: acknowledged, and a report
        that began afterwards was acknowledged while they could be reported."""
        for upload in self.of(Kind.UPLOAD):
            if upload.done and any(
                report.done
                and report.began >= upload.ended
                and report.ended - upload.began < REPORTABLE_S
                for report in self.of(Kind.REPORT)
            ):
                yield upload

    def _deleted(self, upload: Request, deletion: Request) -> bool:
        """Whether the upload was the file before the deletion at the latest, so that it is none now."""
        settled = any(
            report.done and report.began >= upload.ended and report.ended <= deletion.began
            for report in self.of(Kind.REPORT)
        )
        return settled or not self._reported_after(max(upload.began, deletion.began))

    def _stays_there(self, upload: Request) -> bool:
        """Whether nobody deletes after this effective upload, or what replaced it, became the file."""
        applied = max(
            upload.began,
            min(each.began for each in self.of(Kind.REPORT) if each.ended > upload.began),
        )
        return not any(each.ended > applied for each in self.of(Kind.DELETE))

    def _reported_after(self, moment: float) -> bool:
        return any(each.ended > moment for each in self.of(Kind.REPORT))

    def _waited_for(self, report: Request, upload: Request) -> bool:
        taken = any(
            each.ended > upload.began and each.began < report.ended for each in self.of(Kind.REPORT)
        )
        in_time = report.ended - upload.began < REPORTABLE_S
        return upload.done and upload.ended <= report.began and in_time and not taken


class History:
    """Of all paths; kept where no kill reaches it."""

    def __init__(self) -> None:
        self.paths: dict[str, PathHistory] = {}
        self.answers = 0
        self.lost: set[str] = set()
        """Paths that had, at some look, no bytes though they must have some."""
        self._before: dict[str, tuple[int, Content]] = {}

    def begin(
        self, path: str, kind: Kind, now: float, *, digest: str = "", size: int = 0
    ) -> Request:
        """To be ended with `end`, or by the program's death."""
        request = Request(kind, now, digest=digest, size=size)
        self.paths.setdefault(path, PathHistory()).requests.append(request)
        return request

    def end(self, request: Request, told: Told, now: float) -> None:
        """An answer. One that says nothing leaves the request under way."""
        self.answers += 1
        request.told = told
        if told is not Told.NOTHING:
            request.ended = now

    def die(self, now: float) -> None:
        """No process is left: whatever was under way is over."""
        for each in self.all():
            each.ended = min(each.ended, now)

    def all(self, kind: Kind | None = None) -> Iterator[Request]:
        """Of all paths, refused ones too."""
        for history in self.paths.values():
            yield from (each for each in history.requests if kind is None or each.kind is kind)

    def under_way(self) -> Iterator[Request]:
        """Those without an answer that says something, since the last death."""
        return (each for each in self.all() if each.ended == inf)

    def overwrites(self) -> int:
        """Uploads to a path that somebody had uploaded to before."""
        counts = (sum(1 for _ in history.of(Kind.UPLOAD)) for history in self.paths.values())
        return sum(max(0, count - 1) for count in counts)

    def look(self, found: Mapping[str, Content]) -> Iterator[str]:
        """Every path that has not what it may have, or changed though nobody asked for it since the last
        look. `found`: of every path."""
        for path, history in sorted(self.paths.items()):
            content, count = found[path], len(history.requests)
            before, self._before[path] = self._before.get(path), (count, content)
            fault = _fault(history, content)
            if fault.startswith(_LOST):
                self.lost.add(path)
            if fault:
                yield f"{path}: {fault}"
            elif before is not None and before[0] == count and before[1] != content:
                yield f"{path}: changed by itself from {_brief(before[1])} to {_brief(content)}"

    def refusals(self) -> Iterator[str]:
        """Acknowledged uploads that their report did not find."""
        for path, history in sorted(self.paths.items()):
            for report in history.wrongly_refused():
                yield f"{path}: the report sent at {report.began:.3f} found no upload"


def _fault(history: PathHistory, content: Content) -> str:
    possible = history.possible()
    if content in possible:
        return ""
    wanted = " or ".join(sorted(map(_brief, possible)))
    if content is None or content.startswith(UNREADABLE):
        return f"{_LOST}: {content or 'no file'}, wanted {wanted}"
    if content not in {each.digest for each in history.requests}:
        return f"{_brief(content)} is nothing that was uploaded there, wanted {wanted}"
    if possible == {None}:
        return f"{_brief(content)} is there although it was deleted or never reported"
    return f"{_brief(content)} is an old version, wanted {wanted}"


def _brief(content: Content) -> str:
    return "no file" if content is None else content[:_SHOWN]
