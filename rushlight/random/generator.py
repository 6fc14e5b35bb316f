"""Owns ``Generator`` and the default generator; the sole owner of JAX random keys.

May import mt19937, the tensor cell and jax.
"""

from __future__ import annotations

import contextlib

import jax
import numpy as np
from jax.core import Tracer

from .. import _device as devices
from .. import dtypes
from .._graph.modes import state
from .._tensor.storage import Storage
from .._tensor.tensor import Tensor, from_host
from .mt19937 import _WORDS, DEFAULT_SEED, Engine

_HAS_KEY = 0x4B455931


class Generator:
    """A source of random numbers: torch's CPU stream, and a JAX key for compiled programs and accelerators.

    Args:
        device: ``"cpu"`` (default), or an accelerator, whose numbers come from the key alone.

    Example:
        >>> import rushlight as torch
        >>> g = torch.Generator().manual_seed(0)
        >>> torch.rand(2, generator=g)
        tensor([0.4963, 0.7682])
    """

    def __init__(self, device: devices.device | str = "cpu"):
        self._device = devices.resolve(device)
        self._engine = Engine(DEFAULT_SEED)
        self._key: Storage | None = None

    @property
    def device(self) -> devices.device:
        """Where its numbers are drawn."""
        return self._device

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream anew from ``seed``; returns the generator."""
        self._engine.manual_seed(seed)
        if state.trace is not None:
            state.trace.seed(self._engine, seed)
        if self._key is not None:
            self._key.write(self._fresh_key())
        return self

    def seed(self) -> int:
        """Start from a seed the operating system gives, and return it."""
        value = self._engine.seed()
        if self._key is not None:
            self._key.write(self._fresh_key())
        return value

    def initial_seed(self) -> int:
        """The seed the stream started from."""
        return self._engine.initial_seed()

    def _fresh_key(self):
        with jax.ensure_compile_time_eval():  # a real array also while a function is traced
            return jax.device_put(jax.random.key_data(jax.random.key(self._engine.initial_seed() % 2**63)))

    def key_storage(self) -> Storage:
        """The slot that holds the JAX key; made on first use."""
        if self._key is None:
            self._key = Storage(self._fresh_key(), self._device)
        return self._key

    def next_key(self):
        """A JAX key nobody has used yet; the slot moves on."""
        slot = self.key_storage()
        carry, use = jax.random.split(jax.random.wrap_key_data(slot.array))
        slot.write(jax.random.key_data(carry))
        return use

    def get_state(self) -> Tensor:
        """The state as torch's byte tensor (5,056 bytes on the CPU; seed and key on an accelerator)."""
        if self._device.type != "cpu":
            words = np.asarray(self.key_storage().array).astype(np.uint32).view(np.uint8)
            seed = np.array([self.initial_seed()], np.uint64).view(np.uint8)
            return from_host(np.concatenate([seed, words]), devices.cpu)
        state = self._engine.get_state()
        key = None if self._key is None else self._key.array
        if key is not None and not isinstance(key, Tracer) and not np.array_equal(key, self._fresh_key()):
            _spare(state)[: 1 + key.size] = [_HAS_KEY, *np.asarray(key)]
        return from_host(state, devices.cpu)

    def set_state(self, new_state: Tensor) -> None:
        """Go on from a state that ``get_state`` gave.

        Raises:
            TypeError: not a byte tensor.
            RuntimeError: a state of another size.
        """
        if not isinstance(new_state, Tensor) or new_state.dtype is not dtypes.uint8 or not new_state.is_cpu:
            raise TypeError("expected a torch.ByteTensor")
        host = np.ascontiguousarray(new_state._host())
        if self._device.type != "cpu":
            if host.size < 16:
                raise RuntimeError(f"RNG state is wrong size: expected 16 bytes, received {host.size}")
            self._engine.manual_seed(int(host[:8].view(np.uint64)[0]))
            self.key_storage().write(jax.device_put(host[8:].view(np.uint32)))
            return
        self._engine.set_state(host)
        if self._key is not None or _spare(host)[0] == _HAS_KEY:
            key = self._fresh_key()
            if _spare(host)[0] == _HAS_KEY:
                key = jax.device_put(_spare(host)[1 : 1 + key.size].astype(np.uint32))
            self.key_storage().write(key)

    def clone_state(self) -> Generator:
        """A generator that goes on from the same state, independently."""
        other = Generator(self._device)
        other.set_state(self.get_state())
        return other

    graphsafe_get_state = clone_state

    def __reduce__(self):
        return _restore, (str(self._device), self.get_state())


def _spare(state) -> np.ndarray:
    """The halves of a state's words that torch leaves empty; the JAX key is kept there once programs drew from it."""
    return state[_WORDS].view(np.uint32)[1::2]


def _restore(where: str, state: Tensor) -> Generator:
    made = Generator(where)
    made.set_state(state)
    return made


default_generator = Generator()
_accelerators: dict = {}


def generator_of(where: devices.device) -> Generator:
    """The default generator of a device."""
    if where.type in ("cpu", "meta"):
        return default_generator
    found = _accelerators.get(where)
    if found is None:
        found = _accelerators[where] = Generator(where)
        found.manual_seed(default_generator.initial_seed())
    return found


def manual_seed(seed: int) -> Generator:
    """Seed the default generators of all devices; returns the CPU's.

    Example:
        >>> import rushlight as torch
        >>> _ = torch.manual_seed(0)
        >>> torch.rand(1)
        tensor([0.4963])
    """
    seed = int(seed)
    for other in _accelerators.values():
        other.manual_seed(seed)
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Seed the default generators from the operating system; returns the seed."""
    value = default_generator.seed()
    for other in _accelerators.values():
        other.manual_seed(value)
    return value


def initial_seed() -> int:
    """The default generator's seed."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The default CPU generator's state."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Set the default CPU generator's state."""
    default_generator.set_state(new_state)


@contextlib.contextmanager
def fork_rng(devices=None, enabled=True, device_type="cuda"):
    """Draw inside the block without moving the default streams outside it."""
    if not enabled:
        yield
        return
    held = default_generator.get_state()
    others = {g: g.get_state() for g in _accelerators.values()}
    try:
        yield
    finally:
        default_generator.set_state(held)
        for generator, state in others.items():
            generator.set_state(state)
