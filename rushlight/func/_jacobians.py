"""Owns whole Jacobians and Hessians: ``jacrev``, ``jacfwd`` and ``hessian``.

May import this folder and the operators.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from .._tensor.tensor import Tensor
from ..ops.creation import eye
from ..ops.join import cat
from ._transforms import _chosen, jvp_by_number, vjp_by_number
from ._tree import flatten, unflatten
from ._vmap import vmap


def _need_real(name: str, tensors: list, kind: str) -> None:
    for i, x in enumerate(tensors):
        if isinstance(x, Tensor) and x.is_complex():
            raise RuntimeError(
                f"{name}: Expected all {kind} to be real but received complex tensor at flattened input idx: {i}"
            )


def _bases(tensors: list[Tensor]) -> list[Tensor]:
    """For all elements of all tensors, one direction: stacked tensors like each of them."""
    sizes = [t.numel() for t in tensors]
    total, start, out = sum(sizes), 0, []
    for t, size in zip(tensors, sizes):
        part = eye(total, dtype=t.dtype, device=t.device)[:, start : start + size]
        out.append(part.reshape(total, *t.shape))
        start += size
    return out


def jacrev(func: Callable, argnums: Any = 0, *, has_aux: bool = False, chunk_size: int | None = None) -> Callable:
    """A function that gives the Jacobian of ``func``, row by row.

    Args:
        func: gives tensors; or tensors and something else, with ``has_aux``.
        argnums: the number of the argument to differentiate by, or a tuple of several.
        has_aux: give ``(Jacobian, aux)``.
        chunk_size: how many rows at a time; default: all.

    Raises:
        ValueError: ``chunk_size`` is not positive.
        RuntimeError: complex numbers.

    Example:
        >>> import rushlight as torch
        >>> torch.func.jacrev(torch.sin)(torch.zeros(2))
        tensor([[1., 0.],
                [0., 1.]])
    """
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")

    @functools.wraps(func)
    def wrapper(*args: Any) -> Any:
        _need_real("jacrev", flatten(args)[0], "inputs")
        value, pull, *aux = vjp_by_number(func, args, argnums, has_aux)
        outs, out_spec = flatten(value)
        _need_real("jacrev", outs, "outputs")
        primals, primals_spec = flatten(_chosen(args, argnums))
        bases = _bases(outs)
        found = _in_chunks(pull, bases, out_spec, chunk_size)
        blocks = []
        start = 0
        for out in outs:
            rows = slice(start, start + out.numel())
            start += out.numel()
            row = [g[rows].reshape(*out.shape, *p.shape) for g, p in zip(found, primals)]
            block = unflatten(row, primals_spec)
            blocks.append(block[0] if isinstance(argnums, int) else block)
        result = unflatten(blocks, out_spec)
        return (result, aux[0]) if has_aux else result

    return wrapper


def _in_chunks(pull: Callable, bases: list[Tensor], spec: Any, chunk_size: int | None) -> list[Tensor]:
    """Pull all directions back, some at a time."""
    total = bases[0].size(0)
    count: int = chunk_size or max(total, 1)
    parts = []
    for start in range(0, max(total, 1), count):
        some = [b[start : start + count] for b in bases]
        if count == 1:
            leaves = flatten(pull(unflatten([b[0] for b in some], spec)))[0]
            parts.append([leaf.unsqueeze(0) for leaf in leaves])
        else:
            parts.append(flatten(vmap(pull)(unflatten(some, spec)))[0])
    return parts[0] if len(parts) == 1 else [cat(list(column), 0) for column in zip(*parts)]


def jacfwd(func: Callable, argnums: Any = 0, has_aux: bool = False, *, randomness: str = "error") -> Callable:
    """A function that gives the Jacobian of ``func``, column by column.

    Args:
        func: gives tensors; or tensors and something else, with ``has_aux``.
        argnums: the number of the argument to differentiate by, or a tuple of several.
        has_aux: give ``(Jacobian, aux)``.
        randomness: as for ``vmap``.

    Raises:
        RuntimeError: complex numbers.

    Example:
        >>> import rushlight as torch
        >>> torch.func.jacfwd(torch.sin)(torch.zeros(2))
        tensor([[1., 0.],
                [0., 1.]])
    """

    @functools.wraps(func)
    def wrapper(*args: Any) -> Any:
        _need_real("jacfwd", flatten(args)[0], "inputs")
        primals, primals_spec = flatten(args if argnums is None else _chosen(args, argnums))

        def push(basis):
            _, moved, *aux = jvp_by_number(func, args, basis, argnums, has_aux=has_aux)
            _need_real("jacfwd", flatten(moved)[0], "outputs")
            return (moved, aux[0]) if has_aux else moved

        moved = vmap(push, randomness=randomness)(unflatten(_bases(primals), primals_spec))
        aux = None
        if has_aux:
            moved, aux = moved
            leaves, aux_spec = flatten(aux)
            aux = unflatten([leaf[0] for leaf in leaves], aux_spec)
        outs, out_spec = flatten(moved)
        blocks = []
        for out in outs:
            out, start, row = out.movedim(0, -1), 0, []
            for p in primals:
                part = out[..., start : start + p.numel()]
                start += p.numel()
                row.append(part.reshape(*out.shape[:-1], *p.shape))
            block = unflatten(row, primals_spec)
            blocks.append(block[0] if isinstance(argnums, int) else block)
        result = unflatten(blocks, out_spec)
        return (result, aux) if has_aux else result

    return wrapper


def hessian(func: Callable, argnums: Any = 0) -> Callable:
    """A function that gives the second derivatives of ``func``.

    Args:
        func: gives a tensor.
        argnums: the number of the argument to differentiate by, or a tuple of several.

    Example:
        >>> import rushlight as torch
        >>> torch.func.hessian(lambda x: (x**3).sum())(torch.tensor([1.0, 2.0]))
        tensor([[ 6.,  0.],
                [ 0., 12.]])
    """
    return jacfwd(jacrev(func, argnums), argnums)
