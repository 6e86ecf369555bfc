"""The examples with an HTTP trigger, deployed as they are and called as their README says."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.harness.management import Management
from tests.harness.program import Program
from tests.harness.trigger_http import FORMS, TriggerClient

pytestmark = pytest.mark.e2e

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ("webhook", "page", "redirect", "form")
FORM_TYPE = "application/x-www-form-urlencoded"
EVENT = '{"event":"paid","order":7,"by":"云"}'.encode()


@pytest.fixture(scope="module")
def triggers_space(management: Management) -> str:
    """A space of its own with all four deployed and reachable."""
    space_id, _ = management.space("triggers")
    for name in NAMES:
        source = (EXAMPLES / name / "index.js").read_text()
        management.deploy(space_id, name, {"index.js": source})
        management.call(
            "UpdateFunction", SpaceId=space_id, Name=name, HttpTriggerPath=f"/http/{name}"
        )
    management.call("UpdateHttpTriggerConfig", SpaceId=space_id, EnableService=True)
    return space_id


@pytest.fixture(params=FORMS)
def client(request: pytest.FixtureRequest, program: Program, triggers_space: str) -> TriggerClient:
    return TriggerClient(port=program.port, space_id=triggers_space, form=request.param)


def signature(body: bytes, secret: bytes = b"change-me") -> str:
    return f"sha256={hmac.new(secret, body, hashlib.sha256).hexdigest()}"


@pytest.mark.parametrize("charset", ["", "; charset=utf-8", "; charset=gb18030"])
def test_a_signed_call_is_taken_whatever_charset_it_claims(
    client: TriggerClient, charset: str
) -> None:
    """The last one reaches the function as Base64: the signature is over bytes."""
    answer = client.post(
        "/http/webhook",
        EVENT,
        f"application/json{charset}",
        {"X-Signature-256": signature(EVENT)},
    )
    assert (answer.status, json.loads(answer.body)) == (200, {"received": True})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-signature-256": ""},
        {"x-signature-256": "sha256="},
        {"x-signature-256": signature(EVENT, b"guessed")},
        {"x-signature-256": signature(EVENT + b" ")},
        {"x-signature-256": signature(EVENT).upper()},
        {"x-signature-256": signature(EVENT) + "0"},
    ],
)
def test_an_unsigned_or_forged_call_is_refused(
    client: TriggerClient, headers: dict[str, str]
) -> None:
    answer = client.post("/http/webhook", EVENT, "application/json", headers)
    assert answer.status == 401
    assert answer.headers["content-type"].startswith("application/json")
    assert json.loads(answer.body) == {"error": "the signature is missing or wrong"}


def test_a_signed_call_that_is_no_json_is_a_bad_request(client: TriggerClient) -> None:
    answer = client.post(
        "/http/webhook", b"paid", "text/plain", {"x-signature-256": signature(b"paid")}
    )
    assert answer.status == 400


def test_a_page_is_html_without_foreign_markup_and_for_download(client: TriggerClient) -> None:
    query = urlencode({"name": "<script>alert('云')</script>"})
    answer = client.get(f"/http/page?{query}")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-disposition"] == "attachment", "shared domains show no pages"
    assert answer.headers["cache-control"] == "no-store"
    page = answer.body.decode()
    assert "<h1>Hello &#60;script&#62;alert(&#39;云&#39;)&#60;/script&#62;</h1>" in page
    assert answer.headers["request-id"] in page, "the id that the logs have"


def test_a_short_link_leads_to_its_target(client: TriggerClient) -> None:
    answer = client.get("/http/redirect/help")
    assert answer.status == 302
    assert answer.headers["location"] == "https://example.com/help?from=short-link"
    assert answer.body == b""


@pytest.mark.parametrize("path", ["", "/", "/nope", "/__proto__", "/docs/more"])
def test_an_unknown_short_link_is_the_functions_own_404(client: TriggerClient, path: str) -> None:
    answer = client.get(f"/http/redirect{path}")
    assert (answer.status, answer.body) == (404, b"no such link\n")


def test_a_form_is_shown_filled_in_and_answered(client: TriggerClient) -> None:
    form = client.get("/http/form")
    assert form.headers["content-type"] == "text/html; charset=utf-8"
    assert b'<form method="post">' in form.body

    fields = urlencode({"name": "李 & <Lei>", "message": "a=b&c"}).encode()
    answer = client.post("/http/form", fields, FORM_TYPE)
    assert answer.status == 200
    assert "Thank you, 李 &#38; &#60;Lei&#62;." in answer.body.decode()

    empty = client.post("/http/form", b"name=+&message=x", FORM_TYPE)
    assert empty.status == 400
    assert b'<form method="post">' in empty.body


def test_a_form_refuses_other_methods_itself(client: TriggerClient) -> None:
    answer = client.send("DELETE", "/http/form")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, POST")
