"""Why something could not be done over AMQP.

AmqpError
  ConnectionLostError     the connection is gone; nothing on it can be done any more
    BrokerClosedError     the broker closed it and said why
    ProtocolError         the peer sent what is no AMQP, or what has no place there
  ChannelClosedError      the broker closed one channel and said why; the connection goes on
  StalledError            the peer takes no more bytes for too long
  RefusedError            the broker refused a message: it is not in a queue
  ReturnedError           a message found no queue: it is in none
"""

from __future__ import annotations

from typing import TypeVar

NOT_FOUND = 404
"""Reply code of a queue or exchange that is not there."""


class AmqpError(Exception):
    """Base: everything that a call on a connection or channel raises beside `ValueError` and `TypeError` for
    arguments that cannot be sent."""


class ConnectionLostError(AmqpError):
    """Whether what was under way reached the broker is not known."""


class _ClosedError(AmqpError):
    """`code` and `text` are the broker's."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


class BrokerClosedError(_ClosedError, ConnectionLostError):
    """The broker closed the connection."""


class ProtocolError(ConnectionLostError):
    """The peer is no AMQP 0-9-1 broker, or one that we do not understand."""


class ChannelClosedError(_ClosedError):
    """The broker closed the channel."""


class StalledError(AmqpError):
    """The connection's write buffer stayed full."""


class RefusedError(AmqpError):
    """`basic.nack`: the queue is full."""


class ReturnedError(AmqpError):
    """`basic.return`: there is no such queue."""


E = TypeVar("E", bound=AmqpError)


def fresh(error: E) -> E:
    """A copy for each one who waits: a raised exception collects the traceback of its raiser."""
    return type(error)(*error.args)
