"""Why a code package is refused."""

from __future__ import annotations

from enum import StrEnum

from runtime.errors import CallerError


class PackageCode(StrEnum):
    """Stable codes, one for each kind of refusal."""

    NOT_A_ZIP = "InvalidPackage.NotAZip"
    DAMAGED = "InvalidPackage.Damaged"
    TOO_LARGE = "InvalidPackage.TooLarge"
    TOO_MANY_ENTRIES = "InvalidPackage.TooManyEntries"
    NAME = "InvalidPackage.Name"
    DUPLICATE = "InvalidPackage.Duplicate"
    TYPE = "InvalidPackage.Type"
    ENCRYPTED = "InvalidPackage.Encrypted"
    METHOD = "InvalidPackage.Method"
    ENTRY_POINT = "InvalidPackage.EntryPoint"


class PackageError(CallerError):
    """A package breaks a rule. The message names the entry and says what to do."""

    def __init__(self, code: PackageCode, message: str) -> None:
        super().__init__(code.value, message)


def damaged(problem: str) -> PackageError:
    """The refusal of a zip that contradicts itself."""
    return PackageError(PackageCode.DAMAGED, f"the zip is damaged: {problem}; make it again")
