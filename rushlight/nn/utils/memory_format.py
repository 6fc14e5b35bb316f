"""Owns the conversion of convolution weights to a memory format; XLA lays out memory itself, so that nothing moves.

May import the convolution layers.
"""

from __future__ import annotations

from typing import Any

from ..modules import conv


def _convert(module: Any, memory_format: Any, kinds: tuple) -> Any:
    if isinstance(module, kinds):
        module.weight.data = module.weight.detach().clone(memory_format=memory_format)
    for child in module.children():
        _convert(child, memory_format, kinds)
    return module


def convert_conv2d_weight_memory_format(module: Any, memory_format: Any) -> Any:
    """Clone the weights of 2-D convolutions in a memory format.

    Args:
        module: a module; its children are converted too.
        memory_format: for example ``torch.channels_last``.

    Returns:
        Module: the same one.
    """
    return _convert(module, memory_format, (conv.Conv2d, conv.ConvTranspose2d))


def convert_conv3d_weight_memory_format(module: Any, memory_format: Any) -> Any:
    """Clone the weights of 3-D convolutions in a memory format; see ``convert_conv2d_weight_memory_format``."""
    return _convert(module, memory_format, (conv.Conv3d, conv.ConvTranspose3d))


__all__ = ["convert_conv2d_weight_memory_format", "convert_conv3d_weight_memory_format"]
