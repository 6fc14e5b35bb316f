"""Owns ``torch.utils._foreach_utils``: what optimizers of others ask before they work on lists of tensors.

May import the operators on lists and devices.
"""

from __future__ import annotations

from ..ops.foreach import group_tensors_by_device_and_dtype as _group_tensors_by_device_and_dtype


def _get_foreach_kernels_supported_devices() -> list[str]:
    """The kinds of devices for which torch's own optimizers prefer lists; every kind takes them here."""
    return ["cuda"]


def _device_has_foreach_support(device) -> bool:
    """Lists work on every device."""
    return True


def _has_foreach_support(tensors, device) -> bool:
    """Lists work on every device and for every class of tensor."""
    return True


__all__ = [
    "_device_has_foreach_support", "_get_foreach_kernels_supported_devices", "_group_tensors_by_device_and_dtype",
    "_has_foreach_support",
]  # fmt: skip
