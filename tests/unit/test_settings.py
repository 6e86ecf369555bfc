from __future__ import annotations

from pathlib import Path

import pytest

from runtime.settings import (
    PREFIX,
    Settings,
    SettingsError,
    describe,
    load_settings,
    unknown_in,
)
from runtime.settings.fields import SettingGroup, unit_of


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


def test_all_misspelt_settings_are_told_at_once_and_can_be_passed_over() -> None:
    environ = {"YUNHAN_SLOT": "3", "YUNHAN_slots": "3", "YUNHAN_QUEU_URL": "x", "YUNHAN_SLOTS": "5"}
    with pytest.raises(SettingsError) as caught:
        load_settings(environ)
    assert str(caught.value).splitlines() == unknown_in(environ)
    assert [line.split()[0] for line in unknown_in(environ)] == [
        "YUNHAN_QUEU_URL",
        "YUNHAN_SLOT",
        "YUNHAN_slots",
    ]
    assert load_settings(environ, pass_over_unknown=True).slots == 5


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("SLOTS", "many", "must be a whole number (count), at least 1"),
        ("SLOTS", "0", "must be a whole number (count), at least 1"),
        ("ARGS_MAX_BYTES", "-1", "must be a whole number (bytes), at least 1"),
        ("QUEUE_WAIT_S", "0", "must be a number (s), more than 0"),
        ("QUEUE_WAIT_S", "inf", "must be a number (s), more than 0"),
        ("DRAIN_GRACE_S", "-0.1", "must be a number (s), at least 0"),
        ("TIMEOUT_SYNC_MAX_S", "901", "must be a whole number (s), at least 1, at most 900"),
        ("SANDBOX", "none", "must be one of auto, process, landlock, bubblewrap, docker"),
        ("LOG_FUNCTION_LINES", "maybe", "must be true or false"),
        ("DATA_DIR", "", "must be a path; unset the variable for the default"),
    ],
)
def test_a_bad_value_names_variable_value_and_what_is_allowed(
    variable: str, value: str, told: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({f"YUNHAN_{variable}": value})
    assert str(caught.value) == f"YUNHAN_{variable}={value}: {told}"


@pytest.mark.parametrize("name", ["SANDBOXES_PREWARMED", "CLIENT_CLOCK_SKEW_S", "DRAIN_GRACE_S"])
def test_zero_is_a_value_where_it_means_none(name: str) -> None:
    assert getattr(load_settings({f"YUNHAN_{name}": "0"}), name.lower()) == 0


@pytest.mark.parametrize("rung", ["landlock", "bubblewrap", "docker"])
def test_rungs_of_later_versions_are_names_that_the_wiring_refuses(rung: str) -> None:
    assert load_settings({"YUNHAN_SANDBOX": rung}).sandbox == rung


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8700", ("127.0.0.1", 8700)),
        ("0.0.0.0:1", ("0.0.0.0", 1)),
        ("gateway.local:65535", ("gateway.local", 65535)),
        ("[::1]:8700", ("::1", 8700)),
    ],
)
def test_an_address_has_host_and_port(text: str, address: tuple[str, int]) -> None:
    assert load_settings({"YUNHAN_HTTP": text}).http_address == address


@pytest.mark.parametrize(
    "text",
    [
        "28702",
        ":28702",
        "localhost",
        "localhost:",
        "a:0",
        "a:65536",
        "a:-1",
        "::1:8700",
        "[::1]",
        "[junk]:80",
        "http://127.0.0.1:8700",
        "a:80/",
        "a:٣",
    ],
)
def test_half_an_address_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"YUNHAN_HTTP=.*: must be "):
        load_settings({"YUNHAN_HTTP": text})


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_number_has_a_lower_bound(name: str) -> None:
    info = Settings.model_fields[name]
    if info.annotation in {int, float}:
        with pytest.raises(SettingsError, match=r"at least|more than"):
            load_settings({f"YUNHAN_{name.upper()}": "-1"})


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
    with pytest.raises(SettingsError, match="YUNHAN_SPACE_NAME_MIN=9 must not be greater"):
        load_settings({"YUNHAN_SPACE_NAME_MIN": "9", "YUNHAN_SPACE_NAME_MAX": "8"})


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
    units = {"_per_s": "1/s", "_s": "s", "_bytes": "bytes", "_mb": "MB", "_days": "days"}
    expected = next((units[ending] for ending in units if name.endswith(ending)), unit)
    assert unit == expected


def test_settings_are_frozen() -> None:
    settings = load_settings({})
    with pytest.raises(ValueError, match="frozen"):
        settings.slots = 4


@pytest.mark.parametrize(
    ("domain", "public_url"),
    [
        ("example.com", "https://api.example.com"),
        ("example.com", "https://API.example.com./x"),
        ("api.example.com", "https://api.example.com"),
        ("0.0.1", ""),
    ],
)
def test_the_trigger_domain_must_not_contain_our_own_name(domain: str, public_url: str) -> None:
    environ = {"YUNHAN_TRIGGER_DOMAIN": domain, "YUNHAN_PUBLIC_URL": public_url}
    with pytest.raises(SettingsError, match="would be a space's"):
        load_settings(environ)
    load_settings({**environ, "YUNHAN_TRIGGER_DOMAIN": "fn.example.org"})


def test_a_lost_gateway_must_not_lose_a_tick() -> None:
    assert load_settings({"YUNHAN_TIMER_LATE_MAX_S": "25"}).timer_late_max_s == 25
    with pytest.raises(SettingsError, match=r"YUNHAN_TIMER_LATE_MAX_S=24 must be greater than 24"):
        load_settings({"YUNHAN_TIMER_LATE_MAX_S": "24"})


def test_a_setting_stands_in_one_group() -> None:
    """Of two declarations the later one would win without a word."""
    groups = [group for group in Settings.__bases__ if issubclass(group, SettingGroup)]
    names = [name for group in groups for name in group.model_fields]
    assert sorted(names) == sorted(set(names))
