"""Owns Python data - numbers, nested lists, numpy arrays - as numpy arrays of torch's dtypes.

May import dtypes, the tensor cell, the promotion rules and numpy.
"""

from __future__ import annotations

import numpy as np

from .. import dtypes
from .._errors import type_name
from .._tensor.tensor import Tensor
from ._promotion import of_number, promote_types


def _infer(data, seen=None):
    """The dtype of nested Python data: the widest category found."""
    if isinstance(data, Tensor):
        return data.dtype
    if isinstance(data, (np.ndarray, np.generic)):
        return dtypes.from_numpy(data.dtype)
    if isinstance(data, (bool, int, float, complex)):
        return of_number(data)
    if isinstance(data, str):
        raise TypeError("new(): invalid data type 'str'")
    if isinstance(data, (list, tuple, range)) or (hasattr(data, "__getitem__") and not isinstance(data, dict)):
        if len(data) and isinstance(data[0], str):
            raise ValueError("too many dimensions 'str'")
        found = None
        for item in data:
            d = _infer(item)
            found = d if found is None else promote_types(found, d)
        return found or dtypes.default_dtype()
    if data is None:
        raise RuntimeError("Could not infer dtype of NoneType")
    raise RuntimeError(f"Could not infer dtype of {type_name(data)}")


def _nested(data):
    if isinstance(data, Tensor):
        return data._host() if data.dim() else data._host().reshape(())
    if isinstance(data, (list, tuple)):
        rows = [_nested(item) for item in data]
        if rows and isinstance(rows[0], (list, np.ndarray)):
            sizes = {np.shape(r) for r in rows}
            if len(sizes) > 1:
                first = len(rows[0]) if np.ndim(rows[0]) else 0
                bad, row = next((i, r) for i, r in enumerate(rows) if np.shape(r) != np.shape(rows[0]))
                if np.ndim(row) == 0:
                    raise TypeError(f"expected sequence of length {first} at dim 1 (got a number at position {bad})")
                raise ValueError(f"expected sequence of length {first} at dim 1 (got {len(row)})")
        elif any(isinstance(r, (list, np.ndarray)) and np.ndim(r) for r in rows):
            raise TypeError("expected a number, received a sequence; give every row the same depth")
        return rows
    return data


def host_data(data, dtype=None):
    """Nested Python data as (numpy array, dtype)."""
    if isinstance(data, str):
        raise TypeError("new(): invalid data type 'str'")
    if isinstance(data, np.ndarray):
        d = dtype or dtypes.from_numpy(data.dtype)
        return _host_cast(data, d), d
    d = dtype or _infer(data)
    if isinstance(data, (list, tuple)) and data and isinstance(data[0], (int, float)):
        host = np.asarray(data)
    else:
        host = np.asarray(_nested(data))
    if host.dtype == object:
        try:
            host = np.asarray(_nested(data), dtype=d.np)
        except OverflowError:
            raise ValueError("Overflow when unpacking long long") from None
        except (TypeError, ValueError) as error:
            raise TypeError(f"tensor(): expected numbers, received {type_name(data)} with {error}") from None
    if d.category == 1 and host.dtype.kind in "iu" and dtype is not None and host.size:
        info = np.iinfo(d.np)
        if (host.min() < info.min and d.is_signed) or host.max() > info.max:
            raise RuntimeError(f"value cannot be converted to type {d.name} without overflow")
    return _host_cast(host, d), d


def _host_cast(host, d):
    if host.dtype.kind == "c" and d.category < 3:
        raise TypeError(f"can't convert complex to {d!r}; take .real first")
    if host.dtype == d.np:
        return host
    if host.dtype.kind == "f" and d.category == 1:
        with np.errstate(invalid="ignore"):
            return host.astype(np.int64).astype(d.np)
    with np.errstate(over="ignore"):
        return host.astype(d.np)
