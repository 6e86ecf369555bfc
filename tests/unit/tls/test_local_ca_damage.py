"""The local authority after a kill, and over files that are damaged, missing or of somebody else."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from structlog.testing import capture_logs

from runtime.sealing import write_private_file
from runtime.tls.local_ca import (
    LocalCaError,
)
from tests.unit.tls.local_ca_support import FILES, Place, events, names_of
from tests.unit.tls.tls_support import issue

# --- what a kill leaves behind ----------------------------------------------------------------


class KilledError(Exception):
    """The program ends here."""


STEPS_OF_A_START = 4
"""Files written; before each of them and after the last the program may be killed."""


@pytest.mark.parametrize("survives", range(STEPS_OF_A_START))
@pytest.mark.parametrize("existing", [False, True], ids=["first start", "replacement"])
def test_a_killed_start_is_made_good_by_the_next(
    place: Place, monkeypatch: pytest.MonkeyPatch, survives: int, existing: bool
) -> None:
    if existing:
        place.start()
    written: list[Path] = []

    def write_or_die(path: Path, content: bytes) -> None:
        if len(written) == survives:
            raise KilledError
        written.append(path)
        write_private_file(path, content)

    monkeypatch.setattr("runtime.tls.local_ca.write_private_file", write_or_die)
    with pytest.raises(KilledError):
        place.start("fn.example.test")
    monkeypatch.undo()
    served = place.start("fn.example.test")
    assert sorted(place.contents()) == list(FILES)
    place.certificate("server.pem").verify_directly_issued_by(place.certificate("ca.pem"))
    assert "*.fn.example.test" in names_of(served)
    key = load_pem_private_key(served.key_pem, None)
    assert key.public_key() == place.certificate("server.pem").public_key()


def test_drafts_with_keys_do_not_stay(place: Place) -> None:
    place.start()
    (place.folder / ".ca-key.pem.4242").write_bytes(b"half a key")
    place.start()
    assert sorted(place.contents()) == list(FILES)


# --- damage -----------------------------------------------------------------------------------


def remove(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def put_another(path: Path) -> None:
    own = issue("localhost")
    path.write_text(own.key_pem if path.name.endswith("-key.pem") else own.pem)


@pytest.mark.parametrize("damage", [cut, empty, put_another])
@pytest.mark.parametrize("name", FILES)
def test_damage_is_named_with_what_to_delete(
    place: Place, name: str, damage: Callable[[Path], None]
) -> None:
    place.start()
    damage(place.folder / name)
    before = place.contents()
    certificate = name.replace("-key", "")
    with pytest.raises(LocalCaError) as caught:
        place.start()
    assert name in str(caught.value)
    assert f"{place.folder / certificate} and {certificate.replace('.', '-key.')}: delete" in str(
        caught.value
    )
    assert place.contents() == before
    for path in (place.folder / certificate, place.folder / certificate.replace(".", "-key.")):
        path.unlink()
    assert place.start()


@pytest.mark.parametrize("name", ["ca-key.pem", "server-key.pem"])
def test_a_missing_key_is_named(place: Place, name: str) -> None:
    place.start()
    remove(place.folder / name)
    with pytest.raises(LocalCaError, match=f"{name} is missing"):
        place.start()


@pytest.mark.parametrize("name", ["ca.pem", "server.pem"])
def test_a_missing_certificate_is_made_anew(place: Place, name: str) -> None:
    place.start()
    remove(place.folder / name)
    place.start()
    place.certificate("server.pem").verify_directly_issued_by(place.certificate("ca.pem"))


def test_an_authority_of_somebody_else_is_not_overwritten(place: Place) -> None:
    place.start()
    own = issue(ca=True)
    (place.folder / "ca.pem").write_text(own.pem)
    (place.folder / "ca-key.pem").write_text(own.key_pem)
    with pytest.raises(LocalCaError, match="move it"):
        place.start()
    assert (place.folder / "ca-key.pem").read_text() == own.key_pem


def test_a_key_that_others_could_read_is_closed(place: Place) -> None:
    place.start()
    key = place.folder / "ca-key.pem"
    key.chmod(0o644)
    with capture_logs() as logs:
        place.start()
    assert events(logs) == ["private_key_was_readable_by_others"]
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "tls").write_text("a file is here")
    with pytest.raises(LocalCaError, match=str(tmp_path / "tls")):
        Place(tmp_path / "tls").start()


def test_keys_are_not_in_the_log(place: Place) -> None:
    with capture_logs() as logs:
        place.start()
    assert "PRIVATE" not in repr(logs)
