"""Owns ``torch.autograd.forward_ad``: tensors that carry a tangent through whatever is computed with them.

May import the tape's modes, the tensor cell and the operators.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .._graph.modes import _Mode, state
from .._tensor.tensor import Tensor
from ..ops._dual import Level, paused
from ..ops.shape import view_whole

_current_level = -1


class UnpackedDualTensor(NamedTuple):
    """A value, and its tangent (None where it has none)."""

    primal: Tensor
    tangent: Tensor | None


def enter_dual_level() -> int:
    """Open a level, in which tensors can have tangents.

    Raises:
        RuntimeError: one is open already.
    """
    global _current_level
    if state.dual is not None:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    state.dual = Level()
    _current_level = 0
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """Close the level; all tangents in it are forgotten.

    Raises:
        RuntimeError: it is not open.
    """
    global _current_level
    if level is not None and level != _current_level:
        raise RuntimeError(
            "Trying to exit a forward AD level that was not the last one that was created. This is not supported."
        )
    if state.dual is None:
        raise RuntimeError("Dual level must be a positive number.")
    state.dual.close()
    state.dual = None
    _current_level = -1


class dual_level(_Mode):
    """A block with a level of forward derivatives.

    Example:
        >>> import rushlight as torch
        >>> import rushlight.autograd.forward_ad as forward_ad
        >>> with forward_ad.dual_level():
        ...     x = forward_ad.make_dual(torch.tensor(3.0), torch.tensor(1.0))
        ...     forward_ad.unpack_dual(x * x)
        UnpackedDualTensor(primal=tensor(9.), tangent=tensor(6.))
    """

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *exc) -> None:
        exit_dual_level()


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """A tensor over the memory of ``tensor`` that has a tangent.

    Args:
        tensor: the value.
        tangent: its change; it is kept as it is.
        level: the open one.

    Shape: the tangent has that of the tensor.

    Raises:
        RuntimeError: no level is open, the sizes differ, or one of both has a tangent already.
        ValueError: neither floating point nor complex.
    """
    if (_current_level if level is None else level) < 0 or state.dual is None:
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to enter_dual_level() first."
        )
    for what, t in (("primal", tensor), ("tangent", tangent)):
        if not (t.is_floating_point() or t.is_complex()):
            raise ValueError(f"Expected {what} to be floating point or complex, but got: {t.dtype}")
    here: Any = state.dual
    if here.get(tensor) is not None:
        raise RuntimeError(
            "Making a dual Tensor based on a Tensor that already has a forward gradient at the same level 0 is not "
            "supported."
        )
    if here.get(tangent) is not None:
        raise RuntimeError(
            "Setting a forward grad that itself has a forward gradient at the same level0 is not supported."
        )
    if tensor.shape != tangent.shape:
        raise RuntimeError(
            "Trying to set a forward gradient that has a different size than that of the original Tensor, this is not "
            f"supported. Tensor is of size {list(tensor.shape)} while the given forward gradient is of size "
            f"{list(tangent.shape)}."
        )
    out = _without(tensor)
    here.put(out, tangent)
    return out


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """The value of a tensor, and its tangent.

    Args:
        tensor: with a tangent, or without.
        level: the open one.

    Returns:
        UnpackedDualTensor: ``tangent`` is None where there is none, and after the level was closed.
    """
    if (_current_level if level is None else level) < 0 or state.dual is None:
        return UnpackedDualTensor(tensor, None)
    return UnpackedDualTensor(_without(tensor), state.dual.get(tensor))


def _without(tensor: Tensor) -> Tensor:
    """A view of a tensor that has no tangent."""
    with paused():
        out = view_whole(tensor)
    return state.dual.part(out)


__all__ = ["UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "make_dual", "unpack_dual"]
