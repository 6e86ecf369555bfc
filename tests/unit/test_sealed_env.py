"""Sealing a function's environment: where it opens, and what tells two apart."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import OursError
from runtime.messages import Function
from runtime.sealing import SecretBox
from runtime.services.sealed_env import SealedEnv, digest_of
from runtime.testing.queue import sample_job

SEALED = SealedEnv(SecretBox(b"k" * 32))
WHERE = {"space_id": "mp-space", "function": "hello"}

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,127}", fullmatch=True)
values = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
envs = st.dictionaries(names, values, max_size=8)


@given(envs)
def test_what_was_sealed_is_opened(env: dict[str, str]) -> None:
    sealed = SEALED.seal(env, **WHERE)
    assert SEALED.open_of(sealed, **WHERE) == env
    assert SEALED.open(sample_job(env_sealed=sealed, space_id="mp-space", function="hello")) == env
    assert not any(len(value) > 3 and value.encode() in sealed for value in env.values())


def test_no_variables_are_the_empty_value() -> None:
    assert SEALED.seal({}, **WHERE) == b""
    assert SEALED.open_of(b"", **WHERE) == {}
    assert digest_of(b"") == ""


@pytest.mark.parametrize(
    ("box", "where"),
    [
        (b"k", {**WHERE, "space_id": "mp-other"}),
        (b"k", {**WHERE, "function": "other"}),
        (b"k", {"space_id": "mp-space/function/hello", "function": "env"}),
        (b"x", WHERE),
    ],
)
def test_it_opens_nowhere_else(box: bytes, where: dict[str, str]) -> None:
    sealed = SEALED.seal({"A": "hush-hush"}, **WHERE)
    with pytest.raises(OursError, match="YUNHAN_MASTER_KEY_FILE") as caught:
        SealedEnv(SecretBox(box * 32)).open_of(sealed, **where)
    assert "hush" not in str(caught.value)


def test_every_seal_has_a_digest_of_its_own() -> None:
    one, two = SEALED.seal({"A": "1"}, **WHERE), SEALED.seal({"A": "1"}, **WHERE)
    assert digest_of(one) == digest_of(bytes(one))
    assert len({digest_of(one), digest_of(two), digest_of(b"")}) == 3


def test_messages_do_not_show_it() -> None:
    sealed = SEALED.seal({"A": "hush-hush"}, **WHERE)
    for value in (sample_job(env_sealed=sealed), replace(Function(name="f"), env_sealed=sealed)):
        assert "env_sealed" not in repr(value)
        assert repr(sealed)[2:-1] not in repr(value)
