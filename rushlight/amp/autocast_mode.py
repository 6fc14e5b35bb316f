"""Owns ``torch.autocast``: the block in which operators choose their precision, and the switches behind it.

May import the policy, modes, devices and dtypes.
"""

from __future__ import annotations

import collections.abc
import functools
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _device as devices
from .. import dtypes
from .._graph.modes import state
from .._tensor.tensor import Tensor
from ._policy import Casts

_KNOWN = ("cpu", "cuda", "tpu", "xla")
_SUPPORTED = (dtypes.bfloat16, dtypes.float16)


class _Settings(threading.local):
    def __init__(self):
        self.enabled: dict[str, bool] = {}
        self.kinds: dict[str, dtypes.dtype] = {"cuda": dtypes.float16}
        self.keep = True
        self.depth = 0


_settings = _Settings()


def _check_device(device_type: Any) -> str:
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if device_type not in _KNOWN:
        raise RuntimeError(f"User specified an unsupported autocast device_type '{device_type}'")
    return "tpu" if device_type == "xla" else device_type


def _apply() -> None:
    """Let the operators know what is in force."""
    kinds = {where: get_autocast_dtype(where) for where, on in _settings.enabled.items() if on}
    held = state.autocast
    if not kinds:
        state.autocast = None
    elif held is None or held.kinds != kinds or held.keep != _settings.keep:
        made = Casts(kinds, _settings.keep)
        if held is not None:
            made.kept = held.kept
        state.autocast = made


def is_autocast_available(device_type: str) -> bool:
    """Whether there is autocast for a type of device."""
    return device_type in _KNOWN


def is_autocast_enabled(device_type: str | None = None) -> bool:
    """Whether autocast is on for a type of device; default: for CUDA."""
    return _settings.enabled.get(_check_device(device_type or "cuda"), False)


def set_autocast_enabled(device_type: Any, enabled: bool | None = None) -> None:
    """Switch autocast on or off for a type of device; with one argument, for CUDA."""
    if enabled is None:
        device_type, enabled = "cuda", device_type
    _settings.enabled[_check_device(device_type)] = bool(enabled)
    _apply()


def get_autocast_dtype(device_type: str) -> dtypes.dtype:
    """The dtype in which products run under autocast."""
    return _settings.kinds.get(_check_device(device_type), dtypes.bfloat16)


def set_autocast_dtype(device_type: str, dtype: dtypes.dtype) -> None:
    """Set the dtype in which products run under autocast."""
    _settings.kinds[_check_device(device_type)] = dtype
    _apply()


def is_autocast_cache_enabled() -> bool:
    """Whether casts of parameters are kept until the outermost block ends."""
    return _settings.keep


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Keep casts of parameters or not."""
    _settings.keep = bool(enabled)
    _apply()


def clear_autocast_cache() -> None:
    """Forget the casts of parameters."""
    if state.autocast is not None:
        state.autocast.kept.clear()


def autocast_increment_nesting() -> int:
    """Note that a block begins."""
    _settings.depth += 1
    return _settings.depth


def autocast_decrement_nesting() -> int:
    """Note that a block ends."""
    _settings.depth -= 1
    return _settings.depth


class autocast:
    """Run products in low precision and sensitive operators in float32, inside a block or a decorated function.

    Which operator runs in which precision is torch's choice for the device. Backward passes follow the forward pass.

    Args:
        device_type: ``"cpu"``, ``"cuda"`` or ``"tpu"``.
        dtype: of products; default bfloat16 (float16 on CUDA).
        enabled: False switches autocast off inside the block.
        cache_enabled: keep casts of parameters until the outermost block ends.

    Raises:
        RuntimeError: an unknown type of device.

    Example:
        >>> import rushlight as torch
        >>> with torch.autocast("cpu"):
        ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
        torch.bfloat16
    """

    def __init__(
        self, device_type: str, dtype: dtypes.dtype | None = None, enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:  # fmt: skip
        self.device = device_type
        where = _check_device(device_type)
        self.fast_dtype = get_autocast_dtype(where) if dtype is None else dtype
        self._cache_enabled = is_autocast_cache_enabled() if cache_enabled is None else cache_enabled
        if enabled and where == "cuda" and not devices.present("cuda"):
            warnings.warn("CUDA is not available or torch_xla is imported. Disabling autocast.", stacklevel=2)
            enabled = False
        elif enabled and self.fast_dtype not in _SUPPORTED:
            name = device_type.upper()
            warnings.warn(
                f"In {name} autocast, but the target dtype is not supported. Disabling autocast.\n{name} Autocast only "
                f"supports dtypes of {', '.join(map(str, _SUPPORTED))} currently.",
                stacklevel=2,
            )
            enabled = False
        self._enabled = enabled
        self._before: list = []

    def __enter__(self) -> autocast:
        where = _check_device(self.device)
        self._before.append((_settings.enabled.get(where, False), _settings.kinds.get(where), _settings.keep))
        _settings.enabled[where], _settings.kinds[where] = self._enabled, self.fast_dtype
        _settings.keep = self._cache_enabled
        autocast_increment_nesting()
        _apply()
        return self

    def __exit__(self, *exc: Any) -> bool:
        where = _check_device(self.device)
        if autocast_decrement_nesting() == 0:
            clear_autocast_cache()
        enabled, kind, _settings.keep = self._before.pop()
        _settings.enabled[where] = enabled
        if kind is None:
            _settings.kinds.pop(where, None)
        else:
            _settings.kinds[where] = kind
        _apply()
        return False

    def __call__(self, func: Callable) -> Callable:
        if not callable(func):
            raise TypeError(
                f"autocast()(func) requires a callable, but got {type(func).__name__}. Did you mean to use autocast as "
                "a context manager? For example:\n    with torch.autocast(device_type=...):\n        output = "
                "model(input)"
            )

        @functools.wraps(func)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self:
                return func(*args, **kwargs)

        return wrapped


def autocast_decorator(autocast_instance: autocast, func: Callable) -> Callable:
    """``autocast_instance(func)``."""
    return autocast_instance(func)


def _cast(value: Any, device_type: str, dtype: dtypes.dtype) -> Any:
    """Nested values with their floating-point tensors in another dtype."""
    if isinstance(value, Tensor):
        eligible = value.is_floating_point() and value.device.type == device_type and value.dtype is not dtypes.float64
        return value.to(dtype) if eligible else value
    if isinstance(value, (str, bytes, np.ndarray)):
        return value
    if isinstance(value, collections.abc.Mapping):
        return {_cast(k, device_type, dtype): _cast(v, device_type, dtype) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([_cast(v, device_type, dtype) for v in value])
    return value


def custom_fwd(fwd: Callable | None = None, *, device_type: str, cast_inputs: dtypes.dtype | None = None) -> Callable:
    """For ``forward`` of a custom ``autograd.Function``: note whether autocast is on, or run without it on cast inputs.

    Args:
        device_type: of the autocast.
        cast_inputs: cast tensors to this dtype, and switch autocast off inside.

    Raises:
        ValueError: ``device_type`` is no string.
    """
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        ctx, on = args[0], is_autocast_enabled(device_type)
        ctx._dtype = get_autocast_dtype(device_type)
        ctx._fwd_used_autocast = on and cast_inputs is None
        if cast_inputs is None or not on:
            return fwd(*args, **kwargs)
        with autocast(device_type=device_type, enabled=False):
            return fwd(*_cast(args, device_type, cast_inputs), **_cast(kwargs, device_type, cast_inputs))

    return wrapped


def custom_bwd(bwd: Callable | None = None, *, device_type: str) -> Callable:
    """For ``backward`` of a custom ``autograd.Function``: run it under the autocast that ``custom_fwd`` noted.

    Raises:
        ValueError: ``device_type`` is no string.
    """
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with autocast(device_type=device_type, enabled=args[0]._fwd_used_autocast, dtype=args[0]._dtype):
            return bwd(*args, **kwargs)

    return wrapped


__all__ = ["autocast", "autocast_decorator", "custom_bwd", "custom_fwd", "is_autocast_available"]
