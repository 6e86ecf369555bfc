"""How callers name files."""

from __future__ import annotations

import pytest

from runtime.errors import InvalidParameterError
from runtime.files.paths import file_id_of
from runtime.files.references import IDS_MAX, ids_named, reference_in, references_in

SPACE = "mp-1"
ID = "0f0f0f0f-0000-4000-8000-000000000001"


def test_an_id_is_itself() -> None:
    assert ids_named(SPACE, ID) == (ID,)


@pytest.mark.parametrize(
    "reference",
    [
        "https://localhost:8743/oss/mp-1/a/b.png",
        "HTTP://old.example.com/mp-1/a/b.png?Expires=1&Signature=2",
        "https://cdn/prefix/mp-1/a/b.png#x",
        "mp-1/a/b.png",
    ],
)
def test_an_address_names_the_path_behind_the_space(reference: str) -> None:
    assert ids_named(SPACE, reference)[0] == file_id_of(SPACE, "a/b.png")


def test_a_path_may_be_encoded_or_not() -> None:
    assert file_id_of(SPACE, "图 1.png") in ids_named(SPACE, "https://h/mp-1/%E5%9B%BE%201.png")
    assert file_id_of(SPACE, "图 1.png") in ids_named(SPACE, "https://h/mp-1/图 1.png")
    assert ids_named(SPACE, "https://h/mp-1/50%25.png") == (  # encoded is the likelier
        file_id_of(SPACE, "50%.png"),
        file_id_of(SPACE, "50%25.png"),
    )


def test_the_sdks_put_a_question_mark_into_an_address_as_it_is() -> None:
    assert file_id_of(SPACE, "a?.png") in ids_named(SPACE, "https://h/mp-1/a?.png")


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "a.png",
        "mp-2/a.png",
        "https://h/mp-2/a.png",
        "https://h/mp-1/",
        "mp-1/",
        "x" * 5000,
        "https://h/mp-1/\ud800",
        ID.upper(),
        f"{ID}0",
    ],
)
def test_what_names_nothing_here(reference: str) -> None:
    assert ids_named(SPACE, reference) == ()


def test_functions_send_an_object() -> None:
    assert reference_in({"fileUrl": "https://h/x"}) == "https://h/x"
    assert reference_in("x") == "x"


@pytest.mark.parametrize("value", [None, "", 1, [], {}, {"fileUrl": 1}, {"fileUrl": ""}, True])
def test_no_reference_is_an_error_of_the_caller(value: object) -> None:
    with pytest.raises(InvalidParameterError):
        reference_in(value)


def test_ids_come_with_commas_each_once() -> None:
    assert references_in(" a,b ,,a") == ("a", "b")
    assert references_in("") == ()
    assert len(references_in(",".join(map(str, range(IDS_MAX))))) == IDS_MAX


@pytest.mark.parametrize(
    "value", [None, 1, ["a"], ",".join(map(str, range(IDS_MAX + 1))), "," * 1_000_000]
)
def test_too_many_ids_or_none_at_all(value: object) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        references_in(value)
    assert caught.value.code == "ParamInvalid"


def test_a_wanted_path_names_its_file_letter_by_letter() -> None:
    """As `cloudPath` does: what an upload is told is good for `info` and `delete`, too."""
    for path in ("a.png", "a%20b.png", "a?b#c.png", f"{SPACE}/a.png"):
        assert ids_named(SPACE, f"/{path}") == (file_id_of(SPACE, path),)
