"""Owns ``Replay``: words taken from an engine now, for samples that are computed from them later.

May import box_muller, checks and the engine. The stream then stands where it would stand had the samples been computed.
"""

from __future__ import annotations

import numpy as np

from .box_muller import BLOCK
from .checks import FLOAT32, FLOAT64, to_dtype
from .mt19937 import Engine, Later


class Replay:
    """Hands out words that were taken before, in place of an engine.

    Args:
        pieces: 64-bit words, in the order of the calls that will want them.
    """

    def __init__(self, *pieces: Later):
        self._pieces = pieces
        self._piece = self._at = 0

    def again(self) -> Replay:
        """A replay of the same words from the start."""
        return Replay(*self._pieces)

    def raw64(self, n: int) -> np.ndarray:
        """The next ``n`` 64-bit words, for the caller to overwrite."""
        if self._at == self._pieces[self._piece].size:
            self._piece, self._at = self._piece + 1, 0
        start = self._at
        self._at += n
        return self._pieces[self._piece].get()[start : self._at].copy()

    def raw_pairs(self, n: int) -> np.ndarray:
        """The next ``n`` 32-bit words in pairs; only the last call may ask for an odd number."""
        return self.raw64((n + 1) // 2)

    def raw32(self, n: int) -> None:
        """Words that torch draws and drops; ``normal`` asks for none but those."""


def for_uniform(engine: Engine, size: int, dtype) -> Replay:
    """The words that ``uniform`` takes for ``size`` elements of a floating dtype.

    Example:
        >>> from rushlight.random.continuous import uniform
        >>> print(uniform(for_uniform(Engine(0), 2, np.float32), 2))
        [0.4962566 0.7682218]
    """
    return Replay(engine.later(2 * size if to_dtype(dtype) == FLOAT64 else size))


def for_normal(engine: Engine, size: int, dtype) -> Replay:
    """The words that ``normal`` takes for ``size`` elements of a floating dtype, 16 or more, in a dense tensor."""
    dtype = to_dtype(dtype)
    words = 1 if dtype == FLOAT64 else 2  # elements a 64-bit word
    tail = size % BLOCK
    pieces = [engine.later(2 * ((size - tail) // words))]
    if tail:
        if dtype == FLOAT32:
            engine.later(tail, kept=False)
        elif dtype == FLOAT64:
            pieces.append(engine.later(2 * tail))
        pieces.append(engine.later(2 * (BLOCK // words)))
    return Replay(*pieces)
