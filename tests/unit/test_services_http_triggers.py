from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from runtime.errors import ConflictError, DomainTakenError, InvalidParameterError
from runtime.messages import HttpTriggerConfig
from runtime.services.functions import FunctionChange
from runtime.services.http_triggers import HttpTriggerChange
from tests.unit.management_support import BOX, SPACE_ID, Bench
from tests.unit.tls.tls_support import Issued, issue

DOMAIN = "shop.example.com"
OTHER = "mp-0"


@pytest.fixture
async def bench() -> Bench:
    bench = Bench()
    await bench.add_space()
    await bench.add_space(OTHER)
    return bench


def certificate(bench: Bench, *names: str) -> Issued:
    now = datetime.fromtimestamp(bench.clock.now_ms() / 1000, UTC)
    return issue(*names, start=now - timedelta(days=1), end=now + timedelta(days=90))


async def change(bench: Bench, space_id: str = SPACE_ID, **wanted: str | bool) -> HttpTriggerConfig:
    changed = HttpTriggerChange(**wanted)  # type: ignore[arg-type]
    return (await bench.http_triggers.update(space_id, changed)).http_triggers


async def test_absent_keeps_and_empty_removes(bench: Bench) -> None:
    assert (await change(bench, enabled=True)).enabled
    config = await change(bench, custom_domain="Shop.Example.COM.")
    assert (config.enabled, config.custom_domain) == (True, DOMAIN)
    assert (await change(bench, enabled=False)).custom_domain == DOMAIN
    assert bench.domains.space_of(DOMAIN) == SPACE_ID
    assert bench.domains.certificate_of(DOMAIN) is None
    assert not (await change(bench, custom_domain="")).custom_domain
    assert bench.domains.space_of(DOMAIN) is None


async def test_a_certificate_is_checked_sealed_and_served(bench: Bench) -> None:
    issued = certificate(bench, DOMAIN)
    config = await change(
        bench, custom_domain=DOMAIN, certificate=issued.pem, private_key=issued.key_pem
    )
    assert config.certificate_pem == issued.pem
    assert b"PRIVATE KEY" not in config.certificate_key_sealed
    assert issued.key_pem not in repr(config)
    assert bench.domains.certificate_of(DOMAIN) == issued.pair()
    assert (await change(bench, enabled=True)).certificate_pem == issued.pem
    assert not (await change(bench, certificate="", private_key="")).certificate_pem
    assert bench.domains.certificate_of(DOMAIN) is None
    assert bench.domains.space_of(DOMAIN) == SPACE_ID


async def test_a_kept_certificate_has_to_be_for_a_new_domain(bench: Bench) -> None:
    issued = certificate(bench, DOMAIN, "www.example.com")
    await change(bench, custom_domain=DOMAIN, certificate=issued.pem, private_key=issued.key_pem)
    with pytest.raises(InvalidParameterError, match=r"not for other\.example\.com") as caught:
        await change(bench, custom_domain="other.example.com")
    assert caught.value.code == "InvalidCustomDomainCertificate.DomainMismatch"
    assert bench.domains.space_of(DOMAIN) == SPACE_ID
    assert (await change(bench, custom_domain="www.example.com")).certificate_pem == issued.pem
    assert bench.domains.certificate_of("www.example.com") == issued.pair()
    assert bench.domains.certificate_of(DOMAIN) is None


async def test_without_its_domain_a_certificate_goes(bench: Bench) -> None:
    issued = certificate(bench, DOMAIN)
    await change(bench, custom_domain=DOMAIN, certificate=issued.pem, private_key=issued.key_pem)
    assert await change(bench, custom_domain="") == HttpTriggerConfig()


@pytest.mark.parametrize(
    "wanted",
    [
        {"certificate": "x"},
        {"private_key": "x"},
        {"certificate": "x", "private_key": ""},
        {"certificate": "", "private_key": "x"},
        {"certificate": "x", "private_key": "x"},  # no domain
    ],
)
async def test_certificate_key_and_domain_belong_together(
    bench: Bench, wanted: dict[str, str]
) -> None:
    with pytest.raises(InvalidParameterError):
        await change(bench, **wanted)
    assert (await bench.spaces.get(SPACE_ID)).http_triggers == HttpTriggerConfig()


@pytest.mark.parametrize(
    ("domain", "reason"),
    [
        ("localhost", "no public host name"),
        ("intranet", "no public host name"),
        ("127.0.0.1", "no public host name"),
        ("127.1", "no public host name"),
        ("0x7f.0x1", "no public host name"),
        ("123.456", "no public host name"),
        ("a.localhost", "every machine"),
        ("mp-1.fn.localhost", "every machine"),
        ("gateway.example.com", "this server itself"),
        ("GATEWAY.example.com.", "this server itself"),
        ("a..b", "no host name"),
        ("*.example.com", "no host name"),
        ("https://example.com", "no host name"),
        ("example.com:443", "no host name"),
        ("x" * 300 + ".com", "no host name"),
    ],
)
async def test_domains_that_cannot_be_had(bench: Bench, domain: str, reason: str) -> None:
    with pytest.raises(InvalidParameterError, match=reason) as caught:
        await change(bench, custom_domain=domain)
    assert caught.value.parameter == "CustomDomain"


async def test_names_below_the_trigger_domain_belong_to_spaces() -> None:
    bench = Bench(settings=Bench().settings.model_copy(update={"trigger_domain": "fn.example.com"}))
    await bench.add_space()
    for domain in ("fn.example.com", "mp-9.fn.example.com"):
        with pytest.raises(InvalidParameterError, match="trigger domain"):
            await change(bench, custom_domain=domain)
    assert (await change(bench, custom_domain="afn.example.com")).custom_domain


async def test_a_domain_has_one_space(bench: Bench) -> None:
    await change(bench, custom_domain=DOMAIN)
    with pytest.raises(DomainTakenError, match=DOMAIN):
        await change(bench, OTHER, custom_domain=DOMAIN)
    await change(bench, custom_domain="")
    await change(bench, OTHER, custom_domain=DOMAIN)
    assert bench.domains.space_of(DOMAIN) == OTHER


async def test_a_domain_goes_with_its_space(bench: Bench) -> None:
    await change(bench, custom_domain=DOMAIN)
    await bench.spaces.delete(SPACE_ID)
    await bench.domains.poll()
    assert bench.domains.space_of(DOMAIN) is None


async def test_a_key_under_another_master_key_leaves_the_domain_without_tls(bench: Bench) -> None:
    issued = certificate(bench, DOMAIN)
    config = HttpTriggerConfig(
        custom_domain=DOMAIN,
        certificate_pem=issued.pem,
        certificate_key_sealed=BOX.seal(b"x", context="elsewhere"),
    )
    await bench.editor.change(SPACE_ID, lambda space: replace(space, http_triggers=config))
    await bench.domains.poll()
    assert bench.domains.space_of(DOMAIN) == SPACE_ID
    assert bench.domains.certificate_of(DOMAIN) is None


async def test_bounds_of_bodies(bench: Bench) -> None:
    async def limits(request: int | None, response: int | None) -> tuple[int | None, int | None]:
        space = await bench.http_triggers.set_limits(
            SPACE_ID, request_max_bytes=request, response_max_bytes=response
        )
        config = space.http_triggers
        return config.request_max_bytes, config.response_max_bytes

    assert await limits(1_048_576, None) == (1_048_576, None)
    assert await limits(None, 5000) == (1_048_576, 5000)
    assert await limits(0, None) == (None, 5000)
    for wrong in (-1, 1_048_577):
        with pytest.raises(InvalidParameterError, match="YUNHAN_TRIGGER_BODY_MAX_BYTES"):
            await limits(wrong, None)
    assert await limits(None, None) == (None, 5000)


async def test_the_path_of_a_function(bench: Bench) -> None:
    for name in ("one", "two"):
        await bench.functions.create(SPACE_ID, name, FunctionChange())
        await bench.functions.create(OTHER, name, FunctionChange(http_path=f"/http/{name}"))
    path = "/http/" + "x" * 122
    one = await bench.functions.update(SPACE_ID, "one", FunctionChange(http_path=path))
    assert one.http_path == path
    with pytest.raises(ConflictError, match="is the path of function one") as caught:
        await bench.functions.update(SPACE_ID, "two", FunctionChange(http_path=path))
    assert caught.value.code == "HttpTriggerPathAlreadyExists"
    with pytest.raises(ConflictError):
        await bench.functions.create(SPACE_ID, "three", FunctionChange(http_path=path))
    for wrong in (path + "x", "/http/", "http", "/HTTP/a", "/http/a b", "/http/../a"):
        with pytest.raises(InvalidParameterError, match="path of an HTTP trigger"):
            await bench.functions.update(SPACE_ID, "two", FunctionChange(http_path=wrong))
    kept = await bench.functions.update(SPACE_ID, "one", FunctionChange(desc="new"))
    assert kept.http_path == path
    off = await bench.functions.update(SPACE_ID, "one", FunctionChange(http_path=""))
    assert not off.http_path
    await bench.functions.update(SPACE_ID, "two", FunctionChange(http_path=path))
