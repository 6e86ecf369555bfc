"""Payment notifications that come through a trigger, verified by uniCloud's own payment package.

The tests play the platforms: they make the keys, sign, and want the answers that WeChat and Alipay want.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode

import pytest

from tests.harness.lacking import lacks
from tests.harness.management import Management
from tests.harness.payments import (
    alipay_signed,
    new_key,
    private_pem,
    public_pem,
    wechat_refund_info,
    wechat_signed,
    wechat_v3_body,
    wechat_v3_headers,
    xml_of,
)
from tests.harness.program import Program
from tests.harness.trigger_http import FORMS, Answer, TriggerClient

pytestmark = pytest.mark.e2e

UNIPAY = Path(__file__).parent / "sdk" / "node_modules" / "@dcloudio" / "unipay"
SOURCES = Path(__file__).parents[1] / "fixtures" / "payments"

KEY = "0123456789abcdef0123456789abcdef"
OTHER_KEY = "fedcba9876543210fedcba9876543210"
APP, MERCHANT = "wx8888888888888888", "1900000109"
SERIAL = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"
PLATFORM, STRANGER = new_key(), new_key()

PAID = {
    "appid": APP,
    "mch_id": MERCHANT,
    "attach": "茶 & 水",
    "bank_type": "CFT",
    "cash_fee": "101",
    "coupon_fee": "",
    "is_subscribe": "N",
    "nonce_str": "5K8264ILTKCH16CQ2502SI8ZNMTM67VS",
    "openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o",
    "out_trade_no": "1409811653",
    "result_code": "SUCCESS",
    "return_code": "SUCCESS",
    "time_end": "20260520132935",
    "total_fee": "101",
    "trade_type": "JSAPI",
    "transaction_id": "1004400740201409030005092168",
}
REFUND = {
    "out_refund_no": "131811191610442717309",
    "out_trade_no": "1409811653",
    "refund_fee": "50",
    "refund_status": "SUCCESS",
    "settlement_refund_fee": "50",
    "total_fee": "101",
}
ALIPAY_PAID = {
    "app_id": APP,
    "auth_app_id": APP,
    "body": "茶 & 水 = 1+1",
    "buyer_id": "2088102177846880",
    "buyer_pay_amount": "1.01",
    "charset": "utf-8",
    "fund_bill_list": '[{"amount":"1.01","fundChannel":"ALIPAYACCOUNT"}]',
    "gmt_payment": "2026-05-20 13:29:35",
    "notify_id": "2018091300222130009049690519",
    "notify_type": "trade_status_sync",
    "out_trade_no": "6823789339978248",
    "seller_id": "2088102177846881",
    "total_amount": "1.01",
    "trade_no": "2018091321001004690500199712",
    "trade_status": "TRADE_SUCCESS",
    "version": "1.0",
}
SUCCESS_XML = (
    b"<xml><return_code><![CDATA[SUCCESS]]></return_code>"
    b"<return_msg><![CDATA[OK]]></return_msg></xml>"
)
FAIL_XML = (
    b"<xml><return_code><![CDATA[FAIL]]></return_code>"
    b"<return_msg><![CDATA[ERROR]]></return_msg></xml>"
)
FORM_TYPE = "application/x-www-form-urlencoded; charset=utf-8"


@pytest.fixture(scope="module")
def unipay_files() -> dict[str, bytes]:
    """The package as `yunhan deploy` would pack it; it needs no other."""
    if not UNIPAY.exists():
        lacks("the SDKs are not installed; run the tests by `make test`")
    return {
        f"node_modules/@dcloudio/unipay/{name}": (UNIPAY / name).read_bytes()
        for name in ("package.json", "index.js")
    }


@pytest.fixture(scope="module")
def shop(management: Management, unipay_files: dict[str, bytes]) -> str:
    """A space with one function for each kind of notification."""
    space_id, _ = management.space("shop")
    wechat = {"appId": APP, "mchId": MERCHANT, "key": KEY}
    alipay = {
        "appId": APP,
        "mchId": MERCHANT,
        "privateKey": private_pem(STRANGER),  # the shop's own, which no notification needs
        "alipayPublicKey": public_pem(PLATFORM),
    }
    v3 = {"serial": SERIAL, "publicKey": public_pem(PLATFORM), "apiV3Key": KEY}
    functions = {
        "wechat-md5": ("wechat_v2.js", {**wechat, "signType": "MD5"}),
        "wechat-hmac-sha256": ("wechat_v2.js", {**wechat, "signType": "HMAC-SHA256"}),
        "wechat-v3": ("wechat_v3.js", v3),
        "alipay": ("alipay.js", alipay),
    }
    for name, (source, config) in functions.items():
        files = {"index.js": (SOURCES / source).read_text(), "config.json": json.dumps(config)}
        management.deploy(space_id, name, {**files, **unipay_files})
        management.call(
            "UpdateFunction", SpaceId=space_id, Name=name, HttpTriggerPath=f"/http/{name}"
        )
    management.call("UpdateHttpTriggerConfig", SpaceId=space_id, EnableService=True)
    return space_id


@pytest.fixture(params=FORMS)
def client(request: pytest.FixtureRequest, program: Program, shop: str) -> TriggerClient:
    return TriggerClient(port=program.port, space_id=shop, form=request.param)


def found_in(answer: Answer) -> dict[str, Any]:
    """What the function says that it has verified."""
    found: dict[str, Any] = json.loads(unquote(answer.headers["x-found"]))
    return found


def post_wechat(
    client: TriggerClient, sign_type: str, xml: str, content_type: str = "text/xml"
) -> Answer:
    return client.post(f"/http/wechat-{sign_type.lower()}", xml.encode(), content_type)


@pytest.mark.parametrize("sign_type", ["MD5", "HMAC-SHA256"])
@pytest.mark.parametrize("charset", ["", "; charset=UTF-8", "; charset=gbk"])
def test_wechat_payment(client: TriggerClient, sign_type: str, charset: str) -> None:
    """The last charset is a wrong label: the function gets Base64, and the package takes it off."""
    xml = xml_of(wechat_signed(PAID, KEY, sign_type))
    answer = post_wechat(client, sign_type, xml, f"text/xml{charset}")
    assert (answer.status, answer.body) == (200, SUCCESS_XML)
    assert answer.headers["content-type"] == "text/xml; charset=utf-8"
    found = found_in(answer)
    assert (found["appId"], found["mchId"]) == (APP, MERCHANT)
    assert (found["outTradeNo"], found["totalFee"]) == ("1409811653", 101)
    assert found["attach"] == "茶 & 水"


@pytest.mark.parametrize("sign_type", ["MD5", "HMAC-SHA256"])
def test_forged_wechat_payments_are_refused(client: TriggerClient, sign_type: str) -> None:
    other_type = "MD5" if sign_type == "HMAC-SHA256" else "HMAC-SHA256"
    genuine = wechat_signed(PAID, KEY, sign_type)
    forged = {
        "another amount": xml_of({**genuine, "total_fee": "1"}),
        "an added field": xml_of({**genuine, "coupon_count": "1"}),
        "another key": xml_of(wechat_signed(PAID, OTHER_KEY, sign_type)),
        "another kind of signature": xml_of(wechat_signed(PAID, KEY, other_type)),
        "no signature": xml_of(PAID),
        "another app": xml_of(wechat_signed({**PAID, "appid": "wx1"}, KEY, sign_type)),
        "another merchant": xml_of(wechat_signed({**PAID, "mch_id": "1"}, KEY, sign_type)),
        "a failure": xml_of(wechat_signed({**PAID, "return_code": "FAIL"}, KEY, sign_type)),
        "no XML": "total_fee=101",
        "nothing": "",
    }
    for what, xml in forged.items():
        answer = post_wechat(client, sign_type, xml)
        assert (answer.status, answer.body) == (200, FAIL_XML), what
        assert "x-found" not in answer.headers, what


def refund(key: str) -> str:
    """A refund is not signed: only the platform and the shop can seal it."""
    fields = {
        "return_code": "SUCCESS",
        "appid": APP,
        "mch_id": MERCHANT,
        "nonce_str": "TeqClE3i0mvn3DrK",
        "req_info": wechat_refund_info(REFUND, key),
    }
    return xml_of(fields)


def test_wechat_refund(client: TriggerClient) -> None:
    answer = post_wechat(client, "MD5", refund(KEY))
    assert (answer.status, answer.body) == (200, SUCCESS_XML)
    found = found_in(answer)
    assert (found["outRefundNo"], found["refundFee"]) == ("131811191610442717309", 50)


def test_a_forged_wechat_refund_is_refused(client: TriggerClient) -> None:
    answer = post_wechat(client, "MD5", refund(OTHER_KEY))
    assert (answer.status, answer.body) == (200, FAIL_XML)


V3_PAID = {
    "appid": APP,
    "mchid": MERCHANT,
    "out_trade_no": "1217752501201407033233368018",
    "trade_state": "SUCCESS",
    "attach": "茶 & 水",
    "amount": {"total": 101, "payer_total": 101, "currency": "CNY"},
}


@pytest.mark.parametrize("charset", ["", "; charset=utf-8", "; charset=gbk"])
def test_wechat_v3_payment(client: TriggerClient, charset: str) -> None:
    body = wechat_v3_body(V3_PAID, KEY, nonce="EUjHMKSGZhp6")
    headers = wechat_v3_headers(body, PLATFORM, SERIAL)
    answer = client.post("/http/wechat-v3", body, f"application/json{charset}", headers)
    assert (answer.status, answer.body) == (204, b"")
    assert found_in(answer) == V3_PAID


def test_forged_wechat_v3_payments_are_refused(client: TriggerClient) -> None:
    body = wechat_v3_body(V3_PAID, KEY, nonce="EUjHMKSGZhp6")
    genuine = wechat_v3_headers(body, PLATFORM, SERIAL)
    sealed_by_another = wechat_v3_body(V3_PAID, OTHER_KEY, nonce="EUjHMKSGZhp6")
    forged = {
        "a space more": (body + b" ", genuine),
        "another time": (body, {**genuine, "Wechatpay-Timestamp": "1716182976"}),
        "another signer": (body, wechat_v3_headers(body, STRANGER, SERIAL)),
        "another certificate": (body, {**genuine, "Wechatpay-Serial": "1"}),
        "no headers": (body, {}),
        "another seal": (
            sealed_by_another,
            wechat_v3_headers(sealed_by_another, PLATFORM, SERIAL),
        ),
    }
    for what, (content, headers) in forged.items():
        answer = client.post("/http/wechat-v3", content, "application/json", headers)
        assert answer.status == 401, what
        assert json.loads(answer.body) == {"code": "FAIL", "message": "失败"}, what


def post_alipay(
    client: TriggerClient, fields: dict[str, str], content_type: str = FORM_TYPE
) -> Answer:
    return client.post("/http/alipay", urlencode(fields).encode(), content_type)


def test_alipay_payment(client: TriggerClient) -> None:
    answer = post_alipay(client, alipay_signed(ALIPAY_PAID, PLATFORM))
    assert (answer.status, answer.body) == (200, b"success")
    found = found_in(answer)
    assert (found["outTradeNo"], found["totalFee"]) == ("6823789339978248", 101)
    assert (found["body"], found["resultCode"]) == ("茶 & 水 = 1+1", "SUCCESS")


def test_forged_alipay_payments_are_refused(client: TriggerClient) -> None:
    genuine = alipay_signed(ALIPAY_PAID, PLATFORM)
    forged = {
        "another amount": {**genuine, "total_amount": "9.01"},
        "an added field": {**genuine, "passback_params": "x"},
        "another signer": alipay_signed(ALIPAY_PAID, STRANGER),
        "no signature": ALIPAY_PAID,
        "an empty signature": {**genuine, "sign": ""},
        "nothing": {},
    }
    for what, fields in forged.items():
        answer = post_alipay(client, fields)
        assert (answer.status, answer.body) == (200, b"failure"), what
        assert "x-found" not in answer.headers, what
