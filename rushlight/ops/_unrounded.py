"""Owns products of half precision that are not rounded yet, for the sums that follow them.

May import jax.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def unrounded(multiply, a, b):
    """``multiply(a, b)`` in float32, in which it is summed: what is added to it is then rounded with it, as in torch.

    Args:
        multiply: a bilinear function that takes ``preferred_element_type``.
        a, b: traced arrays of one dtype of half precision.
    """
    return multiply(a, b, preferred_element_type=jnp.float32)


@unrounded.defjvp
def _slope(multiply, primals, tangents):
    # The derivatives are products of half precision again, which accelerators multiply far faster than float32.
    (a, b), (da, db) = primals, tangents
    return unrounded(multiply, a, b), (multiply(da, b) + multiply(a, db)).astype(jnp.float32)


def rounds_later(array) -> bool:
    """Whether a bias is added to a layer's product before that is rounded: in half precision, on a CPU.

    On a GPU, XLA adds the bias within the product where it can, and torch adds it to a rounded convolution.
    """
    return array.dtype in (jnp.float16, jnp.bfloat16) and jax.default_backend() == "cpu"
