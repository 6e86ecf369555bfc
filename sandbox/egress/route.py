"""From a target to a connected socket: every address is checked, only checked ones are dialled.

A name is looked up once for each connection, and the addresses that were checked are the ones that
are dialled, so an answer that changes in between (DNS rebinding) changes nothing.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence

from sandbox.egress.answers import failed, failed_with, refused
from sandbox.egress.dial import Connect, connect, dial, is_own
from sandbox.egress.hosts import Host
from sandbox.egress.limits import EgressLimits
from sandbox.egress.names import NamesShare
from sandbox.egress.networks import Address
from sandbox.egress.policy import Denial, EgressPolicy, Grant, needs_rule

_OWN = needs_rule("an address of the worker's own machine")


class Route:
    """One sandbox's way out. `connect` and `is_own` are the system's, but for tests."""

    def __init__(
        self,
        names: NamesShare,
        limits: EgressLimits,
        *,
        connect: Connect = connect,
        is_own: Callable[[Address], bool] = is_own,
    ) -> None:
        self._names = names
        self._limits = limits
        self._connect = connect
        self._is_own = is_own
        self._connecting = asyncio.Semaphore(limits.connecting_max)

    async def reach(self, host: Host, port: int, policy: EgressPolicy) -> socket.socket:
        """A connected socket. Raises NotConnected. Cancellation leaves nothing open."""
        limit_s = self._limits.connect_timeout_s
        try:
            async with asyncio.timeout(limit_s), self._connecting:
                addresses = await self.find_addresses(host, port, policy)
                return await dial(
                    addresses,
                    port,
                    attempt_delay_s=self._limits.attempt_delay_s,
                    connect=self._connect,
                )
        except TimeoutError:
            # Also the system's own ETIMEDOUT, which is a TimeoutError.
            raise failed("ETIMEDOUT", f"{host}:{port} did not answer in time") from None
        except OSError as error:
            raise failed_with(error, str(host), port) from error

    async def find_addresses(
        self, host: Host, port: int, policy: EgressPolicy
    ) -> Sequence[Address]:
        """The addresses of `host` that `policy` allows, at least one. Raises NotConnected."""
        if not isinstance(host, str):
            decision = self._decide(host, port, policy, None)
            if isinstance(decision, Denial):
                raise refused(f"{host} is {decision.kind}{decision.advice(host, port)}")
            return [host]
        denial = policy.of_name(host, port)
        if denial is not None:
            raise refused(f"{host} is {denial.kind}{denial.advice(host, port)}")
        found = await self._names.resolve(host, timeout_s=self._limits.lookup_timeout_s)
        allowed: list[Address] = []
        denials: dict[str, Denial] = {}
        for address in found:
            decision = self._decide(address, port, policy, host)
            if isinstance(decision, Denial):
                denials[decision.kind] = decision
            else:
                allowed.append(address)
        if not allowed:
            # Not which address: the operator's own names are not for functions to list.
            # The first advice that there is: a rule for the name opens whatever it resolves to.
            advice = next(filter(None, (each.advice(host, port) for each in denials.values())), "")
            raise refused(f"{host} resolves to {' and '.join(denials)}{advice}")
        return allowed[: self._limits.addresses_max]

    def _decide(
        self, address: Address, port: int, policy: EgressPolicy, name: str | None
    ) -> Grant | Denial:
        decision = policy.of_address(address, port, name)
        return _OWN if decision is Grant.PUBLIC and self._is_own(address) else decision
