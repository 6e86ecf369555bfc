"""Every `Ending` that the worker, not the sandbox, decides on: kinds and texts in one place. Pure."""

from __future__ import annotations

import signal

from sandbox.api import Ending, Fault, OutcomeKind, Usage
from sandbox.handle import Exit
from sandbox.node_command import heap_limit_mb

# V8 writes it before it aborts at its own heap limit; the exit alone is that of any abort.
_HEAP_LIMIT_TEXT = b"heap out of memory"
# The bootstrap's own exit after an uncaught error that it cannot assign to one invocation.
_UNCAUGHT_EXIT_CODE = 70
# The bootstrap's exit after bytes on the channel that the worker cannot have sent, with this text.
_DISTURBED_EXIT_CODE = 71
_BOOTSTRAP_TEXT = b"yunhan bootstrap: "


def _ending(kind: OutcomeKind, name: str, message: str) -> Ending:
    return Ending(kind=kind, fault=Fault(name=name, message=message), reusable=False)


def timed_out(limit_s: float, doing: str, *, beside: int = 0) -> Ending:
    """`doing` is what took too long, as in "the function"; `beside` others were under way in its sandbox, of
    which any may have kept it busy: that cannot be told."""
    others = (
        f"; {beside} other{'s' if beside > 1 else ''} ran in the same sandbox, and whose code kept it busy"
        " is not known"
    )
    return _ending(
        OutcomeKind.TIMEOUT,
        "Timeout",
        f"{doing} did not end within its limit of {limit_s:g} s and was stopped"
        + (others if beside else ""),
    )


def lost(reason: str) -> Ending:
    """The sandbox went away for a reason that is not this invocation's."""
    return _ending(OutcomeKind.SANDBOX_LOST, "SandboxLost", f"the sandbox was lost: {reason}")


def protocol_error(detail: str) -> Ending:
    """Something other than the bootstrap wrote to the channel."""
    return _ending(
        OutcomeKind.PROTOCOL_ERROR,
        "ProtocolError",
        f"the function disturbed the channel of its sandbox: {detail}",
    )


def out_of_memory(memory_mb: int) -> Ending:
    """Whichever of its processes the limit ended."""
    return _ending(
        OutcomeKind.OUT_OF_MEMORY,
        "OutOfMemory",
        f"the function used more than its memory limit of {memory_mb} MB",
    )


def heap_full(memory_mb: int) -> Ending:
    """V8 aborted at its own limit, before the sandbox's."""
    return _ending(
        OutcomeKind.OUT_OF_MEMORY,
        "OutOfMemory",
        "the function's JavaScript heap is full: it gets"
        f" {heap_limit_mb(memory_mb)} MB of the memory limit of {memory_mb} MB",
    )


def no_result() -> Ending:
    """The channel is closed although the process lives."""
    return _ending(
        OutcomeKind.NO_RESULT,
        "NoResult",
        "the function's process closed its channel without a result",
    )


def result_too_large(detail: str) -> Ending:
    """The sandbox should have refused it: it cannot be trusted any more."""
    return _ending(OutcomeKind.RESULT_TOO_LARGE, "ResultTooLarge", detail)


def result_too_deep(usage: Usage, *, reusable: bool) -> Ending:
    """JSON text that common readers refuse."""
    return Ending(
        kind=OutcomeKind.RESULT_NOT_SERIALIZABLE,
        fault=Fault(name="ResultTooDeep", message="the result is nested deeper than 1024 levels"),
        usage=usage,
        reusable=reusable,
    )


def is_out_of_memory(exit_: Exit) -> bool:
    """Whether the sandbox's memory limit or V8's own ended it."""
    return exit_.oom or (exit_.signal is not None and _HEAP_LIMIT_TEXT in exit_.output)


def process_gone(exit_: Exit, memory_mb: int) -> Ending:
    """The process ended before a result, and not because the worker killed it.

    SIGKILL without the kernel's word on a memory limit is not provably the function's: the host's killer of
    processes in need of memory and an operator look the same. So it is ours (a caller may try it again), also
    when the function killed itself. Every other signal is a crash.
    """
    if exit_.lost:
        return lost(exit_.lost)
    if is_out_of_memory(exit_):
        return out_of_memory(memory_mb) if exit_.oom else heap_full(memory_mb)
    if exit_.signal == signal.SIGKILL:
        return lost(
            "its process was killed by SIGKILL, for want of memory on the machine, by an operator, or by"
            " itself"
        )
    if exit_.signal is not None:
        return _ending(
            OutcomeKind.CRASHED,
            "Crashed",
            f"the function's process was ended by signal {_signal_name(exit_.signal)}",
        )
    if exit_.code == _DISTURBED_EXIT_CODE and _BOOTSTRAP_TEXT in exit_.output:
        return protocol_error("what the worker sent did not arrive as it was sent")
    why = " (an error that nothing caught)" if exit_.code == _UNCAUGHT_EXIT_CODE else ""
    return _ending(
        OutcomeKind.EXITED,
        "Exited",
        f"the function's process exited with code {exit_.code}{why} before a result",
    )


def describe_exit(exit_: Exit) -> str:
    """For our own messages: "exited with code 1" or "was ended by SIGSEGV"."""
    if exit_.signal is not None:
        return f"was ended by {_signal_name(exit_.signal)}"
    return f"exited with code {exit_.code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
