"""What one check of `yunhan doctor` found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class State(StrEnum):
    """How grave a finding is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report."""

    name: str
    state: State
    text: str
    next_step: str = ""
    ways: Mapping[str, str] = field(default_factory=dict)
    """How to do the next step: for each platform or client what to type there."""
    details: Sequence[str] = ()
    """What belongs to it, a sentence each."""
