"""Owns ``dtype``, ``Size``, ``finfo``, ``iinfo``, memory formats and the default dtype; holds no tensors.

May import only numpy and ml_dtypes.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np


class dtype:
    """An element type, printed as torch prints it (``torch.float32``).

    Attributes:
        name: torch's name, for example ``"float32"``.
        np: the numpy (or ml_dtypes) dtype that holds it.
        itemsize: bytes per element.
        is_floating_point, is_complex, is_signed: as in torch.
        category: 0 bool, 1 integer, 2 floating, 3 complex; torch's promotion order.

    Example:
        >>> float32.itemsize, float32.is_floating_point, float32
        (4, True, torch.float32)
    """

    __slots__ = ("category", "is_complex", "is_floating_point", "is_signed", "itemsize", "name", "np")

    def __init__(self, name: str, np_dtype, category: int):
        self.name = name
        self.np = np.dtype(np_dtype)
        self.itemsize = self.np.itemsize
        self.category = category
        self.is_floating_point = category == 2
        self.is_complex = category == 3
        self.is_signed = category >= 2 or (category == 1 and not name.startswith("uint"))

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self):
        return _by_name, (self.name,)

    def __copy__(self) -> dtype:
        return self

    def __deepcopy__(self, memo) -> dtype:
        return self

    def to_real(self) -> dtype:
        """The real dtype of the same precision (``complex64`` gives ``float32``)."""
        return _TO_REAL.get(self, self)

    def to_complex(self) -> dtype:
        """The complex dtype of the same precision (``float64`` gives ``complex128``)."""
        return _TO_COMPLEX.get(self, self)


_TABLE = [
    ("bool", np.bool_, 0),
    ("uint8", np.uint8, 1),
    ("int8", np.int8, 1),
    ("int16", np.int16, 1),
    ("int32", np.int32, 1),
    ("int64", np.int64, 1),
    ("uint16", np.uint16, 1),
    ("uint32", np.uint32, 1),
    ("uint64", np.uint64, 1),
    ("float16", np.float16, 2),
    ("bfloat16", ml_dtypes.bfloat16, 2),
    ("float32", np.float32, 2),
    ("float64", np.float64, 2),
    ("float8_e4m3fn", ml_dtypes.float8_e4m3fn, 2),
    ("float8_e5m2", ml_dtypes.float8_e5m2, 2),
    ("float8_e4m3fnuz", ml_dtypes.float8_e4m3fnuz, 2),
    ("float8_e5m2fnuz", ml_dtypes.float8_e5m2fnuz, 2),
    ("float8_e8m0fnu", ml_dtypes.float8_e8m0fnu, 2),
    ("complex64", np.complex64, 3),
    ("complex128", np.complex128, 3),
]
ALL: dict[str, dtype] = {name: dtype(name, np_dtype, category) for name, np_dtype, category in _TABLE}
_FROM_NP: dict[np.dtype, dtype] = {d.np: d for d in ALL.values()}

bool_ = ALL["bool"]
uint8, int8, int16, int32, int64 = (ALL[n] for n in ("uint8", "int8", "int16", "int32", "int64"))
uint16, uint32, uint64 = ALL["uint16"], ALL["uint32"], ALL["uint64"]
float16, bfloat16, float32, float64 = ALL["float16"], ALL["bfloat16"], ALL["float32"], ALL["float64"]
float8_e4m3fn, float8_e5m2 = ALL["float8_e4m3fn"], ALL["float8_e5m2"]
float8_e4m3fnuz, float8_e5m2fnuz = ALL["float8_e4m3fnuz"], ALL["float8_e5m2fnuz"]
float8_e8m0fnu = ALL["float8_e8m0fnu"]
complex64, complex128 = ALL["complex64"], ALL["complex128"]


class _HalfComplex(dtype):
    """Two float16: what files and storages can have. Arrays hold the values as complex64, and operators give that."""

    __slots__ = ()

    def __init__(self):
        dtype.__init__(self, "complex32", np.complex64, 3)
        self.itemsize = 4


complex32 = _HalfComplex()

# torch's second names for the same objects.
ALIASES: dict[str, dtype] = {
    "half": float16,
    "float": float32,
    "double": float64,
    "short": int16,
    "int": int32,
    "long": int64,
    "chalf": complex32,
    "cfloat": complex64,
    "cdouble": complex128,
}
_TO_REAL = {complex64: float32, complex128: float64, complex32: float16}
_TO_COMPLEX = {float16: complex64, bfloat16: complex64, float32: complex64, float64: complex128}


class _Quantized(dtype):
    """An element type of torch's quantized tensors: it describes, and no tensor has it.

    Attributes:
        carrier: the integer type that holds its levels.
    """

    __slots__ = ("carrier",)

    def __init__(self, name: str, carrier: dtype):
        self.name, self.carrier, self.itemsize, self.category = name, carrier, carrier.itemsize, 1
        self.is_floating_point = self.is_complex = False
        self.is_signed = carrier.is_signed

    @property
    def np(self):
        raise NotImplementedError(
            f"Tensors of {self!r} are not supported by rushlight. Keep floats on the quantization grid with "
            "torch.fake_quantize_per_tensor_affine, or store the levels as torch.int8."
        )


class qscheme:
    """How a grid lies: a name, as in torch."""

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self):
        return _by_name, (self.name,)

    def __copy__(self) -> qscheme:
        return self

    def __deepcopy__(self, memo) -> qscheme:
        return self


_CARRIERS = {"qint8": int8, "quint8": uint8, "qint32": int32, "quint4x2": uint8, "quint2x4": uint8}
QUANTIZED: dict[str, dtype] = {name: _Quantized(name, carrier) for name, carrier in _CARRIERS.items()}
qint8, quint8, qint32 = QUANTIZED["qint8"], QUANTIZED["quint8"], QUANTIZED["qint32"]
quint4x2, quint2x4 = QUANTIZED["quint4x2"], QUANTIZED["quint2x4"]
_SCHEMES = (
    "per_tensor_affine", "per_tensor_symmetric", "per_channel_affine", "per_channel_symmetric",
    "per_channel_affine_float_qparams",
)  # fmt: skip
SCHEMES: dict[str, qscheme] = {name: qscheme(name) for name in _SCHEMES}
per_tensor_affine, per_tensor_symmetric = SCHEMES["per_tensor_affine"], SCHEMES["per_tensor_symmetric"]
per_channel_affine, per_channel_symmetric = SCHEMES["per_channel_affine"], SCHEMES["per_channel_symmetric"]
per_channel_affine_float_qparams = SCHEMES["per_channel_affine_float_qparams"]


def _by_name(name: str):
    return QUANTIZED.get(name) or SCHEMES.get(name) or named(name)


def named(name: str) -> dtype:
    """The dtype of a tensor by torch's name for it."""
    return complex32 if name == "complex32" else ALL[name]


def computed(d):
    """The dtype of what operators make where this one is wanted; None and other arguments stay."""
    return complex64 if d is complex32 else d


def from_numpy(np_dtype) -> dtype:
    """The dtype that holds numpy's ``np_dtype``.

    Raises:
        TypeError: no torch dtype holds it (strings, objects, float128, dates).
    """
    found = _FROM_NP.get(np_dtype) or _FROM_NP.get(np.dtype(np_dtype))
    if found is None:
        raise TypeError(
            f"can't convert np.ndarray of type {np.dtype(np_dtype).name}. The only supported types are: float64, "
            "float32, float16, complex64, complex128, int64, int32, int16, int8, uint64, uint32, uint16, uint8, and "
            "bool."
        )
    return found


class Size(tuple):
    """A tensor's shape: a tuple that prints as torch's and knows its element count.

    Example:
        >>> Size((2, 3)), Size((2, 3)).numel()
        (torch.Size([2, 3]), 6)
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"torch.Size([{', '.join(map(str, self))}])"

    __str__ = __repr__

    def numel(self) -> int:
        """The product of the dimensions (1 for a scalar)."""
        count = 1
        for n in self:
            count *= n
        return count

    def __getitem__(self, index):
        out = tuple.__getitem__(self, index)
        return Size(out) if isinstance(index, slice) else out

    def __add__(self, other):
        return Size(tuple.__add__(self, tuple(other)))

    def __radd__(self, other):
        return Size(tuple(other) + tuple(self))

    def __mul__(self, times):
        return Size(tuple.__mul__(self, times))

    __rmul__ = __mul__

    def __reduce__(self):
        return Size, (tuple(self),)


class finfo:
    """Limits of a floating dtype: ``bits, eps, max, min, tiny, smallest_normal, resolution``.

    Raises:
        TypeError: the dtype is not a floating point type.
    """

    def __init__(self, type: dtype | None = None):
        d = default_dtype() if type is None else type
        if d.category < 2:
            raise TypeError(f"torch.finfo() requires a floating point input type. Use torch.iinfo to handle '{d!r}'")
        info = ml_dtypes.finfo(d.to_real().np)
        self.dtype = d.to_real().name
        self.bits = int(info.bits)
        self.eps, self.max, self.min = float(info.eps), float(info.max), float(info.min)
        self.tiny = self.smallest_normal = float(info.smallest_normal)
        self.resolution = float(info.resolution)

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


class iinfo:
    """Limits of an integer dtype: ``bits, max, min``.

    Raises:
        TypeError: the dtype is not an integer type.
    """

    def __init__(self, type: dtype):
        if type.category != 1:
            raise TypeError(f"torch.iinfo() requires an integer input type. Use torch.finfo to handle '{type!r}'")
        info = np.iinfo((type.carrier if isinstance(type, _Quantized) else type).np)
        self.dtype, self.bits = type.name, int(info.bits)
        self.max, self.min = int(info.max), int(info.min)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


class memory_format:
    """How a tensor lies in memory; XLA chooses layouts itself, so these are names only."""

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"


class layout:
    """The storage layout; rushlight has ``strided`` alone."""

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"


contiguous_format, preserve_format = memory_format("contiguous_format"), memory_format("preserve_format")
channels_last, channels_last_3d = memory_format("channels_last"), memory_format("channels_last_3d")
strided = layout("strided")
sparse_coo = layout("sparse_coo")
sparse_csr, sparse_csc = layout("sparse_csr"), layout("sparse_csc")
sparse_bsr, sparse_bsc = layout("sparse_bsr"), layout("sparse_bsc")
jagged = layout("jagged")

_default = float32
_listeners: list = []


def get_default_dtype() -> dtype:
    """The dtype of ``torch.ones(2)`` and of Python floats: float32 unless changed."""
    return _default


default_dtype = get_default_dtype


def set_default_dtype(d: dtype) -> None:
    """Change the default dtype.

    Raises:
        TypeError: ``d`` is not a floating point dtype.
    """
    global _default
    if not isinstance(d, dtype) or not d.is_floating_point:
        raise TypeError("only floating-point types are supported as the default type")
    if d is not _default:
        _default = d
        for listener in _listeners:
            listener()


def on_default_change(listener) -> None:
    """Call ``listener`` after every change; operators drop programs that were traced for the old default."""
    _listeners.append(listener)


# pyright: reportUnsupportedDunderAll=false
__all__ = [
    *(name for name in ALL if name != "bool"), "complex32", "Size", "channels_last", "channels_last_3d",
    "contiguous_format", "dtype", "finfo", "get_default_dtype", "iinfo", "layout", "memory_format", "preserve_format",
    "set_default_dtype", *QUANTIZED, *SCHEMES, "qscheme", "jagged", "sparse_bsc", "sparse_bsr", "sparse_coo",
    "sparse_csc", "sparse_csr", "strided",
]  # fmt: skip
