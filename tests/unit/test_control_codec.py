"""Control plane values survive the way to a document and back, also between versions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.control_codec import (
    CUSTOM_DOMAIN,
    custom_domain_from_document,
    deployment_from_document,
    deployment_to_document,
    space_from_document,
    space_to_document,
    token_key_from_document,
    token_key_to_document,
)
from runtime.errors import OursError
from runtime.messages import (
    AccessConfig,
    CorsDomain,
    Deployment,
    DeploymentStatus,
    EgressConfig,
    EgressMode,
    FilesConfig,
    Function,
    HttpTriggerConfig,
    PlatformConfig,
    Provider,
    Revocation,
    Space,
    SpaceStatus,
)
from runtime.ports import CustomDomain, TokenKey
from runtime.testing.control_samples import sample_deployment, sample_space, sample_space_at

texts = st.text(max_size=20)
names = st.from_regex(r"[A-Za-z0-9_-]{1,30}", fullmatch=True)
times = st.integers(0, 2**53)

egress = st.builds(
    EgressConfig, mode=st.sampled_from(EgressMode), allow=st.lists(texts, max_size=3).map(tuple)
)
functions = st.builds(
    Function,
    name=names,
    desc=texts,
    timeout_s=st.integers(1, 7200),
    memory_mb=st.integers(128, 2048),
    concurrency=st.integers(1, 100),
    http_path=texts,
    timer_cron=texts,
    timer_payload=texts,
    env_sealed=st.binary(max_size=40),
    egress=egress,
    created_ms=times,
    modified_ms=times,
    live_deployment_id=st.none() | texts,
    live_digest=st.none() | texts,
)
http_triggers = st.builds(
    HttpTriggerConfig,
    enabled=st.booleans(),
    custom_domain=texts,
    certificate_pem=texts,
    certificate_key_sealed=st.binary(max_size=40),
    request_max_bytes=st.none() | times,
    response_max_bytes=st.none() | times,
)
spaces = st.builds(
    Space,
    space_id=texts,
    name=texts,
    desc=texts,
    status=st.sampled_from(SpaceStatus),
    client_secret_sealed=st.binary(max_size=40),
    private_key_sealed=st.binary(max_size=40),
    public_key_pem=texts,
    created_ms=times,
    modified_ms=times,
    revision=st.integers(1, 2**31),
    functions=st.lists(functions, max_size=4).map(lambda many: {each.name: each for each in many}),
    http_triggers=http_triggers,
    egress=egress,
)
access = st.builds(
    AccessConfig,
    cors=st.lists(st.builds(CorsDomain, domain_id=texts, domain=texts), max_size=3).map(tuple),
    platforms=st.lists(
        st.builds(
            PlatformConfig,
            provider=st.sampled_from(Provider),
            app_id=texts,
            sealed=st.binary(max_size=40),
            created_ms=times,
            modified_ms=times,
        ),
        max_size=3,
    ).map(tuple),
    revocations=st.lists(st.builds(Revocation, user_id=texts, before_ms=times), max_size=3).map(
        tuple
    ),
    tokens_from_ms=times,
)
spaces = st.builds(replace, spaces, access=access, files=st.builds(FilesConfig, rules=texts))
deployments = st.builds(
    Deployment,
    deployment_id=texts,
    space_id=texts,
    function=names,
    version_no=texts,
    status=st.sampled_from(DeploymentStatus),
    digest=st.none() | texts,
    size_bytes=times,
    failure=texts,
    created_ms=times,
    modified_ms=times,
)
token_keys = st.builds(TokenKey, key_id=texts, sealed=st.binary(max_size=40), created_ms=times)


@given(spaces)
def test_space_round_trip(space: Space) -> None:
    assert space_from_document(space_to_document(space)) == space


@given(deployments)
def test_deployment_round_trip(deployment: Deployment) -> None:
    assert deployment_from_document(deployment_to_document(deployment)) == deployment


@given(token_keys)
def test_token_key_round_trip(key: TokenKey) -> None:
    assert token_key_from_document(token_key_to_document(key)) == key


@given(spaces)
def test_documents_hold_plain_values_only(space: Space) -> None:
    def check(value: Any) -> None:
        assert type(value) in {str, int, bool, bytes, type(None), list, dict}
        if isinstance(value, dict):
            for key, inner in value.items():
                assert type(key) is str
                check(inner)
        if isinstance(value, list):
            for inner in value:
                check(inner)

    check(space_to_document(space))


def test_fields_of_a_newer_version_are_ignored() -> None:
    space = sample_space(functions={"a": Function(name="a")})
    document = space_to_document(space)
    document["colour"] = "blue"
    document["functions"][0]["shape"] = {"round": True}
    document["http_triggers"]["taste"] = ["sweet"]
    assert space_from_document(document) == space


def test_fields_that_an_older_version_did_not_write_take_their_default() -> None:
    space = sample_space(functions={"a": Function(name="a")})
    document = space_to_document(space)
    for name in ("desc", "status", "revision"):
        del document[name]
    document["functions"] = [{"name": "a"}]
    read = space_from_document(document)
    assert (read.desc, read.status, read.revision) == ("", SpaceStatus.RUNNING, 1)
    assert read.functions == {"a": Function(name="a")}
    del document["functions"]
    assert space_from_document(document).functions == {}
    document["http_triggers"] = {"enabled": True}
    assert space_from_document(document).http_triggers == HttpTriggerConfig(enabled=True)
    del document["http_triggers"]
    assert space_from_document(document).http_triggers == HttpTriggerConfig()


def test_a_space_without_a_custom_domain_has_no_such_field() -> None:
    outer, _, inner = CUSTOM_DOMAIN.partition(".")
    assert inner not in space_to_document(sample_space_at(""))[outer]
    assert space_to_document(sample_space_at("a.example.com"))[outer][inner] == "a.example.com"


def test_custom_domain_is_read_from_a_part_of_the_document() -> None:
    part: dict[str, Any] = {"_id": "mp-7", "http_triggers": {"custom_domain": "a.example.com"}}
    expected = CustomDomain(domain="a.example.com", space_id="mp-7", revision=1)
    assert custom_domain_from_document(part) == expected
    assert custom_domain_from_document(part | {"revision": 4}).revision == 4
    part["http_triggers"]["custom_domain"] = ["a.example.com"]
    with pytest.raises(OursError, match="mp-7"):
        custom_domain_from_document(part)


@pytest.mark.parametrize(
    "stored",
    [
        None,
        "enabled",
        [],
        {"enabled": 1},
        {"enabled": None},
        {"custom_domain": None},
        {"custom_domain": b"a.example.com"},
        {"certificate_pem": b""},
        {"certificate_key_sealed": "very-secret"},
        {"request_max_bytes": "4096"},
        {"request_max_bytes": True},
        {"response_max_bytes": 4096.0},
    ],
    ids=str,
)
def test_http_triggers_of_another_kind_are_refused(stored: object) -> None:
    document = space_to_document(sample_space("mp-7")) | {"http_triggers": stored}
    with pytest.raises(OursError, match=r"mp-7.*http_triggers") as caught:
        space_from_document(document)
    assert "very-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "change", [{"status": "FROZEN"}, {"functions": [{"desc": "no name"}]}], ids=str
)
def test_space_that_would_have_to_be_guessed_is_refused(change: dict[str, Any]) -> None:
    document = space_to_document(sample_space("mp-7")) | change
    with pytest.raises(OursError, match="mp-7"):
        space_from_document(document)


def test_missing_secret_is_refused() -> None:
    document = space_to_document(sample_space("mp-7"))
    del document["client_secret_sealed"]
    with pytest.raises(OursError, match=r"mp-7.*client_secret_sealed"):
        space_from_document(document)


def test_unknown_status_of_a_deployment_is_refused() -> None:
    document = deployment_to_document(sample_deployment("mp-1", deployment_id="dep-7"))
    with pytest.raises(OursError, match="dep-7"):
        deployment_from_document(document | {"status": "BURNT"})


def test_token_key_without_its_value_is_refused() -> None:
    with pytest.raises(OursError, match="k7"):
        token_key_from_document({"_id": "k7", "created_ms": 1})


def test_secrets_are_not_in_error_texts() -> None:
    document = space_to_document(sample_space(client_secret_sealed=b"very-secret"))
    with pytest.raises(OursError) as caught:
        space_from_document(document | {"status": "FROZEN"})
    assert "very-secret" not in str(caught.value)


# --- environment variables ----------------------------------------------------------------------


def test_a_function_of_an_older_version_has_no_environment() -> None:
    document = space_to_document(sample_space(functions={"f": Function(name="f")}))
    del document["functions"][0]["env_sealed"]
    assert space_from_document(document).functions["f"].env_sealed == b""


@pytest.mark.parametrize("stored", [None, "hush", 1, {"A": "hush"}])
def test_an_environment_of_another_kind_is_refused_unquoted(stored: object) -> None:
    document = space_to_document(sample_space(functions={"f": Function(name="f")}))
    document["functions"][0]["env_sealed"] = stored
    with pytest.raises(OursError, match="env_sealed is of kind") as caught:
        space_from_document(document)
    assert "hush" not in str(caught.value)


# --- egress -------------------------------------------------------------------------------------


def test_what_an_older_version_wrote_inherits_its_network() -> None:
    document = space_to_document(sample_space(functions={"f": Function(name="f")}))
    del document["egress"], document["functions"][0]["egress"]
    space = space_from_document(document)
    assert space.egress == space.functions["f"].egress == EgressConfig()


@pytest.mark.parametrize(
    "stored",
    [None, "none", [], {"mode": "open"}, {"mode": None}, {"allow": "127.0.0.1"}, {"allow": [1]}],
    ids=str,
)
@pytest.mark.parametrize("of_function", [False, True])
def test_egress_that_would_have_to_be_guessed_is_refused(
    stored: object, *, of_function: bool
) -> None:
    document = space_to_document(sample_space("mp-7", functions={"f": Function(name="f")}))
    (document["functions"][0] if of_function else document)["egress"] = stored
    with pytest.raises(OursError, match="mp-7"):
        space_from_document(document)
