"""Exceptions: what happened, where, and what to do about it."""

from __future__ import annotations


class SessileError(Exception):
    """Whatever goes wrong in this package.

    ``hint`` says what to do about it, if there is something; it is part of ``str(error)``.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\nhint: {self.hint}"


class UsageError(SessileError, ValueError):
    """An argument makes no sense, or the model cannot do what it is asked for."""


class ModelError(SessileError):
    """A model cannot be found, fetched, read or loaded."""


class DeviceError(SessileError, RuntimeError):
    """A device is missing, too small or lost."""


class FileError(SessileError, OSError):
    """An input cannot be read, or a result cannot be written."""


class Interrupted(SessileError):
    """The call was stopped."""


class RecordError(SessileError, ValueError):
    """One sequence or text has no answer.

    ``record`` is its name, and ``index`` its place among those of the call.
    """

    def __init__(
        self, message: str, hint: str | None = None, index: int = 0, record: str | None = None
    ) -> None:
        super().__init__(message if record is None else f"{record}: {message}", hint)
        self.args = (message, hint, index, record)
        self.reason = message
        self.index = index
        self.record = record

    def of(self, record: str) -> RecordError:
        """The same, naming the record."""
        return RecordError(self.reason, self.hint, self.index, record)


_KINDS: dict[str, type[SessileError]] = {
    "usage": UsageError,
    "file": FileError,
    "model": ModelError,
    "device": DeviceError,
    "interrupted": Interrupted,
}


def _raised(kind: str, message: str, hint: str | None, record: int | None) -> SessileError:
    """What the extension raises."""
    if kind == "record":
        return RecordError(message, hint, record or 0)
    return _KINDS.get(kind, SessileError)(message, hint)
