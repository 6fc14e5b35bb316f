"""Owns sums of products by index: einsum, tensordot and chains of matrices.

May import the door, the products and jax.
"""

from __future__ import annotations

import itertools

import jax.numpy as jnp

from .._tensor.tensor import Tensor
from ._execute import scalar_name
from ._op import Array, op
from .products import _same_dtype
from .shape import wrap_dim


@op(name="einsum", method=False)
def _einsum(operands: list[Array], equation):
    _check_einsum(equation, [x.shape for x in operands])
    return jnp.einsum(equation, *operands)


def _check_einsum(equation, shapes):
    terms = equation.split("->")[0].split(",")
    if len(terms) != len(shapes):
        few = "more" if len(terms) < len(shapes) else "fewer"
        raise RuntimeError(f"einsum(): {few} operands were provided than specified in the equation")
    sizes: dict = {}
    for i, (term, shape) in enumerate(zip(terms, shapes)):
        head, dots, tail = term.partition("...")
        letters = len(head) + len(tail)
        if letters > len(shape) or (not dots and letters < len(shape)):
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({letters}) "
                f"{'is more than' if dots else 'does not match'} the number of dimensions ({len(shape)}) for operand "
                f"{i}" + ("" if dots else " and no ellipsis was given")
            )
        for letter, n in [*zip(head, shape), *zip(reversed(tail), reversed(shape))]:
            if not letter.isalpha():
                raise RuntimeError(
                    f"einsum(): invalid subscript given at index {equation.index(letter)} in the equation string, "
                    "subscripts must be in [a-zA-Z]"
                )
            seen = sizes.setdefault(letter, n)
            if seen != n and 1 not in (seen, n):
                raise RuntimeError(
                    f"einsum(): subscript {letter} has size {n} for operand {i} which does not broadcast with "
                    f"previously seen size {seen}"
                )
            sizes[letter] = max(seen, n)


def einsum(equation, *operands):
    """Sums of products, written with one letter per dimension (``"bij,bjk->bik"``), or in numpy's sublist form.

    Example:
        >>> import rushlight as torch
        >>> torch.einsum("i,i->", torch.tensor([1, 2]), torch.tensor([3, 4]))
        tensor(11)
    """
    if isinstance(equation, Tensor):
        items = (equation, *operands)
        operands = items[: len(items) // 2 * 2 : 2]
        names = [_letters(sub) for sub in items[1::2]]
        equation = ",".join(names) + ("->" + _letters(items[-1]) if len(items) % 2 else "")
    elif len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = operands[0]
    return _einsum(operands, equation.replace(" ", ""))


def _letters(sublist) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    return "".join("..." if i is Ellipsis else alphabet[i] for i in sublist)


@op(name="tensordot", method=False)
def _tensordot(a: Array, b: Array, dims):
    for i, j in zip(*dims):
        # A size of 1 is repeated, which here is a sum over the other side.
        if a.shape[i] == 1 != b.shape[j]:
            b = jnp.sum(b, j, keepdims=True)
        elif b.shape[j] == 1 != a.shape[i]:
            a = jnp.sum(a, i, keepdims=True)
        if a.shape[i] != b.shape[j]:
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {a.shape[i]} in dim {i} and second has size "
                f"{b.shape[j]} in dim {j}"
            )
    _same_dtype(a, b, "both inputs")
    return jnp.tensordot(a, b, dims)


def tensordot(a, b, dims=2, out=None):
    """Sums of products over the last ``dims`` dimensions of ``a`` and the first of ``b``, or over two given lists."""
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        dims = list(range(a.dim() - dims, a.dim())), list(range(dims))
    first, second = ([d] if isinstance(d, int) else d for d in dims)
    if len(first) != len(second):
        raise RuntimeError("both dimension lists should have same length")
    pairs = (tuple(wrap_dim(d, a.dim()) for d in first), tuple(wrap_dim(d, b.dim()) for d in second))
    return _tensordot(a, b, pairs, out=out)


@op(name="linalg_multi_dot", method=False)
def _multi_dot(tensors: list[Array]):
    return jnp.linalg.multi_dot(tensors)


def multi_dot(tensors, *, out=None):
    """The product of several matrices, in the cheapest order; the first and the last may be vectors.

    Raises:
        RuntimeError: fewer than two tensors, or shapes that do not chain.
    """
    tensors = list(tensors)
    if len(tensors) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(tensors)}")
    for i, x in enumerate(tensors):
        end = "first" if i == 0 else "last" if i == len(tensors) - 1 else None
        if end and x.dim() not in (1, 2):
            raise RuntimeError(f"multi_dot(): the {end} tensor must be 1D or 2D but got {x.dim()}D")
        if end is None and x.dim() != 2:
            raise RuntimeError(f"multi_dot(): tensor {i} must be 2D but got {x.dim()}D")
        if x.dtype is not tensors[0].dtype:
            raise RuntimeError(
                f"multi_dot(): all tensors must have be the same dtype but tensor 0 is "
                f"{scalar_name(tensors[0].dtype)} and tensor {i} {scalar_name(x.dtype)}"
            )
    for i, (a, b) in enumerate(itertools.pairwise(tensors)):
        if a.shape[-1] != b.shape[0]:
            raise RuntimeError(
                f"multi_dot(): tensors {i} and {i + 1} with shapes {list(a.shape)} and {list(b.shape)} cannot be "
                "multiplied"
            )
    return _multi_dot(tensors, out=out)


def chain_matmul(*matrices):
    """The product of several matrices, in the cheapest order."""
    for x in matrices:
        if x.dim() != 2:
            raise RuntimeError(f"Tensor dimension is {x.dim()}, expected 2 instead.")
    return matrices[0] if len(matrices) == 1 else multi_dot(matrices)


__all__ = ["chain_matmul", "einsum", "tensordot"]
