"""Owns ``Join``, which lets processes with fewer batches wait for the others; one process has nobody to wait for.

May import _errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..._errors import missing_name


class JoinHook:
    """What a class would do while others still have batches, and after that; with one process, neither is called."""

    def main_hook(self) -> None:
        """Would be called for each batch of the others."""

    def post_hook(self, is_last_joiner: bool) -> None:
        """Would be called when all are done."""


class Joinable:
    """A class that can be told how others are doing; subclasses give a ``JoinHook``."""

    def join_hook(self, **kwargs: Any) -> JoinHook:
        """What to do while others still have batches."""
        return JoinHook()


class Join:
    """A block of training in which processes may have different numbers of batches.

    Args:
        joinables: what would be told.
        enable: whether to.
        throw_on_early_termination: whether to stop all when one is done.

    Raises:
        ValueError: nothing to join.

    Example:
        >>> from rushlight.distributed.algorithms.join import Join, Joinable
        >>> with Join([Joinable()]):
        ...     pass
    """

    def __init__(
        self, joinables: Sequence[Any], enable: bool = True, throw_on_early_termination: bool = False, **kwargs: Any
    ):
        if len(joinables) == 0:
            raise ValueError("The join context manager requires at least one joinable")
        self._joinables = list(joinables)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: Any) -> None:
        return None

    @staticmethod
    def notify_join_context(joinable: Any) -> None:
        """Accepted: nobody waits to hear that this process goes on."""


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["Join", "JoinHook", "Joinable"]
