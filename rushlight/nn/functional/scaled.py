"""Owns the products of scaled 8-bit floats, and the names of the ways to scale.

May import the operators.
"""

from __future__ import annotations

import enum
from typing import Any

from ... import dtypes
from ..._errors import not_supported
from ...ops import nn_grouped as ops


class ScalingType(enum.Enum):
    """How a matrix was scaled: as a whole, by rows, or by blocks."""

    TensorWise = 0
    RowWise = 1
    BlockWise1x16 = 2
    BlockWise1x32 = 3
    BlockWise1x128 = 4
    BlockWise128x128 = 5


class SwizzleType(enum.Enum):
    """How scales are laid out in memory."""

    NO_SWIZZLE = 0
    SWIZZLE_32_4_4 = 1


_EIGHT_BITS = (dtypes.float8_e4m3fn, dtypes.float8_e5m2)


def _one(value) -> Any:
    """The only element of a list, or the value itself; None for several."""
    if isinstance(value, (list, tuple)):
        return value[0] if len(value) == 1 else None
    return value


def _fits(a, b, scale_a, scale_b, recipes):
    """Whether dtypes, recipes and the sizes of the scales go together."""
    if a.dtype not in _EIGHT_BITS or b.dtype not in _EIGHT_BITS or recipes[0] is not recipes[1]:
        return False
    if scale_a is None or scale_b is None or not (scale_a.dtype is scale_b.dtype is dtypes.float32):
        return False
    if recipes[0] is ScalingType.RowWise:
        return tuple(scale_a.shape) == (a.shape[0], 1) and tuple(scale_b.shape) == (1, b.shape[1])
    return recipes[0] is ScalingType.TensorWise and scale_a.numel() == scale_b.numel() == 1


def scaled_mm(
    mat_a,
    mat_b,
    scale_a,
    scale_recipe_a,
    scale_b,
    scale_recipe_b,
    swizzle_a=None,
    swizzle_b=None,
    bias=None,
    output_dtype=dtypes.bfloat16,
    contraction_dim=(),
    use_fast_accum=False,
):
    """The product of two 8-bit matrices, each to be multiplied by its scale.

    Args:
        scale_a, scale_b: one number each, or ``(M, 1)`` and ``(1, N)``.
        scale_recipe_a, scale_recipe_b: ``ScalingType.TensorWise`` or ``ScalingType.RowWise``.
        swizzle_a, swizzle_b: None or ``SwizzleType.NO_SWIZZLE``.
        bias: added to the result.
        output_dtype: None keeps the dtype of ``mat_a``.
        contraction_dim: unused by these recipes, as in PyTorch.
        use_fast_accum: allows less exact sums; here they are always float32.

    Shape:
        ``(M, K)`` with ``(K, N)`` gives ``(M, N)``.

    Raises:
        ValueError: shapes, dtypes or scales that do not fit.
        NotImplementedError: scales by blocks, or swizzled ones.
    """
    recipes = _one(scale_recipe_a), _one(scale_recipe_b)
    plain = (None, SwizzleType.NO_SWIZZLE, [], [SwizzleType.NO_SWIZZLE])
    for recipe in recipes:
        if isinstance(recipe, ScalingType) and recipe.value > 1:
            raise not_supported(
                f"scaled_mm with {recipe}", "Scale by tensor or by row, or multiply by the scales first."
            )
    if swizzle_a not in plain or swizzle_b not in plain:
        raise not_supported("scaled_mm with swizzled scales", "Use SwizzleType.NO_SWIZZLE.")
    a, b = mat_a.shape, mat_b.shape
    if len(a) != 2 or len(b) != 2 or a[1] != b[0]:
        raise ValueError(
            f"mat_a and mat_b shapes cannot be multiplied ({'x'.join(map(str, a))} and {'x'.join(map(str, b))})"
        )
    first, second = _one(scale_a), _one(scale_b)
    if not _fits(mat_a, mat_b, first, second, recipes):
        raise ValueError(
            "Invalid scaling configuration.\n- For TensorWise scaling, a and b should be float8, scales should be "
            "float and singletons.\n- For RowWise scaling, a and b should be float8, scales should be float, scale_a "
            f"should be ({a[0]}, 1) and scale_b should be (1, {b[1]}), and both should be contiguous."
        )
    if recipes[0] is ScalingType.TensorWise:
        first, second = first.reshape(1, 1), second.reshape(1, 1)
    dtype = mat_a.dtype if output_dtype is None else output_dtype
    return ops.scaled_mm(mat_a, mat_b, first, second, bias, dtype.np)


def scaled_grouped_mm(
    mat_a,
    mat_b,
    scale_a,
    scale_recipe_a,
    scale_b,
    scale_recipe_b,
    swizzle_a=None,
    swizzle_b=None,
    bias=None,
    offs=None,
    output_dtype=dtypes.bfloat16,
    contraction_dim=(),
    use_fast_accum=False,
):
    """The grouped product of scaled 8-bit matrices, which PyTorch has on GPUs only and rushlight does not have.

    Raises:
        NotImplementedError: always; names what to call instead.
    """
    raise not_supported(
        "scaled_grouped_mm",
        "Multiply each matrix by its scale in bfloat16 and call grouped_mm, or scaled_mm per group.",
    )
