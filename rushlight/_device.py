"""Owns ``device`` and the mapping from torch's device names to JAX devices.

May import dtypes-level modules only; JAX's backends start on first use.
"""

from __future__ import annotations

import re

_TYPES = {"cpu": "cpu", "cuda": "gpu", "tpu": "tpu", "xla": "tpu", "meta": None}
_KNOWN = (
    "cpu, cuda, ipu, xpu, mkldnn, opengl, opencl, ideep, hip, ve, fpga, maia, xla, lazy, vulkan, mps, meta, hpu, "
    "mtia, privateuseone, tpu"
)


class device:
    """Where a tensor lives: ``cpu``, ``cuda`` (JAX's GPU), ``tpu`` or ``meta`` (shapes without data).

    Args:
        type: ``"cuda"``, ``"cuda:1"``, a device, or an int (a CUDA index).
        index: which one, where the type alone does not say.

    Raises:
        RuntimeError: the name is not a device name.

    Example:
        >>> device("cuda:1").type, device("cuda", 1).index, device("cpu")
        ('cuda', 1, device(type='cpu'))
    """

    __slots__ = ("_hash", "_previous", "index", "type")

    def __init__(self, type, index: int | None = None):
        if isinstance(type, device):
            type, index = type.type, type.index if index is None else index
        elif isinstance(type, int) and not isinstance(type, bool):
            type, index = "cuda", type
        elif isinstance(type, str):
            match = re.fullmatch(r"([a-z]+)(?::(\d+))?", type)
            if match is None:
                raise RuntimeError(f"Invalid device string: '{type}'")
            if match[2] is not None:
                if index is not None:
                    raise RuntimeError(f"type (string) must not include an index because index was passed: {type}")
                index = int(match[2])
            type = match[1]
            if type not in _KNOWN.split(", "):
                raise RuntimeError(f"Expected one of {_KNOWN} device type at start of device string: {type}")
        else:
            raise TypeError(f"device(): argument 'type' (position 1) must be str, not {type.__class__.__name__}")
        self.type, self.index = type, index
        self._hash = hash((type, index))

    def __repr__(self) -> str:
        where = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{where})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self):
        return device, (self.type, self.index)

    def __copy__(self) -> device:
        return self

    def __deepcopy__(self, memo) -> device:
        return self

    def __enter__(self) -> device:
        self._previous = default_device()
        set_default_device(self)
        return self

    def __exit__(self, *exc) -> None:
        set_default_device(self._previous)


cpu = device("cpu")
meta = device("meta")
_default = cpu
_jax_of: dict = {cpu: None}
_of_jax: dict = {}


def present(kind: str) -> list:
    """The JAX devices of torch's device type ``kind``; empty where there are none."""
    import jax

    platform = _TYPES.get(kind)
    if platform is None:
        return []
    try:
        return jax.local_devices(backend=platform)
    except RuntimeError:
        return []


def available() -> list[device]:
    """Every device of this process, CPU first."""
    found = [cpu]
    for kind in ("cuda", "tpu"):
        found += [device(kind, i) for i in range(len(present(kind)))]
    return found


def resolve(where) -> device:
    """Turn a user's device argument into a device that exists, with its index filled in.

    Raises:
        RuntimeError: no such device here; the message lists those present.
    """
    if where is None:
        return _default
    d = where if type(where) is device else device(where)
    if d in _jax_of or d.type == "meta":
        return cpu if d.type == "cpu" else meta if d.type == "meta" else d
    here = present(d.type)
    index = d.index or 0
    if index >= len(here):
        raise RuntimeError(
            f"Device '{d}' is not available: expected one of {', '.join(map(str, available()))}, received '{d}'. "
            "Use a device that is present, or install the JAX build for that hardware."
        )
    if d.type == "cpu":
        _jax_of[d] = here[index]
        return cpu
    full = device(d.type, index)
    _jax_of[full] = here[index]
    return full


def jax_device(d: device):
    """The JAX device behind ``d`` (already resolved)."""
    found = _jax_of.get(d)
    if found is None:
        found = _jax_of[d] = present(d.type)[d.index or 0]
    return found


def of_jax(jax_dev) -> device:
    """The device that names a JAX device."""
    found = _of_jax.get(jax_dev)
    if found is None:
        kind = {"cpu": "cpu", "gpu": "cuda", "cuda": "cuda", "rocm": "cuda", "tpu": "tpu"}[jax_dev.platform]
        found = cpu if kind == "cpu" else device(kind, jax_dev.local_hardware_id or 0)
        _of_jax[jax_dev] = found
        _jax_of.setdefault(found, jax_dev)
    return found


def get_default_device() -> device:
    """The device of newly created tensors: the CPU unless changed."""
    return _default


default_device = get_default_device


def set_default_device(where) -> None:
    """Create tensors on ``where`` from now on; None goes back to the CPU."""
    global _default
    _default = cpu if where is None else resolve(where)
