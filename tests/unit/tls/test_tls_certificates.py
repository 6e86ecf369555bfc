"""What is refused in a custom domain's certificate and key, with which code."""

from __future__ import annotations

import base64
import warnings
from contextlib import suppress
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import InvalidParameterError
from runtime.tls.certificates import (
    CHAIN_MAX,
    CHAIN_PEM_MAX,
    KEY_PEM_MAX,
    CertificateAndKey,
    ascii_name,
    certificate_info,
    check_certificate,
    covers,
)
from tests.unit.tls.tls_support import (
    BELOW_SHA1_ROOT,
    CLIENT_AUTH,
    NOW,
    NOW_MS,
    SHA1_BELOW_SHA1_ROOT,
    SHA1_ROOT,
    Issued,
    as_pem,
    issue,
)

DOMAIN = "api.example.com"
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)

ROOT = issue(ca=True, common_name="root")
MIDDLE = issue(ca=True, by=ROOT, common_name="middle")
LEAF = issue(DOMAIN, by=MIDDLE)
WEAK_RSA = rsa.generate_private_key(65537, 1024)


def check(
    chain: str, key: str = LEAF.key_pem, domain: str = DOMAIN, now_ms: int = NOW_MS
) -> CertificateAndKey:
    return check_certificate(chain, key, domain=domain, now_ms=now_ms)


def refused(chain: str, key: str = LEAF.key_pem, domain: str = DOMAIN) -> str:
    """The code, without what all codes of the parameter begin with."""
    with pytest.raises(InvalidParameterError) as caught:
        check(chain, key, domain)
    error = caught.value
    assert error.code.startswith(f"Invalid{error.parameter}.")
    assert error.message.startswith(error.parameter)
    return error.code.removeprefix("InvalidCustomDomain")


@pytest.mark.parametrize(
    "chain",
    [LEAF.pem, LEAF.pem + MIDDLE.pem, LEAF.pem + MIDDLE.pem + ROOT.pem],
    ids=["alone", "with its issuer", "with the root"],
)
def test_a_good_chain_is_taken(chain: str) -> None:
    taken = check(chain)
    assert taken.chain_pem.decode() == chain
    assert taken.key_pem.decode() == LEAF.key_pem


def test_a_self_signed_certificate_is_taken() -> None:
    own = issue(DOMAIN)
    assert check(own.pem, own.key_pem).chain_pem.decode() == own.pem


def test_an_rsa_key_is_taken_in_its_old_form() -> None:
    key = rsa.generate_private_key(65537, 2048)
    own = issue(DOMAIN, key=key)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert check(own.pem, pem.decode()).key_pem.decode() == own.key_pem


def test_texts_around_the_certificates_are_dropped() -> None:
    noisy = f"subject=api\r\n{LEAF.pem}\nissuer=middle\n{MIDDLE.pem}# end"
    assert check(noisy).chain_pem.decode() == LEAF.pem + MIDDLE.pem


def test_key_never_shows_in_a_representation() -> None:
    assert "PRIVATE" not in repr(check(LEAF.pem))


@pytest.mark.parametrize(
    ("chain", "code"),
    [
        ("", "Certificate.Malformed"),
        ("no certificate", "Certificate.Malformed"),
        (LEAF.pem[: len(LEAF.pem) // 2], "Certificate.Malformed"),
        (LEAF.pem.replace("M", "A"), "Certificate.Malformed"),
        ("x" * (CHAIN_PEM_MAX + 1), "Certificate.Malformed"),
        (LEAF.pem * (CHAIN_MAX + 1), "Certificate.Malformed"),
        (LEAF.pem + LEAF.key_pem, "Certificate.Malformed"),
        (LEAF.key_pem, "Certificate.Malformed"),
        (MIDDLE.pem + LEAF.pem, "Certificate.ChainOrder"),
        (LEAF.pem + ROOT.pem + MIDDLE.pem, "Certificate.ChainOrder"),
        (LEAF.pem + ROOT.pem, "Certificate.ChainOrder"),
        (LEAF.pem + LEAF.pem, "Certificate.ChainOrder"),
    ],
)
def test_a_bad_chain_is_refused(chain: str, code: str) -> None:
    assert refused(chain) == code


def test_an_issuer_that_is_no_authority_is_refused() -> None:
    middle = issue("middle", by=ROOT, common_name="middle")
    leaf = issue(DOMAIN, by=middle)
    assert refused(leaf.pem + middle.pem, leaf.key_pem) == "Certificate.ChainOrder"


def test_an_issuer_with_the_right_name_and_another_key_is_refused() -> None:
    other = issue(ca=True, by=ROOT, common_name="middle")
    assert refused(LEAF.pem + other.pem) == "Certificate.ChainOrder"


@pytest.mark.parametrize(
    "key",
    [WEAK_RSA, ec.generate_private_key(ec.SECP192R1()), ed25519.Ed25519PrivateKey.generate()],
    ids=["rsa 1024", "p-192", "ed25519"],
)
def test_a_key_that_clients_refuse_is_refused(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
) -> None:
    own = issue(DOMAIN, key=key)
    assert refused(own.pem, own.key_pem) == "Certificate.WeakKey"
    authority = issue(ca=True, key=key, common_name="weak")
    leaf = issue(DOMAIN, by=authority)
    assert refused(leaf.pem + authority.pem, leaf.key_pem) == "Certificate.WeakKey"


def test_sha1_is_refused_but_for_an_authority_under_itself() -> None:
    assert refused(SHA1_BELOW_SHA1_ROOT) == "Certificate.WeakSignature"
    assert refused(SHA1_ROOT) == "Certificate.WeakSignature"  # here it is the server's
    assert (
        refused(BELOW_SHA1_ROOT + SHA1_ROOT) == "PrivateKey.Mismatch"
    )  # all is well up to the key


def test_a_certificate_for_clients_is_refused() -> None:
    own = issue(DOMAIN, usages=[CLIENT_AUTH])
    assert refused(own.pem, own.key_pem) == "Certificate.NotForServers"
    anything = issue(DOMAIN, usages=None)
    assert check(anything.pem, anything.key_pem)


def test_times_are_checked_to_the_second() -> None:
    lasts = issue(DOMAIN, start=NOW, end=NOW)
    assert check(lasts.pem, lasts.key_pem)
    over = issue(DOMAIN, end=NOW - SECOND)
    assert refused(over.pem, over.key_pem) == "Certificate.Expired"
    future = issue(DOMAIN, start=NOW + SECOND)
    assert refused(future.pem, future.key_pem) == "Certificate.NotYetValid"


def test_an_expired_issuer_is_refused() -> None:
    middle = issue(ca=True, by=ROOT, common_name="middle", end=NOW - SECOND)
    leaf = issue(DOMAIN, by=middle)
    assert refused(leaf.pem + middle.pem, leaf.key_pem) == "Certificate.Expired"


def test_only_alternative_names_count() -> None:
    own = issue(common_name=DOMAIN)
    assert refused(own.pem, own.key_pem) == "Certificate.DomainMismatch"
    other = issue("other.example.com", "*.api.example.com", common_name=DOMAIN)
    assert refused(other.pem, other.key_pem) == "Certificate.DomainMismatch"


@pytest.mark.parametrize("domain", ["API.Example.com", "api.example.com."])
def test_a_domain_may_be_written_in_several_ways(domain: str) -> None:
    assert check(LEAF.pem, domain=domain)


def test_a_domain_beyond_ascii_is_compared_as_certificates_write_it() -> None:
    own = issue("xn--fsqu00a.xn--fiqs8s")
    assert check(own.pem, own.key_pem, domain="例子.中国")


@pytest.mark.parametrize(
    "domain", ["", "a..b", "a b.c", "-a.b", "*.example.com", "a" * 64, "例" * 70]
)
def test_what_is_no_domain_is_refused(domain: str) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        check(LEAF.pem, domain=domain)
    assert caught.value.code == "InvalidParameter.CustomDomain"


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("a.example.com", "a.example.com", True),
        ("A.Example.COM", "a.example.com", True),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "a.b.example.com", False),
        ("*.example.com", "aexample.com", False),
        ("a*.example.com", "ab.example.com", False),
        ("a.*.com", "a.example.com", False),
        ("*.com", "example.com", False),
        ("*", "example", False),
        ("*.", "example.", False),
    ],
)
def test_a_star_stands_for_one_first_label(pattern: str, name: str, expected: bool) -> None:
    assert covers(pattern, name) is expected


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("", "PrivateKey.Malformed"),
        ("no key", "PrivateKey.Malformed"),
        (LEAF.pem, "PrivateKey.Malformed"),
        (LEAF.key_pem[:60], "PrivateKey.Malformed"),
        ("x" * (KEY_PEM_MAX + 1), "PrivateKey.Malformed"),
        (MIDDLE.key_pem, "PrivateKey.Mismatch"),
        (as_pem(WEAK_RSA), "PrivateKey.Mismatch"),
        (as_pem(ed25519.Ed25519PrivateKey.generate()), "PrivateKey.WeakKey"),
        (
            ROOT.key.private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
            ).decode(),
            "PrivateKey.Encrypted",
        ),
    ],
)
def test_a_bad_key_is_refused_and_not_quoted(key: str, code: str) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        check(LEAF.pem, key)
    assert caught.value.code == f"InvalidCustomDomain{code}"
    body = "".join(key.splitlines()[1:-1])
    assert not body or body[:20] not in caught.value.message


def test_an_rsa_key_with_the_right_modulus_but_wrong_secret_is_refused() -> None:
    """As a damaged key file: its public half fits, signatures made with it do not."""
    good = rsa.generate_private_key(65537, 2048)
    own = issue(DOMAIN, key=good)
    numbers = good.private_numbers()
    wrong = rsa.RSAPrivateNumbers(
        p=numbers.p,
        q=numbers.q,
        d=numbers.d + 2,
        dmp1=numbers.dmp1 + 2,
        dmq1=numbers.dmq1 + 2,
        iqmp=numbers.iqmp,
        public_numbers=numbers.public_numbers,
    ).private_key(unsafe_skip_rsa_key_validation=True)
    assert refused(own.pem, as_pem(wrong)) == "PrivateKey.Mismatch"


def test_information_is_of_the_first_certificate() -> None:
    own = issue(DOMAIN, "*.example.com", by=MIDDLE)
    info = certificate_info((own.pem + MIDDLE.pem).encode())
    assert info.subject == f"CN={DOMAIN}"
    assert info.issuer == "CN=middle"
    assert info.names == (DOMAIN, "*.example.com")
    assert (info.not_before, info.not_after) == (NOW - DAY, NOW + 90 * DAY)
    assert info.fingerprint == own.certificate.fingerprint(hashes.SHA256()).hex()
    assert len(info.fingerprint) == 64
    with pytest.raises(ValueError):
        certificate_info(b"none")


def test_names_are_written_alike() -> None:
    assert ascii_name("FN.Localhost.") == "fn.localhost"
    assert ascii_name("a_b.example") == "a_b.example"


def as_certificate(der: bytes) -> str:
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n"


def test_an_extension_that_comes_twice_is_damage() -> None:
    key_identifier, issuer_key_identifier = b"\x55\x1d\x0e", b"\x55\x1d\x23"
    der = LEAF.certificate.public_bytes(Encoding.DER)
    twice = as_certificate(der.replace(key_identifier, issuer_key_identifier))
    assert refused(twice) == "Certificate.Malformed"


@given(st.data())
def test_damage_anywhere_is_the_callers_fault(data: st.DataObject) -> None:
    """Nothing but InvalidParameterError comes out, whichever bytes of a chain are wrong."""
    der = bytearray(
        data.draw(st.sampled_from([LEAF, MIDDLE])).certificate.public_bytes(Encoding.DER)
    )
    for _ in range(data.draw(st.integers(1, 3))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    damaged = as_certificate(bytes(der))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library warns of odd but readable certificates
        for chain in (damaged, damaged + MIDDLE.pem, LEAF.pem + damaged):
            with suppress(InvalidParameterError):
                check(chain)


def test_digest_tells_chains_apart() -> None:
    one, other = LEAF.pair(MIDDLE), LEAF.pair()
    assert one.digest != other.digest
    assert one.digest == Issued(LEAF.certificate, LEAF.key).pair(MIDDLE).digest
