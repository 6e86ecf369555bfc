"""Whatever a client or a function sends: the rules hold and nothing raises."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from itertools import product
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from runtime.trigger.addresses import Origin
from runtime.trigger.paths import TriggerMatch, find_trigger, normalize_request_path
from runtime.trigger.request import TriggerRequest, trigger_args
from runtime.trigger.response import AnswerRules, BadResponse, TriggerResponse, trigger_response

many = settings(max_examples=2000, deadline=None)

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=12)
"""With lone surrogates, as in field values that are no UTF-8 and in JavaScript's strings."""

# --- paths ------------------------------------------------------------------------------------

GOOD_PIECES = ["/", "http", "a", "...", "%61", "%252e", "%25", "%e4%b8%ad", "中", ";"]
BAD_PIECES = [".", "..", "%2e", "%2E", "%2f", "%5c", "\\", "%", "%00", "%c0%ae", "?", "#", "\udcff"]
RAW_PATHS = st.lists(st.sampled_from(GOOD_PIECES * 5 + BAD_PIECES), max_size=7).map(
    lambda pieces: "/" + "".join(pieces)
)


@many
@given(RAW_PATHS | ANY_TEXT)
@example("/http/%252e%252e/")
def test_no_dot_segment_and_no_second_reading_gets_through(raw: str) -> None:
    path = normalize_request_path(raw)
    if path is None:
        return
    assert path.startswith("/")
    assert not {".", ".."} & set(path.split("/"))
    assert "\\" not in path
    assert path.count("/") == raw.count("/")
    assert not any(character < " " or character == "\x7f" for character in path)
    escaped = "".join(f"%{byte:02x}" for byte in path.encode()).replace("%2f", "/")
    assert normalize_request_path(escaped) == path


TRIGGER_PATHS = st.sampled_from(
    ["/http" + "".join(tail) for n in range(4) for tail in product(["/a", "/ab"], repeat=n)]
)
REQUEST_TAILS = st.sampled_from(["", "", "/", "//", "b", "//a", "/a/"])


def naive_find(paths: dict[str, str], request_path: str) -> TriggerMatch | None:
    fitting = [p for p in paths if request_path == p or request_path.startswith(p + "/")]
    if not fitting:
        return None
    path = max(fitting, key=len)
    remainder = request_path.removeprefix(path) or "/"
    return TriggerMatch(function=paths[path], path=path, remainder=remainder)


@many
@given(
    st.dictionaries(TRIGGER_PATHS, st.sampled_from(["f", "g"]), max_size=6),
    TRIGGER_PATHS,
    REQUEST_TAILS,
)
def test_the_found_trigger_is_the_longest(paths: dict[str, str], start: str, tail: str) -> None:
    request_path = start + tail
    assert find_trigger(paths, request_path) == naive_find(paths, request_path)


# --- requests ---------------------------------------------------------------------------------

HEADERS = st.tuples(
    st.sampled_from(
        ["Content-Type", "content-type", "Cookie", "X-A", "x-a", "Connection", "Content-Length", "__proto__",
         "Content-Encoding", "Transfer-Encoding"]
    ),
    st.sampled_from(["text/plain; charset=gbk", "text/xml", "gzip", "a=1", ""]) | ANY_TEXT,
)  # fmt: skip
QUERIES = st.lists(
    st.sampled_from(["&", "=", "a", "b", "%", "%e4", "%b8", "%ad", "+", "%zz", "__proto__", "\udcff"])
).map("".join)  # fmt: skip
REQUESTS = st.builds(
    TriggerRequest,
    method=st.sampled_from(["GET", "POST"]),
    path=st.sampled_from(["/http", "/http/中"]),
    query=QUERIES | ANY_TEXT,
    headers=st.lists(HEADERS, max_size=6),
    body=st.binary(max_size=20) | ANY_TEXT.map(lambda text: text.encode("utf-8", "replace")),
)


@many
@given(REQUESTS)
def test_every_request_becomes_well_formed_arguments(request: TriggerRequest) -> None:
    args = json.loads(trigger_args(request))
    assert list(args) == [
        "path",
        "httpMethod",
        "headers",
        "queryStringParameters",
        "body",
        "isBase64Encoded",
    ]
    assert (args["path"], args["httpMethod"]) == (request.path, request.method)
    for mapping in (args["headers"], args["queryStringParameters"]):
        assert all(isinstance(value, str) for value in mapping.values())
    assert all(name == name.lower() for name in args["headers"])
    assert not {"connection", "transfer-encoding"} & set(args["headers"])
    if request.body:
        assert args["headers"]["content-length"] == str(len(request.body))
    assert type(args["isBase64Encoded"]) is bool
    body = args["body"]
    assert (b64decode(body) if args["isBase64Encoded"] else body.encode()) == request.body


# --- responses --------------------------------------------------------------------------------

MAX_BODY = 100
SCALARS = st.none() | st.booleans() | st.integers(-700, 700) | st.floats(allow_nan=False) | ANY_TEXT
SMALL_VALUES = (
    SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(ANY_TEXT, SCALARS, max_size=3)
)
NAMES = st.sampled_from(
    ["Set-Cookie", "set-cookie", "Content-Type", "content-type", "X-A", "Location", "Content-Length",
     "Transfer-Encoding", "Content-Disposition"]
)  # fmt: skip
FIELD_VALUES = (
    st.sampled_from(["text/html", "text/html; charset=", "inline", "\tx ", "中", "\ud800", 1, True])
    | st.lists(st.sampled_from(["a=1", "b", 2]), max_size=3)
)  # fmt: skip
INJECTIONS = st.sampled_from(["a\r\nb: c", "\n", "\x85", "\0", "a b", ""]) | ANY_TEXT
BODIES = st.text(max_size=120) | st.binary(max_size=110).map(lambda b: b64encode(b).decode())
GOOD_COMPOSED = st.fixed_dictionaries(
    {"mpserverlessComposedResponse": st.just(True)},
    optional={
        "statusCode": st.sampled_from([200, 204, 302, 304, 404, 599, "301"]),
        "headers": st.dictionaries(NAMES, FIELD_VALUES, max_size=4),
        "body": BODIES,
        "isBase64Encoded": st.booleans(),
    },
)
STRANGE_HEADERS = st.dictionaries(
    NAMES | INJECTIONS, FIELD_VALUES | INJECTIONS | SMALL_VALUES, max_size=3
)
STRANGE_PARTS = st.fixed_dictionaries(
    {},
    optional={
        "mpserverlessComposedResponse": SMALL_VALUES,
        "statusCode": SMALL_VALUES,
        "headers": STRANGE_HEADERS | SMALL_VALUES,
        "body": SMALL_VALUES,
        "isBase64Encoded": SMALL_VALUES,
        "other": SMALL_VALUES,
    },
)
COMPOSED = GOOD_COMPOSED | st.builds(
    lambda good, strange: good | strange, GOOD_COMPOSED, STRANGE_PARTS
)


SHARED = AnswerRules(max_body_bytes=MAX_BODY, origin=Origin.GATEWAY)
OWN_DOMAIN = AnswerRules(max_body_bytes=MAX_BODY, origin=Origin.DOMAIN, inline=True)


def check(response: TriggerResponse | BadResponse, *, own_domain: bool) -> None:
    if isinstance(response, BadResponse):
        assert response.code in {"InvalidComposedResponseBody", "ResponseContentLength.Exceeded"}
        assert response.message
        return
    assert type(response.status) is int
    assert 200 <= response.status <= 599
    assert len(response.body) <= MAX_BODY
    assert response.status not in {204, 304} or response.body == b""
    names = [name for name, _ in response.headers]
    assert not {"content-length", "transfer-encoding", "connection", "date"} & set(names)
    singles = [name for name in names if name != "set-cookie"]
    assert len(singles) == len(set(singles))
    for name, value in response.headers:
        assert name.isascii()
        assert name == name.lower()
        assert not set(name) & set(' :\r\n\t"(),/;<=>?@[]{}\\')
        assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in name + value)
        value.encode()
    if not own_domain:
        assert dict(response.headers)["content-disposition"] == "attachment"


@many
@given(COMPOSED | SMALL_VALUES, st.booleans())
def test_every_result_becomes_a_safe_answer_or_none(result: Any, own_domain: bool) -> None:
    value = json.dumps(result).encode()
    response = trigger_response(value, OWN_DOMAIN if own_domain else SHARED)
    check(response, own_domain=own_domain)


MANGLED = st.builds(
    lambda result, cut, noise: json.dumps(result).encode()[:cut] + noise,
    COMPOSED,
    st.integers(0, 200),
    st.binary(max_size=5),
)


@many
@given(MANGLED | st.binary(max_size=20))
def test_text_that_is_no_json_breaks_nothing(value: bytes) -> None:
    response = trigger_response(value, SHARED)
    check(response, own_domain=False)
