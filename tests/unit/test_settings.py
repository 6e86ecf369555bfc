from __future__ import annotations

from pathlib import Path

import pytest

from runtime.settings import (
    PREFIX,
    Settings,
    SettingsError,
    describe,
    load_settings,
    reserved_in,
    unit_of,
)


@pytest.fixture(autouse=True)
def clean_environ(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine sets must not reach these tests."""
    import os

    for name in os.environ:
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


def test_defaults_are_those_of_the_design() -> None:
    settings = load_settings({})
    assert settings.data_dir == Path(".yunhan")
    assert settings.http == "127.0.0.1:8700"
    assert settings.documents_url == "embedded:"
    assert settings.files_url == "file:"
    assert settings.queue_url == "memory:"
    assert settings.sandbox == "auto"
    assert settings.env == "development"


def test_only_the_given_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YUNHAN_SLOTS", "3")
    assert load_settings({}).slots == Settings.model_fields["slots"].default
    assert load_settings().slots == 3


def test_text_becomes_the_type_of_the_setting() -> None:
    settings = load_settings(
        {
            "YUNHAN_SLOTS": "3",
            "YUNHAN_QUEUE_WAIT_S": "1.5",
            "YUNHAN_LOG_FUNCTION_LINES": "false",
            "YUNHAN_DATA_DIR": "/var/lib/yunhan",
        }
    )
    assert settings.slots == 3
    assert settings.queue_wait_s == 1.5
    assert settings.log_function_lines is False
    assert settings.data_dir == Path("/var/lib/yunhan")


def test_a_misspelt_setting_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(
        SettingsError, match=r"YUNHAN_SLOT is no setting; did you mean YUNHAN_SLOTS"
    ):
        load_settings({"YUNHAN_SLOT": "3"})


def test_a_bad_value_names_the_variable() -> None:
    with pytest.raises(SettingsError, match="YUNHAN_SLOTS: "):
        load_settings({"YUNHAN_SLOTS": "many"})


def test_every_bad_value_is_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"YUNHAN_SLOTS": "many", "YUNHAN_ENV": "test"})
    assert "YUNHAN_SLOTS" in str(caught.value)
    assert "YUNHAN_ENV" in str(caught.value)


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(SettingsError, match="YUNHAN_SANDBOXES_MAX=4 must be greater than"):
        load_settings({"YUNHAN_SANDBOXES_MAX": "4", "YUNHAN_SLOTS": "4"})
    with pytest.raises(SettingsError, match="YUNHAN_CONTROL_POLL_S"):
        load_settings({"YUNHAN_CONTROL_POLL_S": "9", "YUNHAN_CONTROL_MAX_AGE_S": "9"})


def test_reserved_names_are_accepted_and_reported() -> None:
    environ = {"YUNHAN_DOCKER_RUNTIME": "runsc", "HOME": "/root"}
    load_settings(environ)
    assert reserved_in(environ) == ["YUNHAN_DOCKER_RUNTIME"]


def test_a_secret_is_never_shown() -> None:
    environ = {"YUNHAN_ACCESS_KEY_ID": "a", "YUNHAN_ACCESS_KEY_SECRET": "very-secret"}
    settings = load_settings(environ)
    assert settings.access_key_secret.get_secret_value() == "very-secret"
    assert "very-secret" not in repr(settings)
    assert all("very-secret" not in row.value for row in describe(settings, environ))


def test_description_names_the_source() -> None:
    environ = {"YUNHAN_SLOTS": "3"}
    rows = {row.variable: row for row in describe(load_settings(environ), environ)}
    assert (rows["YUNHAN_SLOTS"].value, rows["YUNHAN_SLOTS"].source) == ("3", "environment")
    assert rows["YUNHAN_HTTP"].source == "default"


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_is_documented_and_numbers_carry_their_unit(name: str) -> None:
    info = Settings.model_fields[name]
    assert info.description
    unit = unit_of(info)
    assert unit
    for ending, expected in (("_s", "s"), ("_bytes", "bytes"), ("_mb", "MB"), ("_days", "days")):
        if name.endswith(ending):
            assert unit == expected


def test_settings_are_frozen() -> None:
    settings = load_settings({})
    with pytest.raises(ValueError, match="frozen"):
        settings.slots = 4
