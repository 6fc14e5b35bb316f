"""Owns the ``pin_memory=True`` pass over a batch.

May import this folder and the Tensor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rushlight._tensor.tensor import Tensor

from .collate import _rebuild_mapping, _rebuild_sequence


def pin_memory(data, device=None):
    """Call ``pin_memory()`` on everything in a batch that has it.

    JAX stages transfers to the accelerator itself, so tensors stay as they are; a user's batch class still gets its
    call.

    Args:
        data: a batch.
        device: accepted for torch's signature; JAX has one kind of host memory.
    """
    if isinstance(data, Tensor | str | bytes):
        return data
    if hasattr(data, "pin_memory"):
        return data.pin_memory()
    if isinstance(data, Mapping):
        return _rebuild_mapping(data, {key: pin_memory(value, device) for key, value in data.items()})
    if isinstance(data, tuple):
        values = [pin_memory(value, device) for value in data]
        return type(data)(*values) if hasattr(data, "_fields") else type(data)(values)
    if isinstance(data, Sequence):
        return _rebuild_sequence(data, [pin_memory(value, device) for value in data])
    return data
