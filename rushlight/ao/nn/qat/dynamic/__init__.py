"""Owns ``torch.ao.nn.qat.dynamic``: the linear layer for ranges that are those of each input alone.

May import the layer it extends and qconfig.
"""

from __future__ import annotations

from typing import Any

from ..modules import linear


class Linear(linear.Linear):
    """``qat.Linear`` for a ``qconfig`` that remembers nothing.

    Args: those of ``qat.Linear``.

    Raises:
        ValueError: the ``qconfig`` averages over inputs.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, qconfig: Any = None, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        from ....quantization.qconfig import _activation_is_memoryless  # which imports this package

        super().__init__(in_features, out_features, bias, qconfig, device, dtype)
        if not _activation_is_memoryless(qconfig):
            raise ValueError(
                "Dynamic QAT requires a memoryless observer. This means a MovingAverage observer with averaging "
                "constant equal to 1"
            )


__all__ = ["Linear"]
