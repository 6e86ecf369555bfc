"""Settings of abuse bounds and of Redis."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from runtime.backends.redis.options import RedisOptions, RedisSetupError
from runtime.settings import Settings
from runtime.settings.abuse import AbuseSettings
from runtime.settings.fields import without_credentials
from runtime.settings.networks import parse_networks
from runtime.settings.redis import RedisSettings


def test_networks_are_read_in_any_spelling_that_means_one() -> None:
    text = "10.0.0.0/8, 192.0.2.1 2001:db8::/32,\n::1 ::ffff:10.0.0.0/104"
    assert [str(each) for each in parse_networks(text)] == [
        *("10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32", "::1/128", "10.0.0.0/8")
    ]
    assert parse_networks(" , ") == ()


@pytest.mark.parametrize("name", ["trusted_proxies", "clients_allow", "clients_deny"])
@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.0/33", "example.com", "10.0.0.0/8;::1"])
def test_what_is_no_network_is_told(name: str, text: str) -> None:
    with pytest.raises(ValidationError, match="is none"):
        AbuseSettings.model_validate({name: text})


def test_hosts_of_every_space() -> None:
    assert "localhost" in AbuseSettings().cors_always_hosts
    assert AbuseSettings(cors_always="").cors_always_hosts == ()
    for text in ("https://a.test", "a.test:80", "*", "A.test", "a.test/x", "*.*"):
        with pytest.raises(ValidationError, match="is none"):
            AbuseSettings(cors_always=f"localhost, {text}")


@pytest.mark.parametrize(
    "url",
    [
        *("redis://", "http://h", "h:6379", "redis://h:0", "redis://h:99999", "redis://h/x"),
        *("redis://h/0?ssl=no", "redis://h/0#x", "unix:///tmp/s", "redis://h/-1", "redis://h/٢"),
        "redis://user:secret@",
    ],
)
def test_a_url_of_another_kind_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValidationError) as raised:
        RedisSettings(redis_url=url)
    (error,) = raised.value.errors(include_input=False, include_url=False)
    assert "redis://user@host:6379/0" in error["msg"]
    assert "secret" not in error["msg"]


def test_options_of_a_url() -> None:
    url = "rediss://us%40er:p%2Fw@[::1]:7000/3"
    options = RedisOptions.from_settings(RedisSettings(redis_url=url), timeout_s=0.5)
    assert (options.host, options.port, options.database, options.tls) == ("::1", 7000, 3, True)
    assert (options.user, options.password, options.timeout_s) == ("us@er", "p/w", 0.5)
    assert "p/w" not in repr(options)
    assert "p%2Fw" not in without_credentials(url)
    plain = RedisOptions.from_settings(RedisSettings(redis_url="redis://r"))
    assert (plain.port, plain.database, plain.user, plain.tls) == (6379, 0, None, False)
    with pytest.raises(RedisSetupError, match="YUNHAN_REDIS_URL"):
        RedisOptions.from_settings(RedisSettings())


def test_the_password_of_a_file_counts(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("from file\n")
    settings = RedisSettings(redis_url="redis://u:from-url@r", redis_password_file=str(file))
    options = RedisOptions.from_settings(settings)
    assert (options.user, options.password) == ("u", "from file")


def test_no_space_holds_every_connection() -> None:
    settings = RedisSettings()
    assert settings.redis_under_way_max_per_space < settings.redis_connections_max
    with pytest.raises(ValidationError, match="YUNHAN_REDIS_CONNECTIONS_MAX=6"):
        RedisSettings(redis_connections_max=6)
    assert RedisSettings(redis_connections_max=2, redis_under_way_max_per_space=1)


@pytest.mark.parametrize("shown", [repr, str])
def test_the_password_of_a_url_is_not_shown(shown: Callable[[object], str]) -> None:
    for settings in (
        RedisSettings(redis_url="redis://u:p%2Fw@host:1/0"),
        Settings(redis_url="redis://u:p%2Fw@host:1/0", queue_url="amqp://u:p%2Fw@host"),
    ):
        assert "p%2Fw" not in shown(settings)
        assert "redis_url='redis://***@host:1/0'" in shown(settings)
        assert settings.redis_url == "redis://u:p%2Fw@host:1/0"


def test_a_space_has_no_more_than_the_worker() -> None:
    with pytest.raises(ValidationError, match="YUNHAN_REDIS_UNDER_WAY_MAX_PER_SPACE=9"):
        RedisSettings(redis_under_way_max=8, redis_under_way_max_per_space=9)
