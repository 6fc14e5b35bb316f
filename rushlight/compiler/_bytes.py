"""Owns comparing the bits of arrays with a copy made earlier, as fast as memory allows and without making another.

May import numpy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_PIECE = 1 << 16  # numbers compared at a time: what comes of it stays in the processor's cache


class Bits:
    """What an array holds: equal to another with the same bits, in the same order of memory.

    Args:
        value: a numpy array without objects, or another value with a buffer.
        kept: whether to copy it now; else it is compared as it is then.
    """

    __slots__ = ("_form", "_held", "_kept")

    def __init__(self, value, kept: bool):
        order = _order(value) if isinstance(value, np.ndarray) else ()
        self._form = type(value), getattr(value, "shape", None), str(getattr(value, "dtype", "")), order
        self._held: Any = value
        self._kept = False
        if kept:
            self.keep()

    def keep(self) -> None:
        """Copy what is there."""
        if not self._kept:
            self._held, self._kept = self._numbers().copy(), True

    def _numbers(self):
        return self._held if self._kept else _numbers(self._held)

    def __eq__(self, other) -> bool:
        if not isinstance(other, Bits) or self._form != other._form:
            return False
        mine, theirs = self._numbers(), other._numbers()
        if mine.shape != theirs.shape:
            return False
        if mine.size <= _PIECE:
            return bool((mine == theirs).all())
        step = max(1, _PIECE * len(mine) // mine.size)
        return all((mine[i : i + step] == theirs[i : i + step]).all() for i in range(0, len(mine), step))

    def __hash__(self) -> int:
        numbers = self._numbers()
        some = numbers[:: len(numbers) // 16 + 1].reshape(-1)
        return hash((self._form, some[:: len(some) // 64 + 1].tobytes()))


def _order(array) -> tuple:
    """The dimensions as they lie in memory, the outermost first."""
    return tuple(sorted(range(array.ndim), key=lambda d: -abs(array.strides[d])))


def _numbers(value):
    """The bits of a value as whole numbers."""
    if not isinstance(value, np.ndarray):
        view = memoryview(value)
        array = np.frombuffer(view if view.c_contiguous else view.tobytes(), np.uint8) if view.nbytes else _NONE
    else:
        array = np.asarray(value).transpose(_order(value))
        size = array.dtype.itemsize
        if not array.flags.c_contiguous and size in (1, 2, 4, 8):
            return array.view(f"u{size}")
        array = np.ascontiguousarray(array).reshape(-1).view(np.uint8) if array.size and size else _NONE
    return array.view(np.uint64) if len(array) % 8 == 0 else array


_NONE = np.zeros(0, np.uint8)
