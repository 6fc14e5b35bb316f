"""Owns the options of the linear cross-entropy that works in chunks.

May import dtypes.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from ... import dtypes

_HALF = (dtypes.bfloat16, dtypes.float16)
_ACC_DTYPES = (None, *_HALF, dtypes.float32, dtypes.float64)


@dataclasses.dataclass(slots=True, frozen=True)
class LinearCrossEntropyOptions:
    """How ``linear_cross_entropy`` splits the batch, so that its logits never exist all at once.

    Args:
        allow_retain_graph: backward may run twice; here it always may, because it computes the logits again.
        batch_chunk_size: rows per chunk; None takes one chunk, or what ``chunking_method`` says.
        chunking_method: ``"aspect_ratio"`` makes a chunk's logits about as large as the input, ``"aspect_ratio:N"``
            N times smaller; ``"auto"`` chooses by device and dtype.
        acc_policy: ``"auto"``, ``"accurate"``, ``"balanced"`` or ``"compact"``: what torch keeps in ``acc_dtype``.
            Here logits, losses and sums are kept in it under every policy, and nothing else is kept.
        acc_dtype: the dtype to calculate in; None takes float32 for half precision.

    Raises:
        ValueError: an unknown policy, method or dtype, or a size that is not positive.

    Example:
        >>> import rushlight as torch
        >>> torch.nn.LinearCrossEntropyOptions(batch_chunk_size=128).batch_chunk_size
        128
    """

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: Literal["accurate", "balanced", "compact", "auto"] = "auto"
    acc_dtype: dtypes.dtype | None = None

    def __post_init__(self) -> None:
        if self.acc_policy not in ("auto", "accurate", "balanced", "compact"):
            raise ValueError(f"invalid acc_policy: {self.acc_policy!r}")
        if self.chunking_method not in (None, "auto") and self._factor(self.chunking_method) is None:
            raise ValueError(f"invalid chunking_method: {self.chunking_method!r}")
        size = self.batch_chunk_size
        if size is not None and not (isinstance(size, int) and size > 0):
            raise ValueError(f"batch_chunk_size must be positive int or None, got {size!r}")
        if self.acc_dtype not in _ACC_DTYPES:
            raise ValueError(
                "acc_dtype must be one of {None, torch.float16, torch.bfloat16, torch.float32, torch.float64}, got "
                f"{self.acc_dtype!r}. Pass acc_dtype=None to let the op pick automatically."
            )

    @staticmethod
    def _factor(method: str) -> int | None:
        """The N of ``"aspect_ratio:N"``; None where the method is no such thing."""
        name, colon, factor = method.partition(":")
        if name != "aspect_ratio" or (colon and not (factor.isdigit() and int(factor) > 0)):
            return None
        return int(factor) if colon else 1

    def _chunk_size(self, rows: int, in_features: int, classes: int, dtype, device) -> int:
        """Rows per chunk for one call.

        Raises:
            ValueError: size and method disagree.
        """
        given, method = self.batch_chunk_size, self.chunking_method
        if method == "auto":
            half_on_cpu = device.type == "cpu" and dtype in _HALF
            method = None if given is not None else "aspect_ratio" if half_on_cpu else "aspect_ratio:2"
        size = rows if given is None else min(given, rows)
        if method is not None:
            wanted = -(-rows // -(-classes // in_features))
            size = min((1 << (wanted - 1).bit_length()) // (self._factor(method) or 1), rows)
            if given is not None and given != size:
                raise ValueError(
                    f"batch_chunk_size (={given}) and chunking_method ('{method}') give different chunk sizes "
                    f"({given} vs {size}); pass only one."
                )
        return max(1, size)

    def _acc(self, dtype) -> dtypes.dtype:
        """The dtype to calculate in."""
        if self.acc_dtype is not None:
            return self.acc_dtype
        return dtypes.float32 if dtype in _HALF else dtype


__all__ = ["LinearCrossEntropyOptions"]
