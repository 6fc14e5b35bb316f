"""Owns the states of the devices' random numbers as packages keep them around parts that they compute again.

May import devices, random and the tensor cell; ``torch.utils.checkpoint`` gives it its names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._device import resolve
from .._tensor.tensor import Tensor
from ..random.generator import generator_of
from ._pytree import tree_leaves


def get_device_states(*args: Any) -> tuple[list[int], list[Tensor]]:
    """The devices of tensors other than the CPU's, and the states of their random numbers.

    Args:
        args: tensors, and anything else; containers too.

    Example:
        >>> import rushlight as torch
        >>> from rushlight.utils.checkpoint import get_device_states
        >>> get_device_states(torch.ones(2), 3)
        ([], [])
    """
    places = [x.device for x in tree_leaves(args) if isinstance(x, Tensor) and x.device.type not in ("cpu", "meta")]
    return [place.index or 0 for place in places], [generator_of(place).get_state() for place in places]


def set_device_states(devices: Sequence[int], states: Sequence[Tensor], *, device_type: str | None = None) -> None:
    """Set what ``get_device_states`` gave.

    Args:
        devices: the devices' numbers.
        states: as many states.
        device_type: the kind of device; default: ``"cuda"``.
    """
    if device_type == "meta":
        return
    for number, state in zip(devices, states):
        generator_of(resolve(f"{device_type or 'cuda'}:{number}")).set_state(state)
