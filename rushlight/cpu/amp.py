"""Owns ``torch.cpu.amp``: the old names of ``torch.amp`` for CPU. May import amp and dtypes."""

from __future__ import annotations

import warnings

from .. import amp as _amp
from .. import dtypes


def _deprecated(old: str, new: str) -> None:
    warnings.warn(
        f"`torch.cpu.amp.{old}(args...)` is deprecated. Please use `torch.amp.{new}('cpu', args...)` instead.",
        FutureWarning,
        stacklevel=3,
    )


class autocast(_amp.autocast):
    """``torch.autocast("cpu", ...)``; deprecated.

    Args:
        enabled: False switches autocast off inside the block.
        dtype: of products.
        cache_enabled: keep casts of parameters until the outermost block ends.
    """

    def __init__(self, enabled: bool = True, dtype: dtypes.dtype = dtypes.bfloat16, cache_enabled: bool = True) -> None:
        _deprecated("autocast", "autocast")
        super().__init__("cpu", enabled=enabled, dtype=dtype, cache_enabled=cache_enabled)


class GradScaler(_amp.GradScaler):
    """``torch.amp.GradScaler("cpu", ...)``; deprecated."""

    def __init__(
        self, init_scale: float = 2.0**16, growth_factor: float = 2.0, backoff_factor: float = 0.5,
        growth_interval: int = 2000, enabled: bool = True,
    ) -> None:  # fmt: skip
        _deprecated("GradScaler", "GradScaler")
        super().__init__(
            "cpu",
            init_scale=init_scale,
            growth_factor=growth_factor,
            backoff_factor=backoff_factor,
            growth_interval=growth_interval,
            enabled=enabled,
        )


__all__ = ["GradScaler", "autocast"]
