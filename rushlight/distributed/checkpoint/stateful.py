"""Owns the protocol of objects that give and take their own state.

May import _errors.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar, runtime_checkable

from ..._errors import missing_name


@runtime_checkable
class Stateful(Protocol):
    """An object with ``state_dict`` and ``load_state_dict``, such as a module or an optimizer."""

    def state_dict(self) -> dict[str, Any]:
        """Its state."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take a state."""
        ...


StatefulT = TypeVar("StatefulT", bound=Stateful)


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["Stateful", "StatefulT"]
