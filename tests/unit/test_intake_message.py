"""What is a message of version 1, what is not, and why."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runtime.intake.message import ARGS_DEPTH_MAX, read_call
from runtime.intake.refusals import DETAIL_MAX, IntakeRefusedError, Reason, shown
from runtime.intake.users import UsersError, read_users, read_users_json
from runtime.settings import SettingsError, load_settings

JSON = "application/json"
GOOD = {"version": 1, "space": "mp-1", "function": "hello", "args": {"name": "Ada"}}


def refusal(body: bytes, **properties: Any) -> Reason:
    with pytest.raises(IntakeRefusedError) as caught:
        read_call(body, **{"content_type": JSON, **properties})
    assert caught.value.detail
    return caught.value.reason


def text(**changes: Any) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in GOOD.items() if key != name}).encode()


def nested(levels: int) -> bytes:
    """`args` with so many arrays inside each other."""
    return b'{"space":"a","function":"b","args":' + b"[" * levels + b"]" * levels + b"}"


def test_a_message_becomes_a_call() -> None:
    call = read_call(text(idempotencyKey="order-7"), content_type=JSON)
    assert (call.space_id, call.function, call.idempotency_key) == ("mp-1", "hello", "order-7")
    assert json.loads(call.args) == {"name": "Ada"}


@pytest.mark.parametrize(
    "content_type", [JSON, "Application/JSON", 'application/json; charset="utf-8"']
)
@pytest.mark.parametrize("encoding", [None, "", "utf-8", "identity"])
def test_content_types_that_are_json(content_type: str, encoding: str | None) -> None:
    assert read_call(text(), content_type=content_type, content_encoding=encoding)


@pytest.mark.parametrize(
    "args", [None, True, 0, -1.5, "", "text", [], [1, [2]], {}, {"a": None}, 2**70]
)
def test_arguments_are_any_json(args: Any) -> None:
    call = read_call(text(args=args), content_type=JSON)
    assert (
        json.loads(call.args) == pytest.approx(args)
        if args == 2**70
        else json.loads(call.args) == args
    )


def test_what_may_be_left_out() -> None:
    call = read_call(b'{"space":"a","function":"b"}', content_type=JSON)
    assert (call.args, call.idempotency_key) == (b"{}", None)


def test_a_lone_surrogate_of_javascript_stays_in_the_arguments() -> None:
    call = read_call(b'{"space":"a","function":"b","args":"\\ud800"}', content_type=JSON)
    assert json.loads(call.args) == "\ud800"


def test_fields_that_nobody_knows_have_no_effect() -> None:
    inner = {"user": "root", "deployment": "dep-1", "principal": {}, "reply_to": "q", "terms": {}}
    assert read_call(text(**inner), content_type=JSON) == read_call(text(), content_type=JSON)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Reason.MALFORMED),
        (b"\xff\xfe", Reason.MALFORMED),
        (b"null", Reason.MALFORMED),
        (b"[]", Reason.MALFORMED),
        (b'"text"', Reason.MALFORMED),
        (b"{}", Reason.MALFORMED),
        (text()[:-1], Reason.MALFORMED),
        (text() + b"{}", Reason.MALFORMED),
        (text().decode().encode("utf-16"), Reason.MALFORMED),
        (b'{"space":"a","function":"b","args":NaN}', Reason.MALFORMED),
        (b'{"space":"a","function":"b","args":1e999}', Reason.MALFORMED),
        (without("space"), Reason.MALFORMED),
        (without("function"), Reason.MALFORMED),
        (text(space=""), Reason.MALFORMED),
        (text(space=7), Reason.MALFORMED),
        (text(space=None), Reason.MALFORMED),
        (text(space="a\nb"), Reason.MALFORMED),
        (text(function="\ud800"), Reason.MALFORMED),
        (text(function="x" * 129), Reason.MALFORMED),
        (text(idempotencyKey=""), Reason.MALFORMED),
        (text(idempotencyKey=7), Reason.MALFORMED),
        (text(idempotency_key="a"), Reason.MALFORMED),
        (text(IdempotencyKey="a"), Reason.MALFORMED),
        (text(Args={}), Reason.MALFORMED),
        (nested(ARGS_DEPTH_MAX + 1), Reason.MALFORMED),
        (nested(2000), Reason.MALFORMED),
        (b'{"space":"\\ud800",' + nested(5000)[1:], Reason.MALFORMED),
        (b"[" * 1_000_000, Reason.MALFORMED),
        (text(version=2), Reason.VERSION),
        (text(version="1"), Reason.VERSION),
        (text(version=True), Reason.VERSION),
        (text(version=None), Reason.VERSION),
        (text(version=2, space=7), Reason.VERSION),
    ],
)
def test_what_is_no_message(body: bytes, reason: Reason) -> None:
    assert refusal(body) is reason


@pytest.mark.parametrize(
    "properties",
    [
        {"content_type": None},
        {"content_type": ""},
        {"content_type": "text/plain"},
        {"content_type": "application/jsonp"},
        {"content_type": "application/json; charset=gbk"},
        {"content_encoding": "gzip"},
    ],
)
def test_what_is_not_json_is_not_read(properties: dict[str, Any]) -> None:
    assert refusal(text(), **properties) is Reason.CONTENT_TYPE


def test_the_deepest_arguments_are_taken() -> None:
    assert read_call(nested(ARGS_DEPTH_MAX), content_type=JSON)


@given(st.binary(max_size=300))
@example(b"\xef\xbb\xbf{}")
def test_no_bytes_do_anything_but_be_refused(body: bytes) -> None:
    assert refusal(body) is Reason.MALFORMED


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(
    st.dictionaries(
        st.sampled_from(["version", "space", "function", "args", "idempotencyKey", "Space", "x"])
        | st.text(),
        values,
    ),
    st.none() | st.just(JSON) | st.text(),
    st.none() | st.text(),
)
def test_every_object_is_a_call_or_refused(
    value: Any, kind: str | None, encoding: str | None
) -> None:
    body = json.dumps(value).encode()
    try:
        call = read_call(body, content_type=kind, content_encoding=encoding)
    except IntakeRefusedError as error:
        refused: IntakeRefusedError | None = error
    else:
        refused = None
        json.loads(call.args)
        assert call.space_id
        assert call.function
    assert refused is None or refused.detail.isprintable()


@given(st.text())
def test_what_is_shown_is_one_short_line_of_utf_8(anything: str) -> None:
    line = shown(anything * 3)
    assert len(line.encode()) <= 4 * DETAIL_MAX
    assert line.isprintable()


# --- users ---------------------------------------------------------------------------------------


def test_users_may_send_to_their_spaces_only() -> None:
    users = read_users("shop=mp-1,mp-2; ops = * ;none=mp-3")
    assert users.may_send("shop", "mp-1")
    assert users.may_send("shop", "mp-2")
    assert not users.may_send("shop", "mp-3")
    assert users.may_send("ops", "mp-anything")
    assert not users.may_send("stranger", "mp-1")
    assert not users.may_send("shop", "*")


def test_the_file_says_the_same() -> None:
    assert read_users_json(b'{"shop": ["mp-1", "mp-2"], "ops": ["*"]}') == read_users(
        "shop=mp-1,mp-2;ops=*"
    )
    assert read_users_json(b'{"a;b=c": ["mp-1"]}').may_send("a;b=c", "mp-1")


def test_nobody_is_named() -> None:
    assert not read_users("")
    assert not read_users_json(b"{}")


@pytest.mark.parametrize(
    "space", ["myshop", "mp-", "MP-1", "mp-1*", "**", "mp-1/x", "mp-" + 62 * "a"]
)
def test_what_is_no_id_of_a_space_is_told_with_its_user(space: str) -> None:
    with pytest.raises(UsersError, match=r"user 'shop'.*yunhan space list"):
        read_users(f"ops=*;shop=mp-1,{space}")
    with pytest.raises(SettingsError, match=r"YUNHAN_INTAKE_USERS.*yunhan space list"):
        load_settings({"YUNHAN_INTAKE_USERS": f"shop={space}"})


@pytest.mark.parametrize(
    "bad", ["shop", "=mp-1", "shop=", "shop=mp 1", "a=mp-1;a=mp-2", "shop=mp-1,"]
)
def test_a_mapping_that_is_none_is_told(bad: str) -> None:
    with pytest.raises(UsersError):
        read_users(bad)


@pytest.mark.parametrize(
    "bad", [b"", b"[]", b'{"a": "mp-1"}', b'{"a": [1]}', b'{"": ["*"]}', b'{"a": ["/"]}']
)
def test_a_file_that_is_none_is_told(bad: bytes) -> None:
    with pytest.raises(UsersError):
        read_users_json(bad)
