"""What the Docker engine's refusals mean, in words that tell what to do. Pure."""

from __future__ import annotations

from sandbox.api import SandboxError


class EngineGoneError(SandboxError):
    """The engine does not answer; it may come back."""

    @classmethod
    def at(cls, url: str, what: str, error: Exception) -> EngineGoneError:
        """`what` was to be done, as in "list the containers"."""
        return cls(
            f"the Docker engine at {url} did not {what}: {_reason(error)}.",
            what_next="Start it (`systemctl start docker`) and let this user write to its socket"
            " (group docker), or choose another rung with YUNHAN_SANDBOX.",
        )


class NameTakenError(SandboxError):
    """Another container has the name, and with it the uid."""


class ImageGoneError(SandboxError):
    """Somebody removed the image; it can be built again."""

    @classmethod
    def of(cls, image: str, explanation: str) -> ImageGoneError:
        """Docker answers "not found" for an image, and for nothing else that a container is made of."""
        return cls(f"the Docker engine does not have the image {image}: {explanation}.")


def refused_by_engine(what: str, explanation: str) -> SandboxError:
    """The engine answered with an error; its own words are kept."""
    said = explanation.strip().rstrip(".")
    text = said.lower()
    what_next = ""
    if "runtime" in text and ("unknown" in text or "invalid" in text or "not found" in text):
        what_next = (
            "Install the runtime and name it in the engine's daemon.json, or set"
            " YUNHAN_DOCKER_RUNTIME to one that `docker info` lists."
        )
    elif "bind source path does not exist" in text:
        what_next = (
            "The engine does not see this machine's folders: a worker in a container must have its"
            " run directory and its code at the same path as the engine's machine."
        )
    return SandboxError(f"the Docker engine refused to {what}: {said}.", what_next=what_next)


def _reason(error: Exception) -> str:
    """The innermost cause: the SDK wraps one error in several layers of text."""
    seen: set[int] = set()
    inner: BaseException = error
    while id(inner) not in seen:
        seen.add(id(inner))
        inner = inner.__cause__ or inner.__context__ or inner
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    return str(inner) or type(inner).__name__
