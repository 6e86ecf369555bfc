"""Values and names that are wild where an operator of the database service takes them."""

from __future__ import annotations

import math
from typing import Any

_FINITE = (0, 1, -1, 2, 99, -99, 1000, 0.5, -0.0, 1e18, -1e18, 1e300, -1e300, 5e-324)
_POWERS = (2**31 - 1, 2**31, -(2**31), 2**32, 2**53, 2**63 - 1, -(2**63), 2**63, 2**64, 10**400)
_OF_DATES = (13, 400, 9999, 10_000, 10**9, 3_000_000, 62_135_596_800_001)
NUMBERS: list[Any] = [*_FINITE, *_POWERS, *_OF_DATES, math.nan, math.inf, -math.inf]

_REFERENCES = "$ $$ $n $arr $o.k $d $$ROOT $$NOW $$REMOVE $$x $$this"
_WORDS = "a % %Q ( a{5} \\ [ day year Mars/X +99:99 int NaN 1e400 0x1 current unbounded Point"
_DATES = ("2026-01-02T03:04:05.678Z", "9999-12-31T23:59:59.999Z", "0000-01-01T00:00:00.000Z")
TEXTS: list[Any] = [
    *(*_REFERENCES.split(), *_WORDS.split(), *_DATES),
    *("", "\0", "\ud800", "é", "\U0001d4b3", "x" * 2000, "5f00000000000000000000a1"),
]

_OPERATORS = "$ $x $set $gt $in $expr $literal $date"
_PATHS = (
    ". a. .a a..b _id _id.x n n.k o.k arr.0 arr.-1 arr.3000000 arr.99999999999 arr.$ arr.$[] arr.$[x]"
    " arr.$[x].k __proto__"
)
NAMES = [*_OPERATORS.split(), *_PATHS.split(), "", "\0", "\ud800", "é", "x" * 2000, "a." * 90 + "a"]
