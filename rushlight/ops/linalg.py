"""Owns products of vectors and matrices, and the operators on triangles and diagonals.

May import the door, the promotion rules and jax.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from .. import dtypes
from .._tensor.tensor import Tensor
from ._op import Array, Number, attach, op, scalar_name
from ._promotion import cast
from .creation import tensor
from .shape import wrap_dim
from .unary import absolute_of

# -- products -------------------------------------------------------------------------------------------------------

_C_NAMES = {
    "float32": "float", "float64": "double", "float16": "c10::Half", "bfloat16": "c10::BFloat16", "int64": "long int",
    "int32": "int", "int16": "short int", "int8": "signed char", "uint8": "unsigned char",
    "complex64": "c10::complex<float>", "complex128": "c10::complex<double>",
}  # fmt: skip


def c_name(x) -> str:
    """The C++ type name that torch's messages use for an array's dtype."""
    name = dtypes.from_numpy(x.dtype).name
    return _C_NAMES.get(name, name)


def _same_dtype(a, b, names="m1 and m2"):
    if a.dtype != b.dtype:
        raise RuntimeError(f"expected {names} to have the same dtype, but got: {c_name(a)} != {c_name(b)}")


def _cross(shape) -> str:
    return "x".join(map(str, shape))


def _check_mm(a, b):
    if a.shape[-1] != b.shape[0]:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({_cross(a.shape)} and {_cross(b.shape)})")


def _dot(a, b):
    """``a @ b`` for traced arrays: bool operands count as integers do in torch's loops."""
    return (a.astype(jnp.int8) @ b.astype(jnp.int8)) != 0 if a.dtype == bool else jnp.matmul(a, b)


def _check_matmul(a, b):
    if not a.ndim or not b.ndim:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {a.ndim}D and {b.ndim}D")
    if a.ndim == b.ndim == 1:
        _check_dot(a, b)
    elif b.ndim == 1 and a.shape[-1] != b.shape[0]:
        if a.ndim == 2:
            raise RuntimeError(f"size mismatch, got input ({a.shape[0]}), mat ({_cross(a.shape)}), vec ({b.shape[0]})")
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({_cross(_flat(a))} and {b.shape[0]}x1)")
    elif b.ndim == 2:
        rows = (1, a.shape[0]) if a.ndim == 1 else _flat(a)
        if rows[1] != b.shape[0]:
            raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({_cross(rows)} and {_cross(b.shape)})")
    elif b.ndim > 2:
        lead = broadcast_lead(a.shape[:-2], b.shape[:-2])
        if a.shape[-1] != b.shape[-2]:
            size = [_size(lead), a.shape[-1]]
            raise RuntimeError(
                f"Expected size for first two dimensions of batch2 tensor to be: {size} but got: "
                f"[{_size(lead)}, {b.shape[-2]}]."
            )
    _same_dtype(a, b)


def _size(shape) -> int:
    out = 1
    for n in shape:
        out *= n
    return out


def _flat(a):
    return (_size(a.shape[:-1]), a.shape[-1])


def broadcast_lead(a, b) -> tuple:
    """The shape two batches broadcast to.

    Raises:
        RuntimeError: they do not.
    """
    out = []
    for i in range(1, max(len(a), len(b)) + 1):
        n = a[-i] if i <= len(a) else 1
        m = b[-i] if i <= len(b) else 1
        if n != m and 1 not in (n, m):
            raise RuntimeError(
                f"The size of tensor a ({n}) must match the size of tensor b ({m}) at non-singleton dimension "
                f"{max(len(a), len(b)) - i}"
            )
        out.append(m if n == 1 else n)
    return tuple(reversed(out))


@op
def matmul(input: Array, other: Array):
    """The matrix product; vectors, and batches that broadcast, as in numpy.

    Shape: (..., n, k) and (..., k, m) give (..., n, m); a 1-d operand is a row on the left, a column on the right.

    Raises:
        RuntimeError: sizes or dtypes do not fit.

    Example:
        >>> import rushlight as torch
        >>> torch.matmul(torch.tensor([[1, 2], [3, 4]]), torch.tensor([1, 1]))
        tensor([3, 7])
    """
    _check_matmul(input, other)
    return _dot(input, other)


@op
def mm(input: Array, mat2: Array):
    """The product of two matrices."""
    for name, x in (("self", input), ("mat2", mat2)):
        if x.ndim != 2:
            raise RuntimeError(f"{name} must be a matrix")
    _check_mm(input, mat2)
    _same_dtype(input, mat2)
    return _dot(input, mat2)


def _check_batches(a, b):
    for i, x in enumerate((a, b)):
        if x.ndim != 3:
            raise RuntimeError(f"batch{i + 1} must be a 3D tensor")
    if a.shape[0] != b.shape[0] or a.shape[2] != b.shape[1]:
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{a.shape[0]}, {a.shape[2]}] but got: "
            f"[{b.shape[0]}, {b.shape[1]}]."
        )


@op
def bmm(input: Array, mat2: Array):
    """The products of two batches of matrices."""
    _check_batches(input, mat2)
    _same_dtype(input, mat2)
    return _dot(input, mat2)


@op
def mv(input: Array, vec: Array):
    """The product of a matrix and a vector."""
    if input.ndim != 2 or vec.ndim != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got {1}, {input.ndim}, {vec.ndim}")
    if input.shape[1] != vec.shape[0]:
        raise RuntimeError(
            f"size mismatch, got input ({input.shape[0]}), mat ({_cross(input.shape)}), vec ({vec.shape[0]})"
        )
    _same_dtype(input, vec)
    return _dot(input, vec)


def _check_dot(a, b):
    if a.ndim != 1 or b.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {a.ndim}D and {b.ndim}D tensors")
    if a.dtype != b.dtype:
        raise RuntimeError(f"dot : expected both vectors to have same dtype, but found {_title(a)} and {_title(b)}")
    if a.shape != b.shape:
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor [{a.shape[0]}] and src [{b.shape[0]}] to have the same number "
            f"of elements, but got {a.shape[0]} and {b.shape[0]} elements respectively"
        )


def _title(x):
    return scalar_name(dtypes.from_numpy(x.dtype))


@op
def dot(input: Array, tensor: Array):
    """The sum of products of two vectors."""
    _check_dot(input, tensor)
    return jnp.dot(input, tensor)


@op
def vdot(input: Array, other: Array):
    """The sum of products of two vectors, the first conjugated."""
    _check_dot(input, other)
    return jnp.dot(jnp.conj(input), other)


@op
def inner(input: Array, other: Array):
    """Sums of products over the last dimensions of both."""
    if not input.ndim or not other.ndim:
        return input * other
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(
            f"inner() the last dimension must match on both input tensors but got shapes {list(input.shape)} and "
            f"{list(other.shape)}"
        )
    return jnp.inner(input, other)


@op(promote="common")
def outer(input: Array, vec2: Array):
    """All products of two vectors."""
    for name, x in (("self", input), ("vec2", vec2)):
        if x.ndim != 1:
            raise RuntimeError(f"outer: Expected 1-D argument {name}, but got {x.ndim}-D")
    return input[:, None] * vec2[None, :]


ger = outer

# -- products added to something ------------------------------------------------------------------------------------


def _number(x, like):
    return cast(x, dtypes.from_numpy(like.dtype))


def _plus(base, product, beta, alpha):
    shape = product.shape
    try:
        fits = jnp.broadcast_shapes(base.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        lead = len(shape) - base.ndim
        at = next(
            (i for i in range(len(shape)) if i >= lead and base.shape[i - lead] not in (1, shape[i])), len(shape) - 1
        )
        old = base.shape[at - lead] if lead <= at else 1
        raise RuntimeError(
            f"The expanded size of the tensor ({shape[at]}) must match the existing size ({old}) at non-singleton "
            f"dimension {at}.  Target sizes: {list(shape)}.  Tensor sizes: {list(base.shape)}"
        )
    _same_dtype(base, product, "self and mat2")
    if alpha is not None:
        product = product * _number(alpha, product)
    if beta is None:
        return base + product
    # A zero beta ignores even nan.
    beta = _number(beta, product)
    return jnp.where(beta == 0, jnp.zeros((), product.dtype), base * beta) + product


@op(inplace=True)
def addmm(input: Array, mat1: Array, mat2: Array, *, beta: Number | None = None, alpha: Number | None = None):
    """``beta * input + alpha * (mat1 @ mat2)``."""
    for name, x in (("mat1", mat1), ("mat2", mat2)):
        if x.ndim != 2:
            raise RuntimeError(f"{name} must be a matrix, got {x.ndim}-D tensor")
    _check_mm(mat1, mat2)
    _same_dtype(mat1, mat2)
    return _plus(input, _dot(mat1, mat2), beta, alpha)


@op(inplace=True)
def addmv(input: Array, mat: Array, vec: Array, *, beta: Number | None = None, alpha: Number | None = None):
    """``beta * input + alpha * (mat @ vec)``."""
    return _plus(input, mv.fn(mat, vec), beta, alpha)


@op(inplace=True)
def addr(input: Array, vec1: Array, vec2: Array, *, beta: Number | None = None, alpha: Number | None = None):
    """``beta * input + alpha * outer(vec1, vec2)``."""
    return _plus(input, outer.fn(vec1, vec2), beta, alpha)


@op(inplace=True)
def baddbmm(input: Array, batch1: Array, batch2: Array, *, beta: Number | None = None, alpha: Number | None = None):
    """``beta * input + alpha * bmm(batch1, batch2)``."""
    _check_batches(batch1, batch2)
    _same_dtype(batch1, batch2)
    return _plus(input, _dot(batch1, batch2), beta, alpha)


@op(inplace=True)
def addbmm(input: Array, batch1: Array, batch2: Array, *, beta: Number | None = None, alpha: Number | None = None):
    """``beta * input + alpha * bmm(batch1, batch2).sum(0)``."""
    _check_batches(batch1, batch2)
    _same_dtype(batch1, batch2)
    return _plus(input, jnp.einsum("bik,bkj->ij", batch1, batch2), beta, alpha)


# -- sums of products by index --------------------------------------------------------------------------------------


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


def chain_matmul(*matrices):
    """The product of several matrices, in the cheapest order."""
    from ..linalg import multi_dot

    return multi_dot(matrices)


@op(promote="common")
def kron(input: Array, other: Array):
    """The Kronecker product."""
    return jnp.kron(input, other)


@op(name="cross", method=False, promote="common")
def _cross_product(input: Array, other: Array, dim):
    a, b = jnp.broadcast_arrays(input, other)
    d = wrap_dim(dim, a.ndim)
    if a.shape[d] != 3:
        raise RuntimeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got {input.shape[d]} and {other.shape[d]}"
        )
    return jnp.cross(a, b, axis=d)


def cross(input, other, dim=None, *, out=None):
    """The vector product along a dimension of size 3 (default: the first such)."""
    if dim is None:
        dim = next((i for i, n in enumerate(input.shape) if n == 3), -1)
    return _cross_product(input, other, dim, out=out)


# -- distances ------------------------------------------------------------------------------------------------------


@op(name="cdist", method=False)
def _cdist(x1: Array, x2: Array, p):
    apart = x1[..., :, None, :] - x2[..., None, :, :]
    return vector_norm_of(apart, float(p), (apart.ndim - 1,), False)


def cdist(x1, x2, p=2.0, compute_mode="use_mm_for_euclid_dist_if_necessary"):
    """The distances between all rows of ``x1`` and all rows of ``x2``, per batch."""
    return _cdist(x1, x2, p)


@op(name="dist")
def dist(input: Array, other: Array, p=2):
    """The ``p``-norm of ``input - other``."""
    apart = input - other
    return vector_norm_of(apart, float(p), tuple(range(apart.ndim)), False)


def vector_norm_of(x, ord, dims, keepdim):
    """The ``ord``-norm of a traced array over ``dims``; its gradient at zero is zero."""
    low = x.dtype.itemsize == 2
    wide = x.astype(jnp.float32) if low else x
    if ord == 0:
        out = jnp.sum(wide != 0, dims, keepdims=keepdim).astype(wide.real.dtype)
    elif ord == 2:
        square = jnp.square(wide.real) + jnp.square(wide.imag) if jnp.iscomplexobj(wide) else jnp.square(wide)
        out = _root(jnp.sum(square, dims, keepdims=keepdim), jnp.sqrt)
    else:
        size = absolute_of(wide)
        if ord == 1:
            out = jnp.sum(size, dims, keepdims=keepdim)
        elif ord in (float("inf"), float("-inf")):
            out = (jnp.max if ord > 0 else jnp.min)(size, dims, keepdims=keepdim)
        else:
            zero = size == 0
            powers = jnp.where(zero, 0.0 if ord > 0 else jnp.inf, jnp.where(zero, 1, size) ** ord)
            out = _root(jnp.sum(powers, dims, keepdims=keepdim), lambda total: total ** (1 / ord))
    return out.astype(x.dtype) if low else out


def _root(total, root):
    zero = total == 0
    return jnp.where(zero, 0, root(jnp.where(zero, 1, total)))


# -- triangles and diagonals ----------------------------------------------------------------------------------------


def _triangle(name, f):
    def fn(input: Array, diagonal=0):
        if input.ndim < 2:
            raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
        return f(input, diagonal)

    fn.__name__ = name
    part = "on and below" if name == "tril" else "on and above"
    fn.__doc__ = f"The matrix with zeros except {part} a diagonal."
    return op(fn, inplace=True, linear=True)


tril, triu = _triangle("tril", jnp.tril), _triangle("triu", jnp.triu)


def _indices(name, f):
    def indices(row, col, offset=0, *, dtype=None, device=None, layout=None):
        return tensor(np.stack(f(row, offset, col)), dtype=dtype or dtypes.int64, device=device)

    indices.__name__ = indices.__qualname__ = name
    indices.__doc__ = f"The positions of a {name[:4]} triangle, as a tensor of rows and columns."
    return indices


tril_indices, triu_indices = _indices("tril_indices", np.tril_indices), _indices("triu_indices", np.triu_indices)


@op(linear=True)
def trace(input: Array):
    """The sum of a matrix's diagonal."""
    if input.ndim != 2:
        raise RuntimeError("trace: expected a matrix")
    diagonal = jnp.diagonal(input)
    return jnp.sum(diagonal if jnp.issubdtype(diagonal.dtype, jnp.inexact) else diagonal.astype(jnp.int64))


@op(linear=True)
def diag(input: Array, diagonal=0):
    """The diagonal of a matrix, or the matrix with a vector on its diagonal."""
    if input.ndim not in (1, 2):
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.ndim}D")
    return jnp.diag(input, diagonal)


@op(linear=True)
def diagflat(input: Array, offset=0):
    """The matrix with all elements on its diagonal."""
    return jnp.diag(input.reshape(-1), offset)


@op(linear=True)
def diag_embed(input: Array, offset=0, dim1=-2, dim2=-1):
    """Matrices with the last dimension's lines on their diagonals."""
    size = input.shape[-1] + abs(offset)
    rows = jnp.arange(input.shape[-1]) + max(-offset, 0)
    columns = jnp.arange(input.shape[-1]) + max(offset, 0)
    out = jnp.zeros((*input.shape[:-1], size, size), input.dtype).at[..., rows, columns].set(input)
    ndim = out.ndim
    return jnp.moveaxis(out, (ndim - 2, ndim - 1), (wrap_dim(dim1, ndim), wrap_dim(dim2, ndim)))


@op(linear=True)
def diagonal_scatter(input: Array, src: Array, offset=0, dim1=0, dim2=1):
    """``input`` with a diagonal replaced by ``src``."""
    d1, d2 = wrap_dim(dim1, input.ndim), wrap_dim(dim2, input.ndim)
    positions = jnp.diagonal(jnp.arange(input.size).reshape(input.shape), offset, d1, d2)
    return input.reshape(-1).at[positions.reshape(-1)].set(src.reshape(-1)).reshape(input.shape)


for _name, _function in {"cross": cross, "ger": outer}.items():
    attach(_name, _function)
__all__ = [
    "addbmm", "addmm", "addmv", "addr", "baddbmm", "bmm", "cdist", "chain_matmul", "cross", "diag", "diag_embed",
    "diagflat", "diagonal_scatter", "dist", "dot", "einsum", "ger", "inner", "kron", "matmul", "mm", "mv", "outer",
    "tensordot", "trace", "tril", "tril_indices", "triu", "triu_indices", "vdot",
]  # fmt: skip
