"""Errors meant for users: one line that says what is wrong and what to do."""

from __future__ import annotations


class UniRefError(Exception):
    """Something outside the program is wrong (a file, a checkpoint, a video).

    The message is one line, names the file, record or option, and says what to do. The command
    line prints it to stderr and exits with `exit_code`.
    """

    exit_code = 1


class UsageError(UniRefError):
    """The request itself makes no sense (an option missing, contradictory or out of range)."""

    exit_code = 2


class CheckpointError(UniRefError):
    """A checkpoint is missing, damaged, of another kind, or does not fit the model."""


class MediaError(UniRefError):
    """An image, mask or video cannot be read or written."""
