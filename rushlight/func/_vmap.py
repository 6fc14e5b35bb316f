"""Owns ``vmap``: a function of one example, run for a batch of them at once by ``jax.vmap``.

May import the tensor cell, the tape, the operators and jax.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._graph import node as nodes
from .._graph.modes import state
from .._tensor.tensor import Tensor
from ..ops.join import cat
from ..random import get_rng_state, set_rng_state
from ._batching import Frame, connected, entered, settle
from ._tree import broadcast, flatten, unflatten

_ERRORS = (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError)
_VALUES = (
    "vmap: It looks like you're calling .item() on a Tensor, or using its values in Python (control flow, numpy). We "
    "don't support vmap over that, please try to rewrite what you're doing with other operations, such as torch.where."
)


def name_of(func: Any) -> str:
    """What a function is called in messages."""
    if hasattr(func, "__name__"):
        return func.__name__
    if isinstance(func, functools.partial):
        return f"functools.partial({name_of(func.func)}, ...)"
    return repr(func)


def _check_options(randomness: str, chunk_size: int | None) -> None:
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")


def vmap(
    func: Callable, in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error", *, chunk_size: int | None = None
) -> Callable:
    """Let a function of single examples take batches.

    Args:
        func: takes tensors (in tuples, lists and dicts), and gives tensors.
        in_dims: the batch dimension of each argument, nested like them; None for those that all examples share.
        out_dims: where the batch dimension goes in each result.
        randomness: whether random numbers are refused (``"error"``), shared by all examples (``"same"``) or drawn for
            each (``"different"``).
        chunk_size: how many examples at a time; default: all.

    Returns:
        Callable: takes batches where ``func`` takes examples. Gradients flow through it.

    Raises:
        ValueError: dims that do not fit the arguments or results, or sizes that differ.
        RuntimeError: random numbers or values that are not allowed; an in-place change that one example cannot make.

    Example:
        >>> import rushlight as torch
        >>> torch.vmap(torch.dot)(torch.ones(3, 2), torch.arange(6.0).reshape(3, 2))
        tensor([1., 5., 9.])
    """
    _check_options(randomness, chunk_size)

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        _check_out_dims(out_dims, func)
        size, dims, leaves, spec = _batched_inputs(in_dims, args, func)
        if chunk_size is None:
            return _run(func, size, dims, leaves, spec, out_dims, randomness, kwargs)
        return _run_chunks(func, size, dims, leaves, spec, out_dims, randomness, chunk_size, kwargs)

    return wrapped


def _check_out_dims(out_dims: Any, func: Any) -> None:
    for dim in flatten(out_dims)[0]:
        if dim is not None and not isinstance(dim, int):
            raise ValueError(
                f"vmap({name_of(func)}, ..., out_dims={out_dims}): `out_dims` must be an int, None or a python "
                "collection of ints representing where in the outputs the vmapped dimension should appear."
            )


def _batched_inputs(in_dims: Any, args: tuple, func: Any) -> tuple:
    """The batch size, and a dimension for each leaf of the arguments.

    Raises:
        ValueError: they do not fit.
    """
    call = f"vmap({name_of(func)}, in_dims={in_dims}, ...)(<inputs>)"
    if not isinstance(in_dims, (int, tuple)):
        raise ValueError(
            f"{call}: expected `in_dims` to be int or a (potentially nested) tuple matching the structure of inputs, "
            f"got: {type(in_dims)}."
        )
    if not args:
        raise ValueError(
            f"vmap({name_of(func)})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are trying to "
            "vmap over a function with no inputs. The latter is unsupported."
        )
    leaves, spec = flatten(args)
    dims = broadcast(in_dims, spec)
    if dims is None:
        raise ValueError(
            f"{call}: in_dims is not compatible with the structure of `inputs`. in_dims has structure "
            f"{flatten(in_dims)[1]} but inputs has structure {spec}."
        )
    for i, (leaf, dim) in enumerate(zip(leaves, dims)):
        if dim is None:
            continue
        if not isinstance(dim, int):
            raise ValueError(
                f"{call}: Got in_dim={dim} for an input but in_dim must be either an integer dimension or None."
            )
        if not isinstance(leaf, Tensor):
            raise ValueError(
                f"{call}: Got in_dim={dim} for an input but the input is of type {type(leaf)}. We cannot vmap over "
                "non-Tensor arguments, please use None as the respective in_dim"
            )
        count = leaf.dim()
        if not -count <= dim < count:
            raise ValueError(
                f"{call}: Got in_dim={dim} for some input, but that input is a Tensor of dimensionality {count} so "
                f"expected in_dim to satisfy -{count} <= in_dim < {count}."
            )
        dims[i] = dim % count
    sizes = [leaf.size(dim) for leaf, dim in zip(leaves, dims) if dim is not None]
    if not sizes:
        raise ValueError("vmap: Expected at least one Tensor to vmap over")
    if any(size != sizes[0] for size in sizes):
        raise ValueError(
            f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes {sizes} for the "
            "mapped dimension"
        )
    return sizes[0], dims, leaves, spec


def _out_dims_for(result: Any, spec: Any, out_dims: Any, func: Any) -> list:
    if isinstance(result, Tensor) and isinstance(out_dims, tuple) and len(out_dims) == 1:
        return list(out_dims)
    dims = broadcast(out_dims, spec)
    if dims is None:
        raise ValueError(
            f"vmap({name_of(func)}, ..., out_dims={out_dims})(<inputs>): out_dims is not compatible with the structure "
            f"of `outputs`. out_dims has structure {flatten(out_dims)[1]} but outputs has structure {spec}."
        )
    return dims


class _Outputs:
    """What one run gave: its leaves with their places on the tape, before and after the batch is put together."""

    def __init__(self, func: Any, out_dims: Any):
        self.func, self.out_dims = func, out_dims
        self.leaves: list = []

    def take(self, frame: Frame, result: Any, first: int) -> list:
        """The arrays to give to JAX.

        Raises:
            ValueError: something else than tensors, or a batch where ``out_dims`` says there is none.
        """
        self.leaves, self.spec = flatten(result)
        self.dims = _out_dims_for(result, self.spec, self.out_dims, self.func)
        name = name_of(self.func)
        self.edges, self.batched, arrays = [], [], []
        for leaf, dim in zip(self.leaves, self.dims):
            tensor = isinstance(leaf, Tensor)
            here = tensor and frame.is_batched(leaf._array())
            if dim is None:
                if here:
                    raise ValueError(f"vmap({name}, ...): `{name}` can not return a BatchedTensor when out_dim is None")
            elif not tensor:
                raise ValueError(
                    f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(leaf)}. Did you mean to set "
                    "out_dims= to None for output?"
                )
            self.edges.append(leaf._edge() if tensor and state.grad else None)
            self.batched.append(here)
            if here:
                arrays.append(leaf._array())
        settle(frame, self.edges, self.batched, first)
        return arrays

    def tensors(self, arrays: list, size: int) -> Any:
        """The result for the batch."""
        supply = iter(arrays)
        out = []
        for leaf, dim, edge, here in zip(self.leaves, self.dims, self.edges, self.batched):
            if here:
                leaf = _moved(connected(next(supply), edge, leaf.device), dim, edge)
            elif dim is not None:
                # The same for all examples.
                leaf = leaf.unsqueeze(0).expand(size, *leaf.shape)
                leaf = leaf.movedim(0, dim) if dim else leaf
            out.append(leaf)
        return unflatten(out, self.spec)


def _moved(tensor: Tensor, dim: int, edge: Any) -> Tensor:
    if edge is not None and edge[1] is None:
        # An input as it is: the leaf itself is its place on the tape.
        tensor = edge[0].view_as(edge[0])
    return tensor.movedim(0, dim) if dim else tensor


def _run(func, size, dims, leaves, spec, out_dims, randomness, kwargs) -> Any:
    physical = [leaf if not dim else leaf.movedim(dim, 0) for leaf, dim in zip(leaves, dims)]
    mapped = [i for i, dim in enumerate(dims) if dim is not None]
    outputs = _Outputs(func, out_dims)

    def pure(index, arrays):
        frame = state.vmap = Frame(size, randomness, outer)
        frame.enter(index)
        given = list(physical)
        for i, array in zip(mapped, arrays):
            given[i] = entered(frame, array, physical[i])
        first = nodes._sequence()
        return outputs.take(frame, func(*unflatten(given, spec), **kwargs), first)

    outer = state.vmap
    try:
        arrays = jax.vmap(pure)(jnp.arange(size), [physical[i]._array() for i in mapped])
    except _ERRORS as error:
        if state.trace is not None:
            raise
        raise RuntimeError(_VALUES) from error
    finally:
        state.vmap = outer
    return outputs.tensors(arrays, size)


def _run_chunks(func, size, dims, leaves, spec, out_dims, randomness, chunk_size, kwargs) -> Any:
    rng = get_rng_state() if randomness == "same" else None
    parts, built = [], None
    for start in range(0, size, chunk_size):
        count = min(chunk_size, size - start)
        some = [x if d is None else x.narrow(d, start, count) for x, d in zip(leaves, dims)]
        if rng is not None:
            set_rng_state(rng)
        result = _run(func, count, dims, some, spec, out_dims, randomness, kwargs)
        flat, built = flatten(result)
        parts.append(flat)
    assert built is not None
    out = broadcast(out_dims, built) or [0] * built.count
    return unflatten([cat(list(chunk), dim=dim) for chunk, dim in zip(zip(*parts), out)], built)
