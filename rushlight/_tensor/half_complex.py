"""Owns the storages of complex32: their values are kept as complex64, and rounded to half precision when written.

May import storage, unread and jax. Whatever shares such a storage - views, parameters, ``detach()`` - is complex32 too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .storage import Storage
from .unread import LazyStorage


def rounded(array: Any) -> Any:
    """The nearest numbers whose parts are of half precision, still as complex64."""
    if isinstance(array, jax.ShapeDtypeStruct):
        return array
    # The barrier keeps XLA from leaving out the way down and up again.
    parts = [part.astype(jnp.float16) for part in (array.real, array.imag)]
    real, imag = (part.astype(jnp.float32) for part in jax.lax.optimization_barrier(parts))
    return jax.lax.complex(real, imag)


class HalfStorage(Storage):
    """A storage of complex32."""

    __slots__ = ()
    halved = True

    def write(self, array) -> None:
        Storage.write(self, rounded(array))

    def fitting(self, read: Callable[[], Any]) -> Callable[[], Any]:
        """What makes an array, with its values rounded."""
        return lambda: rounded(read())


class LazyHalfStorage(HalfStorage, LazyStorage):
    """A storage of complex32 whose array is made on first use, of values that fit."""

    __slots__ = ()


HalfStorage.read_as = HalfStorage
HalfStorage.unread_as = LazyHalfStorage


def label(tensor: Any) -> Any:
    """Make a tensor that alone owns its storage one of complex32; its values fit already."""
    storage = tensor._storage
    kind: Any = LazyHalfStorage if isinstance(storage, LazyStorage) else HalfStorage
    storage.__class__ = kind
    return tensor


def from_bits(raw: np.ndarray) -> np.ndarray:
    """Pairs of half precision numbers, as a file has them, as flat complex64."""
    return raw.view(np.float16).astype(np.float32).view(np.complex64)


def to_bits(values: np.ndarray) -> np.ndarray:
    """Flat complex64 as pairs of half precision numbers, 32 bits for each."""
    with np.errstate(over="ignore"):
        return values.view(np.float32).astype(np.float16).view(np.uint32)
