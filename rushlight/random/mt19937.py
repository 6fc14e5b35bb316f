"""Owns ``Engine``: torch's CPU generator, word for word, with its 5056-byte state.

May import only numpy.
"""

from __future__ import annotations

import operator
import os
import struct
import weakref
from typing import Any

import numpy as np

DEFAULT_SEED = 67280421310721
STATE_BYTES = 5056

_N = 624
# torch's CPUGeneratorImplState: seed, left, seeded, next, 624 words kept in 64 bits each, three doubles of which only
# the second is in use (the cached normal), a flag for it, then the cached float normal and its flag.
_HEAD = struct.Struct("<QiiQ")
_TAIL = struct.Struct("<dddi4xf?3x")
_WORDS = slice(_HEAD.size, _HEAD.size + 8 * _N)
_SMALL = 256  # below this many words one random_raw call is cheaper than randint and a swap of halves
_FULL = 2**64


def in_order(pairs: np.ndarray) -> np.ndarray:
    """Put the earlier word of each 64-bit pair first in memory, in place.

    Args:
        pairs: ``uint64`` words, the earlier 32 bits in the high half.

    Example:
        >>> in_order(np.array([(5 << 32) + 6], np.uint64)).view(np.uint32)
        array([5, 6], dtype=uint32)
    """
    earlier = pairs >> np.uint64(32)
    pairs <<= np.uint64(32)
    pairs |= earlier
    return pairs


class Later:
    """Words that were taken from a stream, but not drawn yet.

    Attributes:
        size: how many 64-bit words.
    """

    __slots__ = ("__weakref__", "_engine", "_words", "size")

    def __init__(self, engine: Engine, size: int):
        self._engine, self.size = engine, size
        self._words: Any = None

    def get(self) -> Any:
        """The words."""
        if self._words is None:
            self._engine._settle(self)
        return self._words


class Engine:
    """A Mersenne Twister that yields torch's CPU random words and carries torch's generator state.

    Args:
        seed: an int from ``-2**63`` to ``2**64 - 1``; torch's default seed if left out.

    Raises:
        RuntimeError: ``seed`` is no int.
        ValueError: ``seed`` does not fit 64 bits.

    Example:
        >>> Engine(0).raw32(2)
        array([2357136044, 2546248239], dtype=uint32)
    """

    __slots__ = ("_bits", "_draws", "_edge", "_seed", "_waiting", "next_double_normal", "next_float_normal")

    def __init__(self, seed: int = DEFAULT_SEED):
        self._bits = np.random.MT19937(0)
        self._draws = np.random.RandomState(self._bits)
        self._waiting: list = []
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> Engine:
        """Restart the stream at ``seed`` and drop the cached normal samples.

        Args:
            seed: an int from ``-2**63`` to ``2**64 - 1``; negative values wrap as in torch.

        Raises:
            RuntimeError: ``seed`` is no int.
            ValueError: ``seed`` does not fit 64 bits.

        Example:
            >>> Engine().manual_seed(-1).initial_seed() == 2**64 - 1
            True
        """
        try:
            if isinstance(seed, (bool, np.bool_)):
                raise TypeError
            value = operator.index(seed)
        except TypeError:
            raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}") from None
        if not -(2**63) <= value < _FULL:
            raise ValueError("Overflow when unpacking long long")
        self._leave()
        self._seed = value % _FULL
        self._draws.seed(self._seed & 0xFFFFFFFF)  # torch's engine takes the low word only
        self._edge = 0
        self.next_double_normal: float | None = None
        self.next_float_normal: float | None = None
        return self

    def seed(self) -> int:
        """Restart at a seed taken from the operating system, and return it.

        Example:
            >>> engine = Engine()
            >>> engine.seed() == engine.initial_seed()
            True
        """
        value = int.from_bytes(os.urandom(8), "little") & ((1 << 53) - 1)
        self.manual_seed(value)
        return value

    def initial_seed(self) -> int:
        """The seed the stream was last started with, as an unsigned 64-bit int.

        Example:
            >>> Engine(7).initial_seed()
            7
        """
        return self._seed

    def raw32(self, n: int) -> np.ndarray:
        """The next ``n`` 32-bit words.

        Args:
            n: how many.

        Shape:
            ``(n,)``, ``uint32``.

        Example:
            >>> Engine(0).raw32(1)
            array([2357136044], dtype=uint32)
        """
        if self._waiting:
            self._settle()
        if n < _SMALL:
            if n:
                self._edge = _N
            return self._bits.random_raw(n).astype(np.uint32)
        return in_order(self.raw_pairs(n)).view(np.uint32)[:n]

    def raw_pairs(self, n: int) -> np.ndarray:
        """The next ``n`` 32-bit words, two to a ``uint64``, the earlier one in the high half; ``in_order`` sorts them.

        Args:
            n: how many words; an odd last one is followed by a zero word.

        Shape:
            ``((n + 1) // 2,)``, ``uint64``.

        Example:
            >>> Engine(0).raw_pairs(1) >> 32
            array([2357136044], dtype=uint64)
        """
        if self._waiting:
            self._settle()
        if n % 2 == 0:
            return self.raw64(n // 2)
        out = np.empty(n // 2 + 1, np.uint64)
        out[:-1] = self.raw64(n // 2)
        self._edge = _N
        out[-1] = self._bits.random_raw() << 32
        return out

    def raw64(self, n: int) -> np.ndarray:
        """The next ``n`` 64-bit words, each made of two 32-bit words, the earlier one in the high half.

        Args:
            n: how many.

        Shape:
            ``(n,)``, ``uint64``.

        Example:
            >>> Engine(0).raw64(1) >> 32
            array([2357136044], dtype=uint64)
        """
        if self._waiting:
            self._settle()
        if n:
            self._edge = _N
        return self._draws.randint(0, _FULL, n, dtype=np.uint64)

    # -- words drawn later --------------------------------------------------------------------------------------

    def later(self, words: int, kept: bool = True) -> Later:
        """Take words now and draw them when they are wanted: many initial values are replaced before anybody looks.

        Args:
            words: how many 32-bit words; pairs of them make the 64-bit words of the result.
            kept: whether anybody wants them; else they are passed over.

        Example:
            >>> engine = Engine(0)
            >>> first, second = engine.later(2), engine.raw64(1)
            >>> bool(first.get() == Engine(0).raw64(1)), bool(second == Engine(0).raw64(2)[1])
            (True, True)
        """
        taken = Later(self, (words + 1) // 2)
        if words:
            self._waiting.append((weakref.ref(taken) if kept else None, words))
        else:
            taken._words = np.empty(0, np.uint64)
        return taken

    @property
    def waits(self) -> bool:
        """Whether words were taken that are not drawn yet."""
        return bool(self._waiting)

    def _settle(self, last: Later | None = None) -> None:
        """Draw what waits: all of it, or up to ``last``."""
        waiting, self._waiting = self._waiting, []
        for place, (ref, words) in enumerate(waiting):
            later = ref() if ref is not None else None
            if later is None:
                self._edge = _N
                self._bits.random_raw(words, output=False)
                continue
            later._words = self.raw_pairs(words)
            if later is last:
                self._waiting = waiting[place + 1 :]
                return

    def _leave(self) -> None:
        """Draw what somebody still wants before the stream is left."""
        if any(ref is not None and ref() is not None for ref, _ in self._waiting):
            self._settle()
        self._waiting = []

    def get_state(self) -> np.ndarray:
        """The state in the layout of ``torch.get_rng_state()``, cached normal samples included.

        Shape:
            ``(5056,)``, ``uint8``.

        Example:
            >>> Engine().get_state().shape
            (5056,)
        """
        if self._waiting:
            self._settle()
        inner = self._bits.state["state"]
        position = int(inner["pos"])
        left, following = (1, self._edge) if position == _N else (_N + 1 - position, position)
        double, single = self.next_double_normal, self.next_float_normal
        tail = _TAIL.pack(0.0, double or 0.0, 0.0, double is not None, single or 0.0, single is not None)
        head = _HEAD.pack(self._seed, left, 1, following)
        return np.frombuffer(bytearray(head + inner["key"].astype("<u8").tobytes() + tail), np.uint8)

    def set_state(self, state: np.ndarray) -> None:
        """Continue from ``state``, as ``get_state`` or ``torch.get_rng_state().numpy()`` gave it.

        Args:
            state: a contiguous ``uint8`` array of 5056 bytes.

        Raises:
            TypeError: ``state`` is no ``uint8`` array.
            RuntimeError: ``state`` has another size, is not contiguous, or is no valid generator state.

        Example:
            >>> first, second = Engine(1), Engine(2)
            >>> second.set_state(first.get_state())
            >>> bool(first.raw32(1) == second.raw32(1))
            True
        """
        if not isinstance(state, np.ndarray):
            raise TypeError(f"expected a torch.ByteTensor, but got {type(state).__name__}")
        if state.dtype != np.uint8:
            raise TypeError("RNG state must be a torch.ByteTensor")
        if not state.flags.c_contiguous:
            raise RuntimeError("RNG state must be contiguous")
        if state.size != STATE_BYTES:
            raise RuntimeError(
                f"Expected a CPUGeneratorImplState of size {STATE_BYTES} but found the input RNG state size to be "
                f"{state.size}"
            )
        data = state.tobytes()
        seed, left, seeded, following = _HEAD.unpack_from(data)
        _, double, _, double_valid, single, single_valid = _TAIL.unpack_from(data, _WORDS.stop)
        # torch counts the words left and the words read apart; only the pairs it can itself produce are accepted.
        sound = seeded == 1 and 1 <= left <= _N and following <= _N and (left == 1 or left + following == _N + 1)
        if not sound:
            raise RuntimeError("Invalid mt19937 state")
        self._leave()
        key = np.frombuffer(data[_WORDS], "<u8").astype(np.uint32)
        self._bits.state = {
            "bit_generator": "MT19937",
            "state": {"key": key, "pos": _N if left == 1 else following},
        }
        self._edge = following if left == 1 else _N
        self._seed = seed
        self.next_double_normal = double if double_valid else None
        self.next_float_normal = single if single_valid else None

    def copy(self) -> Engine:
        """An engine at the same point of the same stream that advances on its own.

        Example:
            >>> engine = Engine(3)
            >>> bool(engine.copy().raw32(1) == engine.raw32(1))
            True
        """
        if self._waiting:
            self._settle()
        other = Engine.__new__(Engine)
        other._waiting = []
        other._bits = np.random.MT19937(0)
        other._draws = np.random.RandomState(other._bits)
        other._bits.state = self._bits.state
        other._edge, other._seed = self._edge, self._seed
        other.next_double_normal, other.next_float_normal = self.next_double_normal, self.next_float_normal
        return other

    def __copy__(self) -> Engine:
        return self.copy()

    def __deepcopy__(self, memo) -> Engine:
        return self.copy()

    def __reduce__(self):
        return _restore, (self.get_state(),)

    def __repr__(self) -> str:
        return f"Engine(seed={self._seed})"


def _restore(state: np.ndarray) -> Engine:
    engine = Engine()
    engine.set_state(state)
    return engine
