"""Owns ``torch.autograd.functional``: whole Jacobians and Hessians of functions, and their products with vectors.

May import ``grad`` of this folder, func, modes and the operators.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._graph.modes import enable_grad, set_grad_enabled, state
from .._tensor.tensor import Tensor
from ..func import jacfwd, vmap
from ..ops.creation import eye, zeros_like
from ..ops.join import stack
from . import grad as _grad

_STRICT = "This is not allowed in strict mode."


def _as_tuple(value: Any, what: str, name: str) -> tuple[bool, tuple]:
    """Whether it was a tuple, and the tuple.

    Raises:
        TypeError: something else than tensors.
    """
    several = isinstance(value, tuple)
    values = value if several else (value,)
    for i, x in enumerate(values):
        if not isinstance(x, Tensor):
            where = f"the value at index {i}" if several else f"the given {what}"
            raise TypeError(
                f"The {what} given to {name} must be either a Tensor or a tuple of Tensors but {where} has type "
                f"{type(x)}."
            )
    return several, values


def _alone(values: Any, several: bool) -> Any:
    return values if several else values[0]


def _fresh(inputs: tuple, create_graph: bool, need_graph: bool) -> tuple:
    """Tensors to differentiate with respect to; connected to the inputs only where that is wanted."""
    return tuple(
        x.view_as(x) if create_graph and x.requires_grad else x.detach().requires_grad_(need_graph) for x in inputs
    )


def _plain(values: Any, create_graph: bool) -> Any:
    """Results without histories, unless they are wanted."""
    if create_graph:
        return values
    return tuple(x.detach() if isinstance(x, Tensor) else _plain(x, False) for x in values)


def _check_vector(v: tuple, other: tuple, several: bool) -> None:
    if len(other) != len(v):
        raise RuntimeError(
            f"v is a tuple of invalid length: should be {len(other)} but got {len(v)}."
            if several
            else "The given v should contain a single Tensor."
        )
    for i, (a, b) in enumerate(zip(v, other)):
        if a.size() != b.size():
            where = f"Entry {i} in " if several else ""
            raise RuntimeError(f"{where}v has invalid size: should be {b.size()} but got {a.size()}.")


def _check_depends(values: tuple, message: str, strict: bool) -> None:
    """In strict mode, everything has to have a history; ``message`` says what if not."""
    if not strict:
        return
    for i, x in enumerate(values):
        if x is None:
            raise RuntimeError(f"The output of the user-provided function is independent of input {i}. {_STRICT}")
        if not x.requires_grad:
            raise RuntimeError(message.format(i))


_OUTPUTS = (
    "Output {} of the user-provided function does not require gradients. The outputs must be computed in a "
    "differentiable manner from the input when running in strict mode."
)
_GRADIENTS = (
    "The gradient with respect to input {} is independent of the inputs of the user-provided function. " + _STRICT
)
_JACOBIAN = (
    "While computing the hessian, found that the jacobian of the user-provided function with respect to input {} is "
    "independent of the input. " + _STRICT + " You should ensure that your function is twice differentiable and that "
    "the jacobian depends on the inputs (this would be violated by a linear function for example)."
)


def _gradients(outputs: tuple, inputs: tuple, v: tuple | None = None, create_graph=False, keep=None) -> tuple:
    """Gradients, None where there is none."""
    pairs = [(o, None if v is None else v[i]) for i, o in enumerate(outputs) if o is not None and o.requires_grad]
    if not pairs:
        return (None,) * len(inputs)
    return _grad(
        [o for o, _ in pairs], inputs, [g for _, g in pairs], allow_unused=True, create_graph=create_graph,
        retain_graph=keep,
    )  # fmt: skip


_MISSING = {
    "back": "The output of the user-provided function is independent of input {}. ",
    "back_trick": (
        "The gradient with respect to the input is independent of entry {} in the grad_outputs when using the double "
        "backward trick to compute forward mode gradients. "
    ),
    "double_back": "The jacobian of the user-provided function is independent of input {}. ",
    "double_back_trick": "The hessian of the user-provided function is independent of entry {} in the grad_jacobian. ",
}


def _filled(found: tuple, like: tuple, strict: bool, create_graph: bool, stage: str) -> tuple:
    """Zeros where there is no gradient.

    Raises:
        RuntimeError: there is none, or it has no history where one is wanted, in strict mode.
    """
    out = []
    for i, (g, x) in enumerate(zip(found, like)):
        if g is None:
            if strict:
                end = _STRICT
                if stage == "double_back_trick":
                    end = (
                        _STRICT[:-1]
                        + " as it prevents from using the double backward trick to replace forward mode AD."
                    )
                raise RuntimeError(_MISSING[stage].format(i) + end)
            g = zeros_like(x)
        elif strict and create_graph and not g.requires_grad:
            what = "hessian" if "double" in stage else "jacobian"
            raise RuntimeError(
                f"The {what} of the user-provided function is independent of input {i}. This is not allowed in strict "
                "mode when create_graph=True."
            )
        out.append(g)
    return tuple(out)


def _vector(v: Any, name: str, create_graph: bool, other: tuple, several: bool, what: str) -> tuple | None:
    """The vector, checked; None stands for one where that is clear.

    Raises:
        RuntimeError: it does not fit, or is needed.
    """
    if v is not None:
        v = _fresh(_as_tuple(v, "v", name)[1], create_graph, False)
        _check_vector(v, other, several)
        return v
    if len(other) != 1 or other[0].nelement() != 1:
        raise RuntimeError(f"The vector v can only be None if the {what} a single Tensor with a single element.")
    return None


_RETURNS = "user-provided function returns"
_TAKES = "input to the user-provided function is"


def vjp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple:  # fmt: skip
    """The value of a function, and the product of a vector with its Jacobian.

    Args:
        func: takes and gives tensors.
        inputs: a tensor, or a tuple of them.
        v: like the outputs; None for a single number.
        create_graph: make the results differentiable.
        strict: refuse independent outputs.

    Raises:
        RuntimeError: a vector that does not fit; what ``strict`` refuses.

    Example:
        >>> import rushlight as torch
        >>> torch.autograd.functional.vjp(torch.sum, torch.zeros(2))
        (tensor(0.), tensor([1., 1.]))
    """
    with enable_grad():
        many_in, inputs = _as_tuple(inputs, "inputs", "vjp")
        inputs = _fresh(inputs, create_graph, True)
        many_out, outputs = _as_tuple(func(*inputs), "outputs of the user-provided function", "vjp")
        _check_depends(outputs, _OUTPUTS, strict)
        v = _vector(v, "vjp", create_graph, outputs, many_out, _RETURNS)
    with set_grad_enabled(True if create_graph else state.grad):
        found = _filled(_gradients(outputs, inputs, v, create_graph), inputs, strict, create_graph, "back")
    return _alone(_plain(outputs, create_graph), many_out), _alone(_plain(found, create_graph), many_in)


def jvp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple:  # fmt: skip
    """The value of a function, and the product of its Jacobian with a vector; ``torch.func.jvp`` is newer.

    Args:
        func: takes and gives tensors.
        inputs: a tensor, or a tuple of them.
        v: like the inputs; None for a single number.
        create_graph: make the results differentiable.
        strict: refuse independent outputs.

    Raises:
        RuntimeError: a vector that does not fit; what ``strict`` refuses.
    """
    with enable_grad():
        many_in, inputs = _as_tuple(inputs, "inputs", "jvp")
        inputs = _fresh(inputs, create_graph, True)
        v = _vector(v, "jvp", create_graph, inputs, many_in, _TAKES)
        many_out, outputs = _as_tuple(func(*inputs), "outputs of the user-provided function", "jvp")
        _check_depends(outputs, _OUTPUTS, strict)
        duals = tuple(zeros_like(o, requires_grad=True) for o in outputs)
        pulled = _gradients(outputs, inputs, duals, True)
        _check_depends(pulled, _GRADIENTS, strict)
    with set_grad_enabled(True if create_graph else state.grad):
        found = _filled(_gradients(pulled, duals, v, create_graph), outputs, strict, create_graph, "back_trick")
    return _alone(_plain(outputs, create_graph), many_out), _alone(_plain(found, create_graph), many_out)


def _check_strategy(strategy: str, hint: bool) -> None:
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError(
            'Expected strategy to be either "forward-mode" or "reverse-mode".'
            + (
                " Hint: If your function has more outputs than inputs, "
                '"forward-mode" tends to be more performant. Otherwise, prefer to use "reverse-mode".'
                if hint
                else ""
            )
        )


def _forward_jacobian(func: Callable, inputs: Any, strict: bool, vectorize: bool) -> Any:
    if strict:
        raise RuntimeError(
            'torch.autograd.functional.jacobian: `strict=True` and `strategy="forward-mode"` are not supported '
            'together (yet). Please either set `strict=False` or `strategy="reverse-mode"`.'
        )
    if not vectorize:
        raise NotImplementedError(
            "Computing Jacobian using forward-AD or forward-over-reverse Hessian isonly implemented for "
            "`vectorize=True`."
        )
    many_in, inputs = _as_tuple(inputs, "inputs", "jacobian")
    numbers = tuple(range(len(inputs))) if many_in else 0
    return jacfwd(func, numbers)(*inputs)


def jacobian(
    func: Callable, inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:  # fmt: skip
    """The Jacobian of a function: for each output and each input, a tensor of their shapes together.

    Args:
        func: takes and gives tensors.
        inputs: a tensor, or a tuple of them.
        create_graph: make the result differentiable.
        strict: refuse independent outputs.
        vectorize: all rows at once, with ``vmap``.
        strategy: ``"reverse-mode"`` (row by row) or ``"forward-mode"`` (column by column, with ``vectorize`` only).

    Raises:
        RuntimeError: what ``strict`` refuses, or options that do not go together.

    Example:
        >>> import rushlight as torch
        >>> torch.autograd.functional.jacobian(lambda x: x * x.sum(), torch.ones(2))
        tensor([[3., 1.],
                [1., 3.]])
    """
    _check_strategy(strategy, True)
    if strategy == "forward-mode":
        if create_graph:
            raise NotImplementedError(
                'torch.autograd.functional.jacobian: `create_graph=True` and `strategy="forward-mode"` are not '
                'supported together (yet). Please either set `create_graph=False` or `strategy="reverse-mode"`.'
            )
        return _forward_jacobian(func, inputs, strict, vectorize)
    with enable_grad():
        many_in, inputs = _as_tuple(inputs, "inputs", "jacobian")
        inputs = _fresh(inputs, create_graph, True)
        many_out, outputs = _as_tuple(func(*inputs), "outputs of the user-provided function", "jacobian")
        _check_depends(outputs, _OUTPUTS, strict)
        if vectorize and strict:
            raise RuntimeError(
                "torch.autograd.functional.jacobian: `strict=True` and `vectorized=True` are not supported together. "
                "Please either set `strict=False` or `vectorize=False`."
            )
        rows = _rows_at_once if vectorize else _rows_one_by_one
        blocks = []
        for i, out in enumerate(outputs):
            found = rows(i, out, inputs, create_graph, strict)
            blocks.append(_alone(tuple(g.reshape(out.size() + x.size()) for g, x in zip(found, inputs)), many_in))
        blocks = tuple(b.detach() if isinstance(b, Tensor) and not create_graph else b for b in blocks)
        blocks = tuple(b if isinstance(b, Tensor) else _plain(b, create_graph) for b in blocks)
        return _alone(blocks, many_out)


def _rows_at_once(i: int, out: Tensor, inputs: tuple, create_graph: bool, strict: bool) -> list[Tensor]:
    count = out.nelement()
    if not out.requires_grad:
        return [zeros_like(x).expand(count, *x.shape) for x in inputs]
    flat = out.reshape(-1)

    def pull(direction):
        found = _gradients((flat,), inputs, (direction,), create_graph, True)
        return tuple(zeros_like(x) if g is None else g for g, x in zip(found, inputs))

    return list(vmap(pull)(eye(count, dtype=out.dtype, device=out.device)))


def _rows_one_by_one(i: int, out: Tensor, inputs: tuple, create_graph: bool, strict: bool) -> list[Tensor]:
    columns: list[list[Tensor]] = [[] for _ in inputs]
    for element in out.reshape(-1).unbind(0) if out.nelement() else ():
        for j, (g, x) in enumerate(zip(_gradients((element,), inputs, None, create_graph, True), inputs)):
            if g is None and strict:
                raise RuntimeError(f"Output {i} of the user-provided function is independent of input {j}. {_STRICT}")
            if g is not None and strict and create_graph and not g.requires_grad:
                raise RuntimeError(
                    f"The jacobian of the user-provided function is independent of input {i}. This is not allowed in "
                    "strict mode when create_graph=True."
                )
            columns[j].append(zeros_like(x) if g is None else g)
    return [stack(column) for column in columns]


def _scalar(out: Any, name: str, strict: bool) -> Tensor:
    """The one number that a function gave.

    Raises:
        RuntimeError: it gave something else.
    """
    several, outputs = _as_tuple(out, "outputs of the user-provided function", name)
    _check_depends(outputs, _OUTPUTS, strict)
    if several:
        raise RuntimeError(f"The function given to {name} should return a single Tensor")
    if outputs[0].nelement() != 1:
        raise RuntimeError(f"The Tensor returned by the function given to {name} should contain a single element")
    return outputs[0]


def hessian(
    func: Callable, inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:  # fmt: skip
    """The second derivatives of a function that gives one number.

    Args:
        func: takes tensors, gives a tensor of one element.
        inputs: a tensor, or a tuple of them.
        create_graph: make the result differentiable.
        strict: refuse independent outputs.
        vectorize: all rows at once, with ``vmap``.
        outer_jacobian_strategy: as ``strategy`` of ``jacobian``.

    Raises:
        RuntimeError: more than one number; what ``strict`` refuses.

    Example:
        >>> import rushlight as torch
        >>> torch.autograd.functional.hessian(lambda x: (x**3).sum(), torch.ones(2))
        tensor([[6., 0.],
                [0., 6.]])
    """
    several, inputs = _as_tuple(inputs, "inputs", "hessian")
    _check_strategy(outer_jacobian_strategy, False)

    def first(*given: Tensor) -> Any:
        found = jacobian(lambda *x: _scalar(func(*x), "hessian", strict).squeeze(), given, create_graph=True)
        _check_depends(found, _JACOBIAN, strict)
        return found

    if outer_jacobian_strategy == "forward-mode":
        inputs = tuple(x.requires_grad_(True) if x.is_leaf else x for x in inputs)
    found = jacobian(
        first, inputs, create_graph=create_graph, strict=strict, vectorize=vectorize, strategy=outer_jacobian_strategy
    )
    return found if several else found[0][0]


def _second(func, inputs, v, create_graph, strict, name) -> tuple:
    """What ``vhp`` and ``hvp`` share: fresh inputs, the vector, the value and its gradient."""
    many_in, inputs = _as_tuple(inputs, "inputs", name)
    inputs = _fresh(inputs, create_graph, True)
    v = _vector(v, name, create_graph, inputs, many_in, _TAKES)
    output = _scalar(func(*inputs), name, strict)
    first = _gradients((output,), inputs, None, True)
    _check_depends(first, _JACOBIAN, strict)
    return many_in, inputs, v, output, first


def vhp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple:  # fmt: skip
    """The value of a function that gives one number, and the product of a vector with its Hessian.

    Args:
        func: takes tensors, gives a tensor of one element.
        inputs: a tensor, or a tuple of them.
        v: like the inputs; None for a single number.
        create_graph: make the results differentiable.
        strict: refuse independent outputs.

    Raises:
        RuntimeError: a vector that does not fit, more than one number; what ``strict`` refuses.
    """
    with enable_grad():
        many_in, inputs, v, output, first = _second(func, inputs, v, create_graph, strict, "vhp")
    with set_grad_enabled(True if create_graph else state.grad):
        found = _filled(_gradients(first, inputs, v, create_graph), inputs, strict, create_graph, "double_back")
    return _plain((output,), create_graph)[0], _alone(_plain(found, create_graph), many_in)


def hvp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple:  # fmt: skip
    """The value of a function that gives one number, and the product of its Hessian with a vector; see ``vhp``."""
    with enable_grad():
        many_in, inputs, v, output, first = _second(func, inputs, v, create_graph, strict, "hvp")
        duals = tuple(zeros_like(x, requires_grad=True) for x in inputs)
        pulled = _gradients(first, inputs, duals, True)
    with set_grad_enabled(True if create_graph else state.grad):
        found = _filled(_gradients(pulled, duals, v, create_graph), inputs, strict, create_graph, "double_back_trick")
    return _plain((output,), create_graph)[0], _alone(_plain(found, create_graph), many_in)


__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]
