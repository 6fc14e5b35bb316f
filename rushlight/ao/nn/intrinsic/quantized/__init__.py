"""Owns ``torch.ao.nn.intrinsic.quantized``: names of fused modules with integer kernels, which refuse to be made.

May import _errors.
"""

from __future__ import annotations

from typing import Any

from ....._errors import missing_name, not_supported

_NAMES = (
    "BNReLU2d", "BNReLU3d", "ConvAdd2d", "ConvAddReLU2d", "ConvReLU1d", "ConvReLU2d", "ConvReLU3d", "LinearLeakyReLU",
    "LinearReLU", "LinearTanh",
)  # fmt: skip


class _Integer:
    """A fused module with integer kernels: a name to compare types with; making one raises NotImplementedError."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise not_supported(
            f"torch.ao.nn.intrinsic.quantized.{type(self).__name__}",
            "Keep the module that torch.ao.quantization.prepare_qat made: its floats lie on the quantization grid.",
        )

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """Refused, as making one is."""
        return cls()


globals().update({name: type(name, (_Integer,), {"__module__": __name__}) for name in _NAMES})


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = list(_NAMES)  # pyright: ignore[reportUnsupportedDunderAll]
