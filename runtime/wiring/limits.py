"""Bounds that other modules want as their own value, from the settings."""

from __future__ import annotations

from runtime.documents.command_room import CommandRoomBounds
from runtime.documents.operators import OperatorLimits
from runtime.documents.transaction_room import TransactionBounds
from runtime.gateway.triggers.api import TriggerLimits
from runtime.package.check import PackageLimits
from runtime.services.async_terms import AsyncDefaults
from runtime.services.database_transfer import TransferLimits
from runtime.services.documents import DocumentLimits
from runtime.services.function_env_rules import EnvLimits
from runtime.services.http_proxy import HttpProxyLimits
from runtime.services.transaction_peers import QuestionBounds
from runtime.services.users import LoginLimits
from runtime.settings import Settings

_REFUSING = 24
"""Hands that stay free when all others wait, so that a question too many is answered at once."""


def document_limits(settings: Settings) -> DocumentLimits:
    """Bounds of one command to a space's database."""
    return DocumentLimits(
        operators=OperatorLimits(
            depth=settings.database_depth_max,
            values=settings.database_values_max,
            choices=settings.database_choices_max,
            documents=settings.database_insert_max,
            stages=settings.database_stages_max,
            regexes=settings.database_regexes_max,
            regex_chars=settings.database_regex_max_chars,
            regex_degree=settings.database_regex_degree_max or _regex_degree(settings),
            steps=settings.database_steps_max,
            interpreted=_is_embedded(settings),
        ),
        client_values=settings.database_values_client_max,
        documents=settings.database_documents_max,
        answer_bytes=settings.database_answer_max_bytes,
        document_bytes=settings.database_document_max_bytes,
        time_ms=settings.database_time_ms,
        client_time_max_ms=settings.database_time_client_max_ms,
        trusted_time_max_ms=settings.database_time_function_max_ms,
    )


def _regex_degree(settings: Settings) -> int:
    """What the database can bear: a real one gives up by itself, the embedded one cannot be interrupted."""
    return 2 if _is_embedded(settings) else 6


def command_room_bounds(settings: Settings) -> CommandRoomBounds:
    """Commands under way in one process. The embedded database runs them in one interpreter: each one more
    makes all of them slower."""
    per_space, total = (4, 12) if _is_embedded(settings) else (64, 256)
    return CommandRoomBounds(
        per_space=settings.database_commands_per_space_max or per_space,
        total=settings.database_commands_max or total,
        reserved_percent=settings.database_commands_reserved_percent,
        waiting=settings.database_commands_waiting_max,
        wait_ms=settings.database_commands_wait_ms,
    )


def _is_embedded(settings: Settings) -> bool:
    return settings.documents_url == "embedded:"


def transaction_bounds(settings: Settings) -> TransactionBounds:
    """Open transactions of one process."""
    return TransactionBounds(
        per_user=settings.database_transactions_per_user_max,
        per_space=settings.database_transactions_per_space_max,
        total=settings.database_transactions_max,
        reserved_percent=settings.database_transactions_reserved_percent,
    )


def question_bounds(settings: Settings) -> QuestionBounds:
    """Commands of transactions of this process that others send: as many as it has transactions."""
    return QuestionBounds(
        per_space=settings.database_transactions_per_space_max,
        total=settings.database_transactions_max,
    )


def questions_max(settings: Settings) -> int:
    """Questions of others at the same time: their commands, an end of each transaction, and some hands for
    those that are refused at once."""
    return 2 * settings.database_transactions_max + _REFUSING


def transfer_limits(settings: Settings) -> TransferLimits:
    """Bounds of one request of an export or import."""
    return TransferLimits(
        documents=settings.database_transfer_documents_max,
        max_bytes=settings.database_transfer_max_bytes,
        line_max_bytes=settings.database_transfer_line_max_bytes,
    )


def package_limits(settings: Settings) -> PackageLimits:
    """Bounds of one code package."""
    return PackageLimits(
        zip_max_bytes=settings.package_zip_max_bytes,
        unpacked_max_bytes=settings.package_unpacked_max_bytes,
        entries_max=settings.package_entries_max,
        ratio_max=settings.package_ratio_max,
    )


def env_limits(settings: Settings) -> EnvLimits:
    """Bounds of one function's environment variables."""
    return EnvLimits(
        variables_max=settings.function_env_max, max_bytes=settings.function_env_max_bytes
    )


def http_proxy_limits(settings: Settings) -> HttpProxyLimits:
    """Bounds of `httpProxyClient`."""
    return HttpProxyLimits(
        under_way_max=settings.http_proxy_under_way_max,
        under_way_max_per_space=settings.http_proxy_under_way_max_per_space,
        timeout_s=settings.http_proxy_timeout_s,
        url_max_bytes=settings.http_proxy_url_max_bytes,
        headers_max=settings.http_proxy_headers_max,
        headers_max_bytes=settings.http_proxy_headers_max_bytes,
        request_max_bytes=settings.http_proxy_request_max_bytes,
        response_max_bytes=settings.http_proxy_response_max_bytes,
    )


def async_defaults(settings: Settings) -> AsyncDefaults:
    """Terms of asynchronous jobs of functions that say nothing."""
    return AsyncDefaults(
        attempts_max=settings.async_attempts,
        backoff_first_s=settings.async_backoff_first_s,
        backoff_longest_s=settings.async_backoff_longest_s,
        keep_s=settings.async_keep_s,
    )


def trigger_limits(settings: Settings) -> TriggerLimits:
    """Bounds and address of HTTP triggers."""
    return TriggerLimits(
        request_max_bytes=settings.trigger_request_max_bytes,
        response_max_bytes=settings.trigger_response_max_bytes,
        body_max_bytes=settings.trigger_body_max_bytes,
        body_timeout_s=settings.body_timeout_s,
        custom_domain_inline=settings.trigger_custom_domain_inline,
    )


def login_limits(settings: Settings) -> LoginLimits:
    """Of logins at one platform in one gateway."""
    return LoginLimits(
        timeout_s=settings.platform_timeout_s,
        under_way_max=settings.platform_logins_max,
        under_way_max_per_space=settings.platform_logins_max_per_space,
    )
