"""Owns moving the inputs of a wrapped model to its device, in whatever they are nested.

May import the tensor cell and devices.
"""

from __future__ import annotations

from typing import Any

from ... import _device as devices
from ..._tensor.tensor import Tensor


def first_device(device_ids: Any) -> devices.device | None:
    """The device of a list of them; GPUs by number."""
    ids = [device_ids] if isinstance(device_ids, (int, str, devices.device)) else list(device_ids)
    return devices.device(ids[0]) if ids else None


def moved(value: Any, where: devices.device | None) -> Any:
    """A value with every tensor in it on a device; lists, tuples, named tuples and dicts are rebuilt."""
    if where is None:
        return value
    if isinstance(value, Tensor):
        return value.to(where)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(moved(item, where) for item in value))
    if isinstance(value, (list, tuple)):
        return type(value)(moved(item, where) for item in value)
    if isinstance(value, dict):
        return type(value)((key, moved(item, where)) for key, item in value.items())
    return value
