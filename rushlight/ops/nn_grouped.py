"""Owns the matrix products of mixtures of experts and of scaled 8-bit floats.

May import the door, nn_common and jax.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax

from ._op import Array, op
from .nn_common import LOW, c_name


def _check(a, b, offs, bias, out_dtype):
    """Refuse what torch's grouped product refuses.

    Raises:
        RuntimeError: in torch's words.
    """
    if a.ndim not in (2, 3) or b.ndim not in (2, 3):
        raise RuntimeError(f"mat_{'b' if a.ndim in (2, 3) else 'a'} has to be 2 or 3d")
    if a.dtype not in (*LOW, jnp.float32):
        name = {"float64": "Double"}.get(a.dtype.name, a.dtype.name)
        raise RuntimeError(f"Expected mat_a to be Float32, BFloat16 or Float16 matrix, got {name}")
    if a.dtype != b.dtype:
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {c_name(a)} != {c_name(b)}")
    if (offs is None) != (a.ndim == b.ndim == 3):
        raise RuntimeError("Have to provide offsets if there is a 2d matrix, or no offset if both matrices are 3d")
    if a.shape[-1] != b.shape[-2]:
        raise RuntimeError("contraction dimension of mat_a and mat_b must match")
    if offs is not None and offs.dtype != jnp.int32:
        raise RuntimeError("Offsets have to be int32")
    if bias is not None:
        raise RuntimeError("Bias not supported yet")
    if out_dtype is not None and out_dtype != a.dtype:
        raise RuntimeError("Grouped gemm output dtype must match `mat_a` dtype")
    groups = [x.shape[0] for x in (a, b) if x.ndim == 3]
    if offs is None and groups[0] != groups[1]:
        raise RuntimeError("batched dimension has to match")
    if offs is not None and groups and groups[0] != offs.shape[0]:
        raise RuntimeError("matrix batch sizes have to match")


@op(name="grouped_mm", method=False)
def _grouped_mm(mat_a: Array, mat_b: Array, offs: Array | None, bias: Array | None, out_dtype):
    _check(mat_a, mat_b, offs, bias, out_dtype)
    wide = mat_a.astype(jnp.float32), mat_b.astype(jnp.float32)
    if mat_a.dtype == jnp.float32:
        return _products(wide[0], wide[1], offs)

    def native(a, b, _, offs=None):
        return _products(a, b, offs)

    def widened(a, b, wide, offs=None):
        return _products(wide[0], wide[1], offs)

    # XLA's CPU has no such products of half precision that sum in float32.
    given = (mat_a, mat_b, wide) if offs is None else (mat_a, mat_b, wide, offs)
    return lax.platform_dependent(*given, cpu=widened, default=native).astype(mat_a.dtype)


def _products(a, b, offs):
    """The groups' products, in float32."""
    if offs is None:
        return lax.dot_general(a, b, (((2,), (1,)), ((0,), (0,))), preferred_element_type=jnp.float32)
    sizes = jnp.diff(offs, prepend=jnp.zeros(1, offs.dtype))
    if b.ndim == 3:
        return lax.ragged_dot(a, b, sizes, preferred_element_type=jnp.float32)
    if a.ndim == 3:
        # The columns of b are grouped: the same as the rows of its transpose.
        return lax.ragged_dot(b.T, a.transpose(0, 2, 1), sizes, preferred_element_type=jnp.float32).T
    position = jnp.arange(b.shape[0])
    inside = (position < offs[:, None]) & (position >= (offs - sizes)[:, None])
    parts = jnp.where(inside[:, :, None], b, jnp.zeros((), b.dtype))
    return jnp.einsum("mk,gkn->gmn", a, parts, preferred_element_type=jnp.float32)


def grouped_mm(mat_a, mat_b, *, offs=None, bias=None, out_dtype=None):
    """One matrix product for each group of rows, columns or inner elements.

    Args:
        offs: where each group ends, int32; None where both operands are stacks of matrices. Rows after the last
            group give zeros.
        bias: None, as in PyTorch.
        out_dtype: the operands' dtype, or None.

    Shape:
        ``(M, K)`` with ``(G, K, N)`` gives ``(M, N)``; ``(G, M, K)`` with ``(K, N)`` gives ``(M, N)``;
        ``(M, K)`` with ``(K, N)`` gives ``(G, M, N)``; ``(G, M, K)`` with ``(G, K, N)`` gives ``(G, M, N)``.

    Raises:
        RuntimeError: shapes or dtypes that do not fit.

    Example:
        >>> import rushlight as torch
        >>> x, experts = torch.ones(3, 1), torch.tensor([[[1.0]], [[10.0]]])
        >>> torch.nn.functional.grouped_mm(x, experts, offs=torch.tensor([1, 3], dtype=torch.int32)).flatten()
        tensor([ 1., 10., 10.])
    """
    return _grouped_mm(mat_a, mat_b, offs, bias, None if out_dtype is None else out_dtype.np)


@op(name="scaled_mm", method=False, differentiable=False)
def scaled_mm(mat_a: Array, mat_b: Array, scale_a: Array, scale_b: Array, bias: Array | None, out_dtype):
    """``(mat_a * scale_a) @ (mat_b * scale_b) + bias``, summed in float32."""
    out = jnp.matmul(mat_a.astype(jnp.float32), mat_b.astype(jnp.float32)) * (scale_a * scale_b)
    return (out if bias is None else out + bias).astype(out_dtype)


__all__: list[str] = []
