"""Owns what every function of linear algebra checks, and how it fails.

May import the door and jax; which matrix failed is looked at on the host, where that is free.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from .._graph.modes import state
from ._execute import scalar_name, write_out
from .search import on_host


class LinAlgError(RuntimeError):
    """A factorization or a solution does not exist: a singular or indefinite matrix, or no convergence."""


def need_matrices(name: str, *tensors, arg="A") -> None:
    """Raises:
    RuntimeError: fewer than two dimensions, or a dtype without factorizations."""
    for x in tensors:
        if x.dim() < 2:
            raise RuntimeError(f"{name}: The input tensor {arg} must have at least 2 dimensions.")
    need_inexact(name, *tensors)


def need_inexact(name: str, *tensors, low=False) -> None:
    """Raises:
    RuntimeError: a dtype that is neither float32, float64 nor complex."""
    for x in tensors:
        if x.dtype.category < 2:
            raise RuntimeError(
                f"{name}: Expected a floating point or complex tensor as input. Got {scalar_name(x.dtype)}"
            )
        if x.dtype.itemsize < 4 and not low and state.autocast is None:
            raise RuntimeError(f"{name}: Low precision dtypes not supported. Got {scalar_name(x.dtype)}")


def need_square(name: str, *tensors, arg="A") -> None:
    """Raises:
    RuntimeError: not batches of square matrices."""
    need_matrices(name, *tensors, arg=arg)
    for x in tensors:
        m, n = x.shape[-2:]
        if m != n:
            raise RuntimeError(f"{name}: {arg} must be batches of square matrices, but they are {m} by {n} matrices")


def transposed(x):
    """The last two dimensions of a traced array swapped."""
    return jnp.swapaxes(x, -2, -1)


def adjoined(x):
    """The conjugate transpose of traced matrices."""
    return jnp.conj(transposed(x)) if jnp.iscomplexobj(x) else transposed(x)


def first_failure(info, batched: bool):
    """The first matrix that failed as ("(Batch element 1): " or "", its code), or None; only where looking is free."""
    if not on_host(info):
        return None
    host = info._host().reshape(-1)
    bad = np.flatnonzero(host)
    if not bad.size:
        return None
    return f"(Batch element {bad[0]}): " if batched else "", int(host[bad[0]])


def write_named(name, results, out):
    """Several results into the tensors of ``out``, if given."""
    if out is None:
        return results
    return write_out(name, tuple(results), out)
