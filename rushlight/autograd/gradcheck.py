"""Owns ``gradcheck`` and ``gradgradcheck``: recorded gradients against differences of function values.

May import ``backward`` and ``grad``, the modes and the operators.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .._errors import not_supported
from .._graph.modes import enable_grad, no_grad
from .._tensor.tensor import Tensor
from ..ops import creation


class GradcheckError(RuntimeError):
    """The recorded gradients are wrong."""


def _differentiable(values: tuple) -> list[int]:
    return [i for i, v in enumerate(values) if isinstance(v, Tensor) and v.requires_grad]


def _outputs(func: Callable, inputs: tuple) -> list[Tensor]:
    out = func(*inputs)
    out = list(out) if isinstance(out, (tuple, list)) else [out]
    return [o for o in out if isinstance(o, Tensor) and o.dtype.category >= 2]


def _host(tensor: Tensor) -> np.ndarray:
    return np.array(tensor.detach().cpu().numpy())


def _nudged(inputs: tuple, index: int, eps: float) -> Iterator[tuple[int, complex, Callable]]:
    """For every element of an input, and for complex ones each of its two directions: how to step along it."""
    tensor = inputs[index]
    base = _host(tensor)
    directions = (1.0, 1j) if tensor.is_complex() else (1.0,)
    for flat in range(base.size):
        for direction in directions:

            def step(sign: float, flat=flat, direction=direction) -> tuple:
                moved = base.copy()
                moved.reshape(-1)[flat] += sign * eps * direction
                new = creation.tensor(moved, dtype=tensor.dtype, device=tensor.device)
                return (*inputs[:index], new, *inputs[index + 1 :])

            yield flat, direction, step


def _numerical(func: Callable, inputs: tuple, index: int, count: int, eps: float) -> list[np.ndarray]:
    """For each output, the derivative along each direction of the input: rows directions, columns output elements."""
    rows: list[list] = [[] for _ in range(count)]
    with no_grad():
        for _, _, step in _nudged(inputs, index, eps):
            after, before = _outputs(func, step(1.0)), _outputs(func, step(-1.0))
            for row, a, b in zip(rows, after, before):
                row.append((_host(a).reshape(-1) - _host(b).reshape(-1)) / (2 * eps))
    return [np.array(row) for row in rows]


def _analytical(func: Callable, inputs: tuple, index: int, number: int) -> tuple[np.ndarray, list]:
    """As ``_numerical`` for one output, from the tape; and the gradients, to compare a second run with."""
    from . import grad

    tensor = inputs[index]
    with enable_grad():
        out = _outputs(func, inputs)[number]
    size, complex_in, complex_out = out.numel(), tensor.is_complex(), out.is_complex()
    columns = []
    if not out.requires_grad:
        columns = [np.zeros(tensor.numel() * (2 if complex_in else 1), complex if complex_out else float)] * size
        return np.array(columns).T.reshape(-1, size), []
    for flat in range(size):
        column: Any = 0
        # torch's gradient with cotangent v is conj(dL/dz) for L = Re(conj(v) y); the two give the real and imaginary
        # parts of the derivative of y.
        for factor, cotangent in ((1, 1.0), (1j, 1j)) if complex_out else ((1, 1.0),):
            seed = np.zeros(tuple(out.shape), _host(out).dtype)
            seed.reshape(-1)[flat] = cotangent
            (found,) = grad(out, tensor, creation.tensor(seed, device=out.device), retain_graph=True, allow_unused=True)
            flat_grad = np.zeros(tensor.numel(), _host(tensor).dtype) if found is None else _host(found).reshape(-1)
            along = np.stack([np.real(flat_grad), np.imag(flat_grad)], 1).reshape(-1) if complex_in else flat_grad
            column = column + factor * along
        columns.append(column)
    return np.array(columns).T.reshape(-1, size), columns


def _forwards(func: Callable, inputs: tuple, index: int, count: int) -> list[np.ndarray]:
    """As ``_numerical``, from tangents."""
    from .forward_ad import dual_level, make_dual, unpack_dual

    rows: list[list] = [[] for _ in range(count)]
    tensor = inputs[index].detach()
    for flat in range(tensor.numel()):
        for direction in (1.0, 1j) if tensor.is_complex() else (1.0,):
            seed = np.zeros(tuple(tensor.shape), _host(tensor).dtype)
            seed.reshape(-1)[flat] = direction
            with dual_level():
                dual = make_dual(tensor, creation.tensor(seed, device=tensor.device))
                for row, out in zip(rows, _outputs(func, (*inputs[:index], dual, *inputs[index + 1 :]))):
                    tangent = unpack_dual(out).tangent
                    row.append(_host(creation.zeros_like(out) if tangent is None else tangent).reshape(-1))
    return [np.array(row) for row in rows]


def _check_forwards(func: Callable, inputs: tuple, eps: float, atol: float, rtol: float) -> None:
    with enable_grad():
        count = len(_outputs(func, inputs))
    for i in _differentiable(inputs):
        pairs = zip(_forwards(func, inputs, i, count), _numerical(func, inputs, i, count, eps))
        for o, (forwards, wanted) in enumerate(pairs):
            if not np.allclose(forwards, wanted, rtol=rtol, atol=atol, equal_nan=True):
                raise GradcheckError(
                    f"Jacobian computed with forward mode mismatch for output {o} with respect to input {i},\n"
                    f"numerical:{wanted}\nanalytical:{forwards}\n"
                )


def _check(func: Callable, inputs: tuple, eps: float, atol: float, rtol: float, nondet_tol: float) -> None:
    where = _differentiable(inputs)
    if not where:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of them have requires_grad=True."
        )
    for i in where:
        if inputs[i].dtype.name not in ("float64", "complex128"):
            warnings.warn(
                f"Input #{i} requires gradient and is not a double precision floating point or complex. This check "
                "will likely fail if all the inputs are not of double precision floating point or complex.",
                stacklevel=3,
            )
    with enable_grad():
        outputs = _outputs(func, inputs)
    for i in where:
        numerical = _numerical(func, inputs, i, len(outputs), eps)
        for o in range(len(outputs)):
            analytical, first = _analytical(func, inputs, i, o)
            again = _analytical(func, inputs, i, o)[1]
            if any(np.abs(a - b).max(initial=0) > nondet_tol for a, b in zip(first, again)):
                raise GradcheckError(
                    "Backward is not reentrant, i.e., running backward with same input and grad_output multiple times "
                    f"gives different values, although analytical gradient matches numerical gradient. The tolerance "
                    f"for nondeterminism was {nondet_tol}."
                )
            wanted = numerical[o].reshape(analytical.shape)
            if not np.allclose(analytical, wanted, rtol=rtol, atol=atol, equal_nan=True):
                raise GradcheckError(
                    f"Jacobian mismatch for output {o} with respect to input {i},\nnumerical:{wanted}\n"
                    f"analytical:{analytical}\n"
                )


def gradcheck(
    func: Callable, inputs: Any, *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3,
    raise_exception: bool = True, nondet_tol: float = 0.0, check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False, check_batched_grad: bool = False, check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False, check_backward_ad: bool = True, fast_mode: bool = False,
) -> bool:  # fmt: skip
    """Compare the gradients on the tape with differences of function values.

    Every element of every Jacobian is compared, with ``fast_mode`` too.

    Args:
        func: takes the inputs, gives a tensor or a tuple of them.
        inputs: tensors (those that require grad are checked; use float64) and other values.
        eps: the step of the differences.
        atol, rtol: how far the two may differ.
        raise_exception: raise, or return False.
        nondet_tol: how far two runs of backward may differ.
        check_undefined_grad: also run backward with some gradients missing.
        check_grad_dtypes: gradients have the dtype of their input; always so here.
        check_batched_grad, check_batched_forward_grad: not supported.
        check_forward_ad, check_backward_ad: which derivatives to compare.
        fast_mode: accepted; the full comparison finds whatever the fast one does.

    Returns:
        bool: whether they agree.

    Raises:
        GradcheckError: they do not.
        ValueError: no input requires grad.
        NotImplementedError: an option that is not supported.

    Example:
        >>> import rushlight as torch
        >>> x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
        >>> torch.autograd.gradcheck(lambda x: x * x, x)
        True
    """
    unsupported = {
        "check_batched_grad=True": check_batched_grad, "check_batched_forward_grad=True": check_batched_forward_grad,
    }  # fmt: skip
    for option, given in unsupported.items():
        if given:
            raise not_supported(f"gradcheck({option})", "Check one derivative at a time.")
    inputs = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    try:
        if check_forward_ad:
            _check_forwards(func, inputs, eps, atol, rtol)
        if check_backward_ad:
            _check(func, inputs, eps, atol, rtol, nondet_tol)
        if check_backward_ad and check_undefined_grad:
            _check_undefined(func, inputs)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _check_undefined(func: Callable, inputs: tuple) -> None:
    """Backward must also work where only some of the outputs have a gradient."""
    from . import grad

    where = _differentiable(inputs)
    with enable_grad():
        count = sum(o.requires_grad for o in _outputs(func, inputs))
        for o in range(count if count > 1 else 0):
            out = [t for t in _outputs(func, inputs) if t.requires_grad][o]
            try:
                grad(out, [inputs[i] for i in where], creation.zeros_like(out), allow_unused=True)
            except Exception as error:
                raise GradcheckError(
                    "Expected backward function to handle undefined output grads. Please look at 'Notes about "
                    "undefined output gradients' in 'tools/autograd/derivatives.yaml'"
                ) from error


def gradgradcheck(
    func: Callable, inputs: Any, grad_outputs: Any = None, *, eps: float = 1e-6, atol: float = 1e-5,
    rtol: float = 1e-3, gen_non_contig_grad_outputs: bool = False, raise_exception: bool = True,
    nondet_tol: float = 0.0, check_undefined_grad: bool = True, check_grad_dtypes: bool = False,
    check_batched_grad: bool = False, check_fwd_over_rev: bool = False, check_rev_over_rev: bool = True,
    fast_mode: bool = False,
) -> bool:  # fmt: skip
    """Compare second derivatives on the tape with differences of first ones.

    Args:
        func, inputs: as for ``gradcheck``.
        grad_outputs: the gradients of the outputs; default: random ones.
        eps, atol, rtol, raise_exception, nondet_tol, check_undefined_grad, check_grad_dtypes, check_batched_grad,
            fast_mode: as for ``gradcheck``.
        gen_non_contig_grad_outputs: accepted; arrays have no strides here.
        check_fwd_over_rev: not supported.
        check_rev_over_rev: only True.

    Returns:
        bool: whether they agree.

    Raises:
        GradcheckError: they do not.
        NotImplementedError: an option that is not supported.
    """
    from . import grad

    if check_fwd_over_rev or not check_rev_over_rev:
        raise not_supported("gradgradcheck in forward mode", "Leave check_rev_over_rev=True.")
    inputs = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    with enable_grad():
        outputs = _outputs(func, inputs)
    if grad_outputs is None:
        draw = np.random.default_rng(0)
        made = []
        for out in outputs:
            host = draw.standard_normal(tuple(out.shape))
            if out.is_complex():
                host = host + 1j * draw.standard_normal(tuple(out.shape))
            made.append(creation.tensor(host, dtype=out.dtype, device=out.device).requires_grad_())
        grad_outputs = tuple(made)
    else:
        grad_outputs = tuple(grad_outputs) if isinstance(grad_outputs, (tuple, list)) else (grad_outputs,)
    count = len(grad_outputs)

    def first(*args: Any) -> tuple:
        given, cotangents = args[:-count], args[-count:]
        given = tuple(
            a.detach().requires_grad_() if i in where and not a.requires_grad else a for i, a in enumerate(given)
        )
        with enable_grad():
            outs = _outputs(func, given)
            return grad(outs, [given[i] for i in where], cotangents, create_graph=True, materialize_grads=True)

    where = _differentiable(inputs)
    return gradcheck(
        first, (*inputs, *grad_outputs), eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception,
        nondet_tol=nondet_tol, check_undefined_grad=check_undefined_grad, check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad, fast_mode=fast_mode,
    )  # fmt: skip


__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]
