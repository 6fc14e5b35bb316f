"""Owns the exception of a distributed checkpoint that could not be written or read.

May import _errors.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from ..._errors import missing_name

_T = TypeVar("_T")


class CheckpointException(BaseException):
    """Saving or loading failed; as in torch, ``except Exception`` does not catch it.

    Args:
        msg: in which step.
        failures: for each process, the exception and the lines that led to it.
    """

    def __init__(self, msg: str, failures: dict[int, tuple[BaseException, traceback.StackSummary]]):
        super().__init__(msg, failures)
        self._failures = failures

    @property
    def failures(self) -> dict[int, tuple[BaseException, traceback.StackSummary]]:
        """For each process, the exception and the lines that led to it."""
        return self._failures

    def __str__(self) -> str:
        text = f"CheckpointException ranks:{self._failures.keys()}\n"
        for rank, (error, lines) in self._failures.items():
            text += f"Traceback (most recent call last): (RANK {rank})\n"
            text += "".join(lines.format()) + "".join(traceback.format_exception_only(type(error), error))
        return text


def step(name: str, work: Callable[[], _T]) -> _T:
    """Do one step of a save or a load.

    Raises:
        CheckpointException: the step failed.
    """
    try:
        return work()
    except BaseException as error:
        raise CheckpointException(name, {0: (error, traceback.extract_tb(error.__traceback__))}) from error


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["CheckpointException"]
