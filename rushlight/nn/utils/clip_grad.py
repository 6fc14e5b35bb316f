"""Owns gradient clipping: the total norm and the scaling of all gradients in one compiled call.

May import the tensor cell, devices, creation and jax.
"""

from __future__ import annotations

import functools
import math
import types
import warnings
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from ... import _device as devices
from ..._graph.modes import no_grad
from ..._tensor.tensor import Tensor
from ...ops.creation import tensor
from ...ops.nn_common import LOW


def _norm(a, p: float):
    """The p-norm of all elements; half precision is summed in float32."""
    if a.size == 0:
        return jnp.zeros((), a.real.dtype)
    wide = jnp.abs(a.astype(jnp.float32) if a.dtype in LOW else a)
    if p == math.inf:
        out = wide.max()
    elif p == -math.inf:
        out = wide.min()
    elif p == 0:
        out = (wide != 0).sum()
    elif p == 1:
        out = wide.sum()
    elif p == 2:
        out = jnp.sqrt((wide * wide).sum())
    else:
        out = (wide**p).sum() ** (1 / p)
    return out.astype(a.real.dtype)


def _total(arrays, p):
    return _norm(jnp.stack([_norm(a, p) for a in arrays]), p)


def _scaled(arrays, total, limit):
    factor = jnp.minimum(limit / (total + 1e-6), 1.0)
    return [a * factor.astype(a.real.dtype) for a in arrays]


@functools.partial(jax.jit, static_argnums=1)
def _find(arrays, p):
    return _total(arrays, p)


@jax.jit
def _scale(arrays, total, limit):
    return _scaled(arrays, total, limit)


@functools.partial(jax.jit, static_argnums=2)
def _clip(arrays, limit, p):
    total = _total(arrays, p)
    return total, _scaled(arrays, total, limit)


@jax.jit
def _bound(arrays, limit):
    return [jnp.clip(a, -limit.astype(a.dtype), limit.astype(a.dtype)) for a in arrays]


def _listed(parameters: Any) -> list[Tensor]:
    return [parameters] if isinstance(parameters, Tensor) else list(parameters)


def _grads(parameters: list[Tensor]) -> list[Tensor]:
    return [p.grad for p in parameters if p.grad is not None]


def _by_device(tensors: list[Tensor]) -> dict[Any, list[Tensor]]:
    groups: dict[Any, list[Tensor]] = {}
    for t in tensors:
        groups.setdefault(t.device, []).append(t)
    return groups


def _moved(array, where):
    return array if isinstance(array, Tracer) else jax.device_put(array, devices.jax_device(where))


def _write(tensors: list[Tensor], arrays) -> None:
    for t, array in zip(tensors, arrays):
        t._write(array)


def _check_finite(total: Tensor, p: float) -> None:
    if bool(total.isnan() | total.isinf()):
        raise RuntimeError(
            f"The total norm of order {p} for gradients from `parameters` is non-finite, so it cannot be clipped. To "
            "disable this error and scale the gradients by the non-finite norm anyway, set `error_if_nonfinite=False`"
        )


@no_grad()
def get_total_norm(
    tensors: Any, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> Tensor:
    """The norm of the norms of tensors.

    Args:
        tensors: a tensor, or several.
        norm_type: the order; ``inf`` for the largest element.
        error_if_nonfinite: raise where the norm is NaN or infinite.
        foreach: accepted; all tensors go through one compiled call in any case.

    Raises:
        RuntimeError: a norm that is not finite, where asked.

    Example:
        >>> import rushlight as torch
        >>> get_total_norm([torch.tensor([3.0]), torch.tensor([4.0])])
        tensor(5.)
    """
    tensors = _listed(tensors)
    p = float(norm_type)
    if not tensors:
        return tensor(0.0)
    where = tensors[0].device
    groups = _by_device(tensors)
    if len(groups) == 1:
        found = _find([t._array() for t in tensors], p)
    else:
        parts = [_moved(_find([t._array()], p), where) for t in tensors]
        found = _find(parts, p)
    total = Tensor._of(found, where)
    if error_if_nonfinite:
        _check_finite(total, p)
    return total


@no_grad()
def clip_grads_with_norm_(parameters: Any, max_norm: float, total_norm: Tensor, foreach: bool | None = None) -> None:
    """Scale the gradients of parameters by ``max_norm / total_norm``, where that is less than 1.

    Args:
        parameters: a tensor, or several.
        max_norm: the largest total norm allowed.
        total_norm: what ``get_total_norm`` gave.
        foreach: accepted; all gradients go through one compiled call in any case.
    """
    grads = _grads(_listed(parameters))
    for where, group in _by_device(grads).items():
        total = _moved(total_norm._array(), where)
        _write(group, _scale([g._array() for g in group], total, float(max_norm)))


@no_grad()
def clip_grad_norm_(
    parameters: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:  # fmt: skip
    """Scale gradients in place so that their total norm is at most ``max_norm``.

    Args:
        parameters: a tensor, or several, whose ``.grad`` is scaled.
        max_norm: the largest total norm allowed.
        norm_type: the order; ``inf`` for the largest element.
        error_if_nonfinite: raise where the norm is NaN or infinite.
        foreach: accepted; all gradients go through one compiled call in any case.

    Returns:
        Tensor: the total norm before clipping.

    Raises:
        RuntimeError: a norm that is not finite, where asked.

    Example:
        >>> import rushlight as torch
        >>> p = torch.nn.Parameter(torch.zeros(2))
        >>> p.grad = torch.tensor([3.0, 4.0])
        >>> clip_grad_norm_([p], 1.0)
        tensor(5.)
        >>> p.grad
        tensor([0.6000, 0.8000])
    """
    generator = isinstance(parameters, types.GeneratorType)
    parameters = _listed(parameters)
    if generator and not parameters:
        warnings.warn("`parameters` is an empty generator, no gradient clipping will occur.", stacklevel=3)
    grads = _grads(parameters)
    if error_if_nonfinite or len(_by_device(grads)) != 1 or grads[0].is_meta:
        total = get_total_norm(grads, norm_type, error_if_nonfinite, foreach)
        clip_grads_with_norm_(parameters, max_norm, total, foreach)
        return total
    found, arrays = _clip([g._array() for g in grads], float(max_norm), float(norm_type))
    _write(grads, arrays)
    return Tensor._of(found, grads[0].device)


def clip_grad_norm(
    parameters: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:  # fmt: skip
    """``clip_grad_norm_`` under its old name; deprecated."""
    warnings.warn(
        "`torch.nn.utils.clip_grad_norm` is now deprecated in favor of `torch.nn.utils.clip_grad_norm_`.",
        FutureWarning,
        stacklevel=2,
    )
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


@no_grad()
def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None) -> None:
    """Clamp every element of the gradients to ``[-clip_value, clip_value]``, in place.

    Args:
        parameters: a tensor, or several, whose ``.grad`` is clamped.
        clip_value: the bound.
        foreach: accepted; all gradients go through one compiled call in any case.
    """
    limit = jnp.asarray(float(clip_value))
    for where, group in _by_device(_grads(_listed(parameters))).items():
        _write(group, _bound([g._array() for g in group], _moved(limit, where)))


__all__ = ["clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"]
