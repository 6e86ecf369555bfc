"""Random and mutated forms, addresses and references: nothing but errors of the caller comes out."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from runtime.errors import CallerError
from runtime.services.file_uploads import Grant
from runtime.services.files import UploadSide
from tests.harness.file_stage import POLICY_KEY, SPACE_ID, FileStage

CASES = 1500
"""Of each of the eight blocks."""
CHARACTERS = 'aZ09=+/-_{}[]",:\\ \x00\r\n\x7f中\u2028\ud800\U0001f600%$'
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1e308, 10**30, float("inf"), float("nan"), "", "x", "\ud800", "../..", SPACE_ID,
    [], {}, [[]], {"a": {}},
)  # fmt: skip


def text_of(rng: random.Random) -> str:
    longest = rng.choice((0, 1, 8, 64, 9000))
    return "".join(rng.choices(CHARACTERS, k=rng.randint(0, longest)))


def mutated(rng: random.Random, text: str) -> str:
    for _ in range(rng.randint(1, 3)):
        at = rng.randint(0, len(text))
        kind = rng.randrange(4)
        if kind == 0:
            text = text[:at] + rng.choice(CHARACTERS) + text[at:]
        elif kind == 1:
            text = text[:at] + text[at + rng.randint(1, 4) :]
        elif kind == 2:
            text = text[:at] + text_of(rng) + text[at + 1 :]
        else:
            text = text[at:] + text[:at]
    return text


def resigned(fields: dict[str, str], policy: str) -> dict[str, str]:
    """Under our own key: what only a bug or another version of ours could have signed."""
    encoded = policy.encode("utf-8", "surrogatepass")
    mac = hmac.new(POLICY_KEY, encoded, hashlib.sha256).digest()
    return fields | {"policy": policy, "Signature": base64.b64encode(mac).decode()}


def odd_policy(rng: random.Random, fields: dict[str, str]) -> str:
    document = json.loads(base64.b64decode(fields["policy"]))
    part = document if rng.random() < 0.3 else document["grant"]
    name = rng.choice(sorted(part))
    kind = rng.randrange(4)
    if kind == 0:
        del part[name]
    else:
        part[name] = rng.choice(VALUES)
    text = json.dumps(document)
    if kind == 1:  # a key twice
        text = text.replace('{"', f'{{"{name}": {json.dumps(rng.choice(VALUES))}, "', 1)
    if kind == 2:
        text = mutated(rng, text)
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()


def form_case(rng: random.Random, fields: dict[str, str]) -> dict[str, str]:
    kind = rng.randrange(6)
    changed = dict(fields)
    if kind == 0:
        changed = {text_of(rng): text_of(rng) for _ in range(rng.randint(0, 5))}
    elif kind == 1:
        changed.pop(rng.choice(sorted(changed)))
    elif kind == 2:
        name = rng.choice(sorted(changed))
        changed[name] = mutated(rng, changed[name])
    elif kind == 3:
        changed[rng.choice(sorted(changed))] = text_of(rng)
    elif kind == 4:
        changed = resigned(changed, odd_policy(rng, fields))
    else:
        changed = resigned(changed, mutated(rng, fields["policy"]))
    return changed


@pytest.mark.parametrize("block", range(4))
async def test_forms(block: int) -> None:
    rng = random.Random(block)
    stage = FileStage()
    fields = await stage.form(stage.user(), "dir/a.png")
    taken = 0
    for _ in range(CASES):
        with suppress(CallerError):
            grant = stage.uploads.open_form(form_case(rng, fields))
            taken += 1
            check(grant)
    assert 0 < taken < CASES // 3  # changes that mean nothing: `id`, an unused member, the owner


def check(grant: Grant) -> None:
    """Even what only we could have signed stays within its space and bounds."""
    assert grant.left_s > 0
    assert grant.max_bytes <= 1000


@pytest.mark.parametrize("block", range(2))
async def test_signed_addresses(block: int) -> None:
    rng = random.Random(block)
    stage = FileStage()
    for _ in range(CASES):
        query = {
            name: text_of(rng)
            for name in ("Expires", "Signature", "UploadId", "OSSAccessKeyId")
            if rng.random() < 0.8
        }
        if rng.random() < 0.5:
            query["Expires"] = str(rng.randrange(10 ** rng.randint(1, 20)))
        path = rng.choice(("a.png", text_of(rng)))
        with pytest.raises(CallerError):
            stage.uploads.open_put(SPACE_ID, path, query, text_of(rng))
        with pytest.raises(CallerError):
            await stage.downloads.find(rng.choice((SPACE_ID, text_of(rng))), path, query)


@pytest.mark.parametrize("block", range(2))
async def test_parameters_of_sdk_calls(block: int) -> None:
    rng = random.Random(block)
    stage = FileStage()
    file_id = await stage.upload(stage.backend(), "a.png", b"1")
    names = ("filename", "fileId", "targetPath", "size", "id", "maxAge", "contentType", "env")
    good: dict[str, Any] = {"filename": "a.png", "id": file_id, "fileId": file_id}

    def value(name: str) -> Any:
        kind = rng.randrange(4)
        if kind == 0 and name in good:
            return good[name]
        return (text_of(rng), rng.choice(VALUES), f"/{text_of(rng)}")[kind % 3]

    service = stage.service
    calls: list[Callable[[dict[str, Any]], Any]] = [
        lambda params: service.sign(stage.user(), params, side=UploadSide.CLIENT),
        lambda params: service.sign(stage.backend(), params, side=UploadSide.SERVER),
        lambda params: service.report(stage.user(), params),
        lambda params: service.info(stage.backend(), params),
        lambda params: service.delete(stage.user(), params),
    ]
    for _ in range(CASES):
        params = {name: value(name) for name in names if rng.random() < 0.6}
        with suppress(CallerError):
            json.dumps(await rng.choice(calls)(params)).encode()
    stage.check_no_file_lacks_bytes()
