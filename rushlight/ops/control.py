"""Owns choices and loops over tensors as functions, and a few kernels that PyTorch offers by name.

May import the tensor cell, modes, the door, other operators and jax.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import jax.tree_util as trees
import numpy as np
from jax.core import Tracer

from .. import dtypes
from .._errors import not_supported
from .._graph.modes import no_grad, state
from .._tensor.tensor import Tensor
from . import nn_conv
from .creation import _options, empty, from_numpy, ones_like
from .linalg_factor import cholesky
from .linalg_solve import solve_triangular
from .linalg_spectra import eigh


def _flat(value):
    return trees.tree_flatten(value, is_leaf=lambda v: isinstance(v, Tensor))


def cond(pred, true_fn, false_fn, operands=()):
    """Call one of two functions.

    Inside a compiled function both run, and the results of the one that ``pred`` names are kept.

    Args:
        pred: a bool, or a tensor of one.
        true_fn, false_fn: take ``operands`` and give tensors of the same shapes and dtypes.
        operands: a tuple or list of tensors, or a nest of them.

    Raises:
        RuntimeError: inside a compiled function, the results of the two do not fit each other.

    Example:
        >>> import rushlight as torch
        >>> torch.cond(torch.tensor(True), lambda x: x + 1, lambda x: x - 1, (torch.ones(2),))
        tensor([2., 2.])
    """
    if not isinstance(pred, Tensor) or not isinstance(pred._array(), Tracer):
        return (true_fn if bool(pred) else false_fn)(*operands)
    (first, plan), (second, other) = _flat(true_fn(*operands)), _flat(false_fn(*operands))
    if plan != other or any(a.shape != b.shape or a.dtype != b.dtype for a, b in zip(first, second)):
        raise RuntimeError("cond(): true_fn and false_fn gave results of different structure, shapes or dtypes.")
    choose: Any = Tensor.where  # attached by the operators
    return trees.tree_unflatten(plan, [choose(a, pred, b) for a, b in zip(first, second)])


def while_loop(cond_fn, body_fn, carried_inputs):
    """Repeat a function while another one says so.

    Args:
        cond_fn: takes what is carried and gives a bool, or a tensor of one.
        body_fn: takes what is carried and gives the next, of the same shapes and dtypes.
        carried_inputs: a tuple or list of tensors and numbers.

    Raises:
        NotImplementedError: inside a compiled function, where gradients are wanted; how often it runs is unknown then.

    Example:
        >>> import rushlight as torch
        >>> torch.while_loop(lambda x: x < 10, lambda x: (x * 2,), (torch.tensor(1),))
        (tensor(16),)
    """
    carried = tuple(carried_inputs)
    leaves, plan = _flat(carried)
    if not any(isinstance(t, Tensor) and isinstance(t._array(), Tracer) for t in leaves):
        while bool(cond_fn(*carried)):
            carried = tuple(body_fn(*carried))
        return carried
    if state.grad and any(isinstance(t, Tensor) and t.requires_grad for t in leaves):
        raise not_supported("while_loop() with gradients in a compiled function", "Use a for loop of a fixed length.")

    def tensors(arrays):
        return trees.tree_unflatten(plan, [Tensor._of(a) for a in arrays])

    def body(arrays):
        after, _ = _flat(tuple(body_fn(*tensors(arrays))))
        return [
            t._array() if isinstance(t, Tensor) else jnp.asarray(t, a.dtype) for t, a in zip(after, arrays, strict=True)
        ]

    def goes_on(arrays):
        answer = cond_fn(*tensors(arrays))
        return jnp.reshape(answer._array() if isinstance(answer, Tensor) else answer, ())

    with no_grad():
        arrays = jax.lax.while_loop(
            goes_on, body, [t._array() if isinstance(t, Tensor) else jnp.asarray(t) for t in leaves]
        )
    return tensors(arrays)


def convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups):
    """``conv1d`` to ``conv3d`` and their transposes by the number of dimensions.

    Raises:
        RuntimeError: the weight has other than 3 to 5 dimensions.
    """
    nd = weight.dim() - 2
    if nd not in (1, 2, 3):
        raise RuntimeError(f"convolution(): expected a weight of 3 to 5 dimensions, received {weight.dim()}")
    if transposed:
        function = getattr(nn_conv, f"conv_transpose{nd}d")
        return function(input, weight, bias, stride, padding, output_padding, groups, dilation)
    return getattr(nn_conv, f"conv{nd}d")(input, weight, bias, stride, padding, dilation, groups)


def native_dropout(input, p, train):
    """Dropout that gives its mask too: ``(output, mask)``.

    Args:
        p: the probability of an element to become zero.
        train: False keeps everything.
    """
    if not train:
        return input.clone(), ones_like(input, dtype=dtypes.bool_)
    mask = empty(tuple(input.shape), dtype=dtypes.bool_, device=input.device).bernoulli_(1 - p)
    return input * mask * (0.0 if p == 1 else 1 / (1 - p)), mask


def batch_norm_update_stats(input, running_mean, running_var, momentum):
    """The mean and the biased variance of each channel; the running statistics move towards them.

    Raises:
        RuntimeError: fewer than two dimensions.
    """
    if input.dim() < 2:
        raise RuntimeError(f"batch_norm_update_stats(): expected at least 2 dimensions, received {input.dim()}")
    axes = [d for d in range(input.dim()) if d != 1]
    count = input.numel() // input.shape[1]
    with no_grad():
        mean, var = input.mean(axes), input.var(axes, correction=0)
        if running_mean is not None:
            running_mean.mul_(1 - momentum).add_(mean * momentum)
        if running_var is not None:
            running_var.mul_(1 - momentum).add_(var * (momentum * count / max(count - 1, 1)))
    return mean, var


def from_file(filename, shared=None, size=0, *, dtype=None, layout=None, device=None, pin_memory=False):
    """A tensor of the numbers that a file holds one after another.

    Args:
        size: how many numbers.

    Raises:
        NotImplementedError: ``shared=True``: arrays cannot change what is on disk.
        RuntimeError: the file is too short.
    """
    if shared:
        raise not_supported("from_file(shared=True)", "Write the file with tensor.numpy().tofile(path).")
    kind, _ = _options(dtype, None)
    host = np.fromfile(filename, kind.np, count=size)
    if host.size < size:
        raise RuntimeError(f"from_file(): {filename} holds {host.size} numbers, expected {size}")
    made = from_numpy(host)
    return made if device is None else made.to(device)


def lobpcg(
    A, k=None, B=None, X=None, n=None, iK=None, niter=None, tol=None, largest=None, method=None, tracker=None,
    ortho_iparams=None, ortho_fparams=None, ortho_bparams=None,
):  # fmt: skip
    """The ``k`` largest (or smallest) eigenvalues of a symmetric matrix and their vectors.

    The whole decomposition is computed, to full precision: what tells the iteration where to start and when to stop
    (``X``, ``iK``, ``niter``, ``tol``, ``method`` and the ``ortho`` parameters) has no effect on the result.

    Args:
        A: ``(..., m, m)``, symmetric.
        k: how many; default: the columns of ``X``, or 1.
        B: positive definite, for ``A x = e B x``.
        largest: False gives the smallest.

    Raises:
        ValueError: more than a third of the eigenvalues is asked for.
        NotImplementedError: a ``tracker``: there are no iterations to follow.

    Example:
        >>> import rushlight as torch
        >>> torch.lobpcg(torch.diag(torch.tensor([1.0, 4.0, 2.0])))[0]
        tensor([4.])
    """
    if A.dim() < 2 or A.shape[-1] != A.shape[-2]:
        raise AssertionError(f"A must be square, got shape {A.shape}")
    if tracker is not None:
        raise not_supported("lobpcg(tracker=...)", "Nothing is iterated: leave it out.")
    count = (1 if X is None else X.shape[-1]) if k is None else k
    rows = A.shape[-1]
    if rows < 3 * count:
        raise ValueError(
            f"LOBPCG algorithm is not applicable when the number of A rows (={rows}) is smaller than 3 x the number of "
            f"requested eigenpairs (={count})"
        )
    matrix, factor = A, None
    if B is not None:
        factor = cholesky(B)
        half = solve_triangular(factor, A, upper=False)
        matrix = solve_triangular(factor, half.transpose(-2, -1), upper=False)
    values, vectors = eigh((matrix + matrix.transpose(-2, -1)) / 2)
    if factor is not None:
        vectors = solve_triangular(factor.transpose(-2, -1), vectors, upper=True)
    if largest is None or largest:
        return values[..., -count:].flip(-1), vectors[..., -count:].flip(-1)
    return values[..., :count], vectors[..., :count]


__all__ = [
    "batch_norm_update_stats", "cond", "convolution", "from_file", "lobpcg", "native_dropout", "while_loop",
]  # fmt: skip
