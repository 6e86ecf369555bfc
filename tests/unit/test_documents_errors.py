"""Every error of the driver leaves the adapters as one of ours, and no error repeats a password."""

from __future__ import annotations

import inspect

import bson.errors
import pymongo.errors
import pytest

from runtime.backends.documents_mongodb import connect, may_pass, translate, translated
from runtime.errors import ConflictError, OursError, UnavailableError
from runtime.settings import SettingsError

AWAY = {
    "AutoReconnect",
    "ConnectionFailure",
    "CursorNotFound",
    "ExecutionTimeout",
    "NetworkTimeout",
    "NotPrimaryError",
    "ProtocolError",
    "ServerSelectionTimeoutError",
    "WTimeoutError",
    "WaitQueueTimeoutError",
    "WriteConcernError",
}
OURS = {
    "BulkWriteError",
    "ClientBulkWriteException",
    "CollectionInvalid",
    "ConfigurationError",
    "DocumentTooLarge",
    "EncryptedCollectionError",
    "EncryptionError",
    "InvalidDocument",
    "InvalidName",
    "InvalidOperation",
    "InvalidURI",
    "OperationFailure",
    "PyMongoError",
    "WriteError",
}
CONFLICT = {"DuplicateKeyError"}


def public_errors() -> dict[str, type[Exception]]:
    return {
        name: kind
        for name, kind in inspect.getmembers(pymongo.errors, inspect.isclass)
        if issubclass(kind, Exception) and not name.startswith("_")
    }


def made(kind: type[Exception]) -> Exception:
    if kind is pymongo.errors.BulkWriteError:
        return pymongo.errors.BulkWriteError({"writeErrors": []})
    if kind is pymongo.errors.ClientBulkWriteException:
        return pymongo.errors.ClientBulkWriteException({"writeErrors": []}, verbose=True)
    if kind is pymongo.errors.EncryptedCollectionError:
        return pymongo.errors.EncryptedCollectionError(ValueError("text"), {})
    if kind is pymongo.errors.EncryptionError:
        return pymongo.errors.EncryptionError(ValueError("text"))
    return kind("text")


def test_every_error_of_the_driver_is_decided_on() -> None:
    assert set(public_errors()) == AWAY | OURS | CONFLICT


@pytest.mark.parametrize("name", sorted(AWAY | OURS | CONFLICT))
def test_every_error_is_translated(name: str) -> None:
    error = made(public_errors()[name])
    with pytest.raises((OursError, ConflictError)) as caught, translated("read space mp-1"):
        raise error
    expected = (
        ConflictError if name in CONFLICT else UnavailableError if name in AWAY else OursError
    )
    assert type(caught.value) is expected
    assert "read space mp-1" in str(caught.value)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("code", [91, 112, 189, 10107, 11600, 13436])
def test_server_errors_that_pass(code: int) -> None:
    error = pymongo.errors.OperationFailure("text", code=code)
    assert isinstance(translate(error, "x"), UnavailableError)


def test_labels_of_the_server_count() -> None:
    error = pymongo.errors.OperationFailure(
        "text", code=1, details={"errorLabels": ["RetryableWriteError"]}
    )
    assert may_pass(error)


@pytest.mark.parametrize("code", [13, 18])
def test_refused_login_says_what_to_check(code: int) -> None:
    error = translate(pymongo.errors.OperationFailure("denied", code=code), "ping")
    assert isinstance(error, UnavailableError)
    assert "YUNHAN_DOCUMENTS_URL" in str(error)


@pytest.mark.parametrize(
    "error",
    [
        bson.errors.InvalidDocument("bad"),
        OverflowError("8-byte ints"),
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_cannot_be_encoded_is_ours(error: Exception) -> None:
    with pytest.raises(OursError) as caught, translated("x"):
        raise error
    assert type(caught.value) is OursError


def test_other_errors_pass_untouched() -> None:
    with pytest.raises(KeyError), translated("x"):
        raise KeyError("mine")


def test_server_replies_are_cut_off() -> None:
    error = pymongo.errors.OperationFailure("short", code=1, details={"long": "reply" * 1000})
    assert len(str(translate(error, "x"))) < 200


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mongodb://",
        "http://yunhan:hunter2@host/",
        "mongodb://yunhan:hunter2@host:notaport/",
        "mongodb://yunhan:hun@ter2@host/",
        "mongodb://yunhan:hunter2@host/?timeoutMS=hunter2",
        "mongodb://yunhan:hunter2@host/?hunter2=1",
        "mongodb://yunhan:hunter2@[::1/",
    ],
)
async def test_malformed_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(SettingsError, match="YUNHAN_DOCUMENTS_URL") as caught:
        connect(url, timeout_s=1)
    assert "hunter2" not in str(caught.value)
    assert "ter2" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_our_options_and_those_of_the_url() -> None:
    client = connect("mongodb://localhost/?timeoutMS=1234&tz_aware=false", timeout_s=5)
    try:
        assert client.options.timeout == 1.234
        assert client.codec_options.tz_aware is False
        assert client.options.server_selection_timeout == 5
        assert client.options.retry_writes
        assert client.options.pool_options.appname == "yunhan"
    finally:
        await client.close()
