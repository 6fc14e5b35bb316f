"""Owns torch's old typed constructors: ``torch.FloatTensor(2, 3)``, ``isinstance(x, torch.LongTensor)``.

May import the tensor cell and creation.
"""

from __future__ import annotations

from .. import dtypes
from .._tensor.tensor import Tensor
from .creation import construct


class _TypedMeta(type):
    dtype: dtypes.dtype
    is_cuda: bool

    def __instancecheck__(cls, instance) -> bool:
        return isinstance(instance, Tensor) and instance.dtype is cls.dtype and instance.is_cuda == cls.is_cuda

    def __call__(cls, *args, device=None):
        return construct(Tensor, args, cls.dtype, device or ("cuda" if cls.is_cuda else None))

    def __repr__(cls) -> str:
        return f"<class 'torch.{'cuda.' if cls.is_cuda else ''}{cls.__name__}'>"


def _typed(name: str, d: dtypes.dtype, is_cuda=False):
    doc = f"torch's old constructor of {d!r} tensors; ``isinstance`` compares dtype and device."
    return _TypedMeta(name, (), {"dtype": d, "is_cuda": is_cuda, "__doc__": doc, "__module__": __name__})


_NAMES = {
    "FloatTensor": dtypes.float32, "DoubleTensor": dtypes.float64, "HalfTensor": dtypes.float16,
    "BFloat16Tensor": dtypes.bfloat16, "LongTensor": dtypes.int64, "IntTensor": dtypes.int32,
    "ShortTensor": dtypes.int16, "CharTensor": dtypes.int8, "ByteTensor": dtypes.uint8, "BoolTensor": dtypes.bool_,
}  # fmt: skip
FloatTensor, DoubleTensor, HalfTensor, BFloat16Tensor, LongTensor, IntTensor, ShortTensor, CharTensor, ByteTensor, \
    BoolTensor = (_typed(name, d) for name, d in _NAMES.items())  # fmt: skip
CUDA = {name: _typed(name, d, True) for name, d in _NAMES.items()}

__all__ = [
    "BFloat16Tensor", "BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor", "HalfTensor",
    "IntTensor", "LongTensor", "ShortTensor",
]  # fmt: skip
