"""A table of what commands do to documents and answer, written for this project."""

from runtime.testing.document_cases.case import Case
from runtime.testing.document_cases.filters import FILTERS
from runtime.testing.document_cases.pipelines import PIPELINES
from runtime.testing.document_cases.reads import READS
from runtime.testing.document_cases.updates import UPDATES
from runtime.testing.document_cases.writes import WRITES

__all__ = ["CASES", "Case"]

CASES: tuple[Case, ...] = (*FILTERS, *READS, *UPDATES, *WRITES, *PIPELINES)
