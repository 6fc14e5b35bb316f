"""Owns products of vectors and matrices.

May import the door, the promotion rules and jax.
"""

from __future__ import annotations

import functools

import jax.numpy as jnp

from .. import dtypes
from ._execute import scalar_name
from ._op import Array, Number, attach, op
from ._promotion import cast
from ._unrounded import unrounded
from .shape import wrap_dim

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


def _dot(a, b, **options):
    """``a @ b`` for traced arrays: bool operands count as integers do in torch's loops."""
    return (a.astype(jnp.int8) @ b.astype(jnp.int8)) != 0 if a.dtype == bool else jnp.matmul(a, b, **options)


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


@op(numbers=())
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


def _times(a, b, out_dtype):
    """``a @ b``, not rounded where ``out_dtype`` is float32 and they are of half precision."""
    if not _is_wide(a, out_dtype):
        return _dot(a, b)
    return unrounded(_dot, a, b)


def _is_wide(a, out_dtype) -> bool:
    """Whether a product is to be of another dtype than its factors.

    Raises:
        RuntimeError: one that PyTorch's kernels do not give.
    """
    if out_dtype is None or out_dtype is dtypes.from_numpy(a.dtype):
        return False
    if a.dtype not in (jnp.float16, jnp.bfloat16) or out_dtype is not dtypes.float32:
        raise RuntimeError(
            "out_dtype must be the same as input dtype or fp32 for fp16/bf16 inputs: received factors of "
            f"{dtypes.from_numpy(a.dtype)} and out_dtype={out_dtype}"
        )
    return True


@op(numbers=())
def mm(input: Array, mat2: Array, out_dtype=None):
    """The product of two matrices.

    Args:
        input, mat2: the matrices.
        out_dtype: float32 for factors of half precision; default: theirs.

    Example:
        >>> import rushlight as torch
        >>> torch.mm(torch.ones(1, 2).bfloat16(), torch.ones(2, 1).bfloat16(), out_dtype=torch.float32)
        tensor([[2.]])
    """
    for name, x in (("self", input), ("mat2", mat2)):
        if x.ndim != 2:
            raise RuntimeError(f"{name} must be a matrix")
    _check_mm(input, mat2)
    _same_dtype(input, mat2)
    return _times(input, mat2, out_dtype)


def _check_batches(a, b):
    for i, x in enumerate((a, b)):
        if x.ndim != 3:
            raise RuntimeError(f"batch{i + 1} must be a 3D tensor")
    if a.shape[0] != b.shape[0] or a.shape[2] != b.shape[1]:
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{a.shape[0]}, {a.shape[2]}] but got: "
            f"[{b.shape[0]}, {b.shape[1]}]."
        )


@op(numbers=())
def bmm(input: Array, mat2: Array, out_dtype=None):
    """The products of two batches of matrices; ``out_dtype`` as for ``mm``."""
    _check_batches(input, mat2)
    _same_dtype(input, mat2)
    return _times(input, mat2, out_dtype)


@op(numbers=())
def mv(input: Array, vec: Array):
    """The product of a matrix and a vector."""
    _check_mv(input, vec)
    return _dot(input, vec)


def _check_mv(input, vec):
    if input.ndim != 2 or vec.ndim != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got {1}, {input.ndim}, {vec.ndim}")
    if input.shape[1] != vec.shape[0]:
        raise RuntimeError(
            f"size mismatch, got input ({input.shape[0]}), mat ({_cross(input.shape)}), vec ({vec.shape[0]})"
        )
    _same_dtype(input, vec)


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


@op(numbers=())
def dot(input: Array, tensor: Array):
    """The sum of products of two vectors."""
    _check_dot(input, tensor)
    return jnp.dot(input, tensor)


@op(numbers=())
def vdot(input: Array, other: Array):
    """The sum of products of two vectors, the first conjugated."""
    _check_dot(input, other)
    return jnp.dot(jnp.conj(input), other)


@op(numbers=())
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


@op(promote="common", numbers=())
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


def _added(base, a, b, beta, alpha, multiply=_dot, out_dtype=None):
    product = unrounded(multiply, a, b) if a.dtype in (jnp.float16, jnp.bfloat16) else multiply(a, b)
    if _is_wide(a, out_dtype):
        base = base.astype(product.dtype) if base.dtype == a.dtype else base
        return _plus(base, product, beta, alpha, like=product)
    return _plus(base, product, beta, alpha, like=a)


def _plus(base, product, beta, alpha, like):
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
    _same_dtype(base, like, "self and mat2")
    base = base.astype(product.dtype)
    if alpha is not None:
        product = product * _number(alpha, product)
    if beta is None:
        return (base + product).astype(like.dtype)
    # A zero beta ignores even nan.
    beta = _number(beta, product)
    return (jnp.where(beta == 0, jnp.zeros((), product.dtype), base * beta) + product).astype(like.dtype)


@op(inplace=True)
def addmm(
    input: Array, mat1: Array, mat2: Array, out_dtype=None, *, beta: Number | None = None, alpha: Number | None = None
):  # fmt: skip
    """``beta * input + alpha * (mat1 @ mat2)``; ``out_dtype`` as for ``mm``."""
    for name, x in (("mat1", mat1), ("mat2", mat2)):
        if x.ndim != 2:
            raise RuntimeError(f"{name} must be a matrix, got {x.ndim}-D tensor")
    _check_mm(mat1, mat2)
    _same_dtype(mat1, mat2)
    return _added(input, mat1, mat2, beta, alpha, out_dtype=out_dtype)


@op(inplace=True)
def addmv(input: Array, mat: Array, vec: Array, *, beta: Number | None = None, alpha: Number | None = None):
    """``beta * input + alpha * (mat @ vec)``."""
    _check_mv(mat, vec)
    return _added(input, mat, vec, beta, alpha)


@op(inplace=True)
def addr(input: Array, vec1: Array, vec2: Array, *, beta: Number | None = None, alpha: Number | None = None):
    """``beta * input + alpha * outer(vec1, vec2)``."""
    return _plus(input, outer.fn(vec1, vec2), beta, alpha, vec1)


@op(inplace=True)
def baddbmm(
    input: Array, batch1: Array, batch2: Array, out_dtype=None, *, beta: Number | None = None,
    alpha: Number | None = None,
):  # fmt: skip
    """``beta * input + alpha * bmm(batch1, batch2)``; ``out_dtype`` as for ``mm``."""
    _check_batches(batch1, batch2)
    _same_dtype(batch1, batch2)
    return _added(input, batch1, batch2, beta, alpha, out_dtype=out_dtype)


@op(inplace=True)
def addbmm(input: Array, batch1: Array, batch2: Array, *, beta: Number | None = None, alpha: Number | None = None):
    """``beta * input + alpha * bmm(batch1, batch2).sum(0)``."""
    _check_batches(batch1, batch2)
    _same_dtype(batch1, batch2)
    return _added(input, batch1, batch2, beta, alpha, functools.partial(jnp.einsum, "bik,bkj->ij"))


@op(promote="common", numbers=())
def kron(input: Array, other: Array):
    """The Kronecker product."""
    if input.dtype == bool:
        return jnp.kron(input.astype(jnp.uint8), other.astype(jnp.uint8)) != 0
    return jnp.kron(input, other)


@op(name="linalg_cross", method=False, promote="common")
def _cross_product(input: Array, other: Array, dim):
    a, b = jnp.broadcast_arrays(input, other)
    return jnp.cross(a, b, axis=dim)


def cross(input, other, dim=None, *, out=None):
    """The vector product along a dimension of size 3 (default: the first such).

    Raises:
        RuntimeError: no dimension of size 3.
    """
    if dim is None:
        dim = next((i for i, n in enumerate(input.shape) if n == 3), None)
        if dim is None:
            raise RuntimeError("no dimension of size 3 in input")
    return linalg_cross(input, other, dim=dim, out=out)


def linalg_cross(input, other, *, dim=-1, out=None):
    """The vector product along a dimension of size 3."""
    if input.dim() != other.dim():
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    wrap_dim(dim, input.dim())
    if input.shape[dim] != 3 or other.shape[dim] != 3:
        raise RuntimeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got {input.shape[dim]} and {other.shape[dim]}"
        )
    return _cross_product(input, other, dim, out=out)


@op(name="linalg_vecdot", method=False, promote="common")
def _vecdot(x: Array, y: Array, dim):
    return jnp.sum(jnp.conj(x) * y, wrap_dim(dim, max(x.ndim, y.ndim)) - max(x.ndim, y.ndim))


def vecdot(x, y, *, dim=-1, out=None):
    """The sums of products along a dimension, the first factor conjugated."""
    return _vecdot(x, y, dim, out=out)


spmm = mm
for _name, _function in {"cross": cross, "ger": outer}.items():
    attach(_name, _function)

__all__ = [
    "addbmm", "addmm", "addmv", "addr", "baddbmm", "bmm", "cross", "dot", "ger", "inner", "kron", "matmul",
    "mm", "mv", "outer", "spmm", "vdot",
]  # fmt: skip
