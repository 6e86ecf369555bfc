from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.cli.client import PAGE_SIZE, ManagementClient
from runtime.cli.connection import Connection
from runtime.cli.errors import CliError, RemoteError, UnreachableError
from runtime.data_dir import AccessKey
from tests.unit.cli_support import KEY_ID, SECRET, FakeManagement, RefusalError, serving


@pytest.fixture
def fake() -> Iterator[FakeManagement]:
    with serving(FakeManagement()) as fake:
        yield fake


def client_of(endpoint: str) -> ManagementClient:
    return ManagementClient(
        Connection(endpoint=endpoint, key=AccessKey(key_id=KEY_ID, secret=SECRET))
    )


def test_parameters_are_written_as_pop_core_does(fake: FakeManagement) -> None:
    fake.answers["Any"] = {"Done": True}
    given = {
        "Yes": True,
        "No": False,
        "Number": 5,
        "None": None,
        "List": ["a", "b"],
        "Text": "云 函~*",
    }
    answer = client_of(fake.endpoint).call("Any", given)
    assert answer == {"RequestId": "R", "Done": True}
    assert fake.asked("Any") == [
        {
            "Yes": "true",
            "No": "false",
            "Number": "5",
            "List.1": "a",
            "List.2": "b",
            "Text": "云 函~*",
        }
    ]


def test_every_call_has_a_nonce_of_its_own(fake: FakeManagement) -> None:
    fake.answers["Any"] = {}
    client = client_of(fake.endpoint)
    client.call("Any")
    client.call("Any")
    first, second = (form["SignatureNonce"] for _, form in fake.calls)
    assert first != second


def test_a_refusal_keeps_code_and_message_and_says_what_to_do(fake: FakeManagement) -> None:
    def refuse(_form: dict[str, str]) -> dict[str, str]:
        raise RefusalError("InvalidAccessKeyId.NotFound", "the key is unknown", 404)

    fake.answers["Any"] = refuse
    with pytest.raises(RemoteError) as caught:
        client_of(fake.endpoint).call("Any")
    assert caught.value.code == "InvalidAccessKeyId.NotFound"
    assert "the key is unknown" in caught.value.message
    assert "yunhan keys" in caught.value.next_step


def test_nobody_listening_is_unreachable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        client = client_of(f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(UnreachableError, match="cannot reach") as caught:
            client.call("Any")
    assert caught.value.exit_code == 3
    assert "yunhan up" in caught.value.next_step


def test_a_connection_that_is_cut_is_told_apart_from_no_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def cut() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1024)

        thread = threading.Thread(target=cut)
        thread.start()
        client = client_of(f"http://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(UnreachableError, match="was cut during the call") as caught:
            client.call("Any")
        thread.join()
    assert "may have been carried out" in caught.value.next_step


def test_an_answer_that_is_not_json_is_another_program(fake: FakeManagement) -> None:
    fake.raw_answer = b"<html>hello</html>"
    with pytest.raises(UnreachableError, match="not Yunhan"):
        client_of(fake.endpoint).call("Any")


def test_no_answer_in_time_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = client_of(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(UnreachableError, match="did not answer within"):
            client.call("Any", timeout_s=0.01)


@pytest.mark.parametrize(
    "endpoint",
    [
        "127.0.0.1:8700",
        "ftp://host",
        "http://",
        "",
        "http://host:99999",
        "http://host:0",
        "http://host:port",
        "http://[::1",
        "http://[junk]:80",
        "http://a b:80",
        "http://.:80",
        f"http://{'x' * 70}:80",
    ],
)
def test_an_endpoint_needs_scheme_host_and_a_port_that_can_be(endpoint: str) -> None:
    with pytest.raises(CliError, match="is no endpoint"):
        client_of(endpoint)


def test_items_walks_all_pages_and_stops_at_a_short_one(fake: FakeManagement) -> None:
    everything = list(range(PAGE_SIZE * 2 + 1))

    def page(form: dict[str, str]) -> dict[str, object]:
        size, number = int(form["PageSize"]), int(form["PageNum"])
        return {"DataList": [{"N": n} for n in everything[(number - 1) * size : number * size]]}

    fake.answers["List"] = page
    found = client_of(fake.endpoint).items("List", {"SpaceId": "s"}, key="DataList")
    assert [item["N"] for item in found] == everything
    assert [form["PageNum"] for form in fake.asked("List")] == ["1", "2", "3"]
    assert {form["SpaceId"] for form in fake.asked("List")} == {"s"}


def test_an_upload_sends_the_bytes_and_tells_progress(fake: FakeManagement, tmp_path: Path) -> None:
    content = bytes(range(256)) * 3000
    (tmp_path / "f.zip").write_bytes(content)
    sent: list[int] = []
    client_of(fake.endpoint).upload(
        f"{fake.endpoint}/oss/x?sign=1", tmp_path / "f.zip", progress=sent.append
    )
    assert fake.uploads == [content]
    assert sum(sent) == len(content)
    assert len(sent) > 1


def test_a_refused_upload_says_why(fake: FakeManagement, tmp_path: Path) -> None:
    fake.upload_status = 400
    (tmp_path / "f.zip").write_bytes(b"x")
    with pytest.raises(RemoteError, match="the zip is refused") as caught:
        client_of(fake.endpoint).upload(
            f"{fake.endpoint}/oss/x", tmp_path / "f.zip", progress=lambda _: None
        )
    assert caught.value.code == "InvalidPackage"


def test_a_refusal_that_comes_before_the_whole_body_is_read_is_told(tmp_path: Path) -> None:
    """As the gateway answers 413: at once, and closes."""
    (tmp_path / "f.zip").write_bytes(bytes(8 * 1024 * 1024))
    body = b'{"Code": "EntityTooLarge", "Message": "too large"}'
    head = f"HTTP/1.1 413 X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(head + body)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1024 * 1024):
                    pass

        thread = threading.Thread(target=refuse)
        thread.start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(RemoteError, match="too large"):
            client_of(address).upload(
                f"{address}/oss/x", tmp_path / "f.zip", progress=lambda _: None
            )
        thread.join()


@pytest.mark.parametrize(("status", "ready"), [(200, True), (503, False)])
def test_readiness(fake: FakeManagement, status: int, ready: bool) -> None:
    fake.ready_status = status
    assert client_of(fake.endpoint).is_ready() is ready
