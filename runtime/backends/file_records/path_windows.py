"""Cuts the paths of a space into ranges with few files in each, without counting them.

The embedded server reads all that a range holds, whatever limit it is given, and blocks everybody meanwhile.
So some records, by chance, are *posts*: reading the few tall ones, then the low ones between two of them,
says where a short range ends. Posts may come and go at any time: any cut is right, they are only handy.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from pymongo import ASCENDING
from pymongo.asynchronous.collection import AsyncCollection

from runtime.backends.documents_mongodb import Document
from runtime.backends.file_records.codec import LOW_POST, TALL_POST

_POSTS_MAX = 16
"""Low posts in one window at most: about 1,000 files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathSpan:
    """A range of paths in the order of code points, as two halves of a condition; empty = no bound."""

    lower: Document = field(default_factory=dict)
    upper: Document = field(default_factory=dict)

    @classmethod
    def of(cls, prefix: str, after: str | None) -> PathSpan:
        """The paths with this prefix that are behind `after`."""
        lower: Document = {"$gte": prefix} if prefix else {}
        if after is not None and after >= prefix:
            lower = {"$gt": after}
        end = _behind(prefix)
        return cls(lower=lower, upper={} if end is None else {"$lt": end})

    def behind(self, path: str) -> PathSpan:
        return PathSpan(lower={"$gt": path}, upper=self.upper)

    def up_to(self, path: str) -> PathSpan:
        return PathSpan(lower=self.lower, upper={"$lte": path})

    def condition(self, space_id: str, **more: object) -> Document:
        """For the documents of a space with a path in it."""
        limits = self.lower | self.upper
        return {"s": space_id, **more} | ({"p": limits} if limits else {})


async def windows(
    files: AsyncCollection[Document], space_id: str, span: PathSpan
) -> AsyncGenerator[PathSpan, None]:
    """Ranges that follow each other and make up the whole span: the first is short, for those who want a
    page; they grow, for those who want everything. Raises the driver's errors."""
    posts_per_window = 1
    for tall in [*await _posts(files, TALL_POST, space_id, span), None]:
        between = span if tall is None else span.up_to(tall)
        low = await _posts(files, LOW_POST, space_id, between)
        while len(low) > posts_per_window:
            cut = low[posts_per_window - 1]
            yield between.up_to(cut)
            low, between = low[posts_per_window:], between.behind(cut)
            posts_per_window = min(2 * posts_per_window, _POSTS_MAX)
        yield between
        if tall is not None:
            span = span.behind(tall)


async def _posts(
    files: AsyncCollection[Document], kind: int, space_id: str, span: PathSpan
) -> list[str]:
    found = files.find(span.condition(space_id, k=kind), {"p": 1}).sort("p", ASCENDING)
    return [each["p"] async for each in found]


def _behind(prefix: str) -> str | None:
    """The first text behind all that begin with `prefix`; None when there is none."""
    stem = prefix.rstrip("\U0010ffff")
    if not stem:
        return None
    following = ord(stem[-1]) + 1
    return stem[:-1] + chr(0xE000 if following == 0xD800 else following)
