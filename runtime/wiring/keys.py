"""Keys that every program of an installation shares: the master key checked, the management key kept once."""

from __future__ import annotations

import secrets

import orjson

from runtime.data_dir import AccessKey, DataDir
from runtime.ports import ControlStore
from runtime.sealing import MasterKeyError, SealingError, SecretBox
from runtime.settings import Settings, SettingsError

_CHECK = "master-key-check"
_ACCESS_KEY = "access-key"


async def check_master_key(box: SecretBox, control: ControlStore) -> None:
    """Whether this is the key that the installation's secrets were sealed with; the first program of an
    installation says which one that is. Raises MasterKeyError: better now than with the first call."""
    stored = await control.keep_first(_CHECK, box.seal(b"yunhan", context=_CHECK))
    try:
        box.open(stored, context=_CHECK)
    except SealingError:
        raise MasterKeyError(
            "this is not the master key of this installation: what the document database holds was sealed"
            " with another one; set YUNHAN_MASTER_KEY_FILE to the file that the other programs use, or"
            " YUNHAN_DOCUMENTS_URL to another database"
        ) from None


async def management_key(
    settings: Settings, data_dir: DataDir, box: SecretBox, control: ControlStore
) -> AccessKey:
    """The key of the settings, else the installation's: made by the first gateway, the same for all. Raises
    SettingsError when only half of it is set."""
    key = _key_of(settings) or await _shared_key(data_dir, box, control)
    data_dir.write_access_key(key)
    return key


def _key_of(settings: Settings) -> AccessKey | None:
    key_id, secret = settings.access_key_id, settings.access_key_secret.get_secret_value()
    if bool(key_id) != bool(secret):
        raise SettingsError(
            "set both YUNHAN_ACCESS_KEY_ID and YUNHAN_ACCESS_KEY_SECRET, or none of them"
        )
    return AccessKey(key_id=key_id, secret=secret) if key_id else None


async def _shared_key(data_dir: DataDir, box: SecretBox, control: ControlStore) -> AccessKey:
    ours = data_dir.read_access_key() or AccessKey(
        key_id="yk" + secrets.token_hex(10), secret=secrets.token_urlsafe(30)
    )
    sealed = box.seal(orjson.dumps([ours.key_id, ours.secret]), context=_ACCESS_KEY)
    stored = await control.keep_first(_ACCESS_KEY, sealed)
    key_id, secret = orjson.loads(box.open(stored, context=_ACCESS_KEY))
    return AccessKey(key_id=key_id, secret=secret)
