"""Owns ``torch.library``: operators that programs define in Python, with their kernels and derivatives.

May import autograd, the operators and _errors.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from . import dtypes
from ._errors import missing_name, not_supported
from ._graph.modes import no_grad, state
from ._tensor.tensor import Tensor
from .autograd.function import Function
from .ops._custom import CustomOperator, OpOverload, caller, find
from .ops.nn_grouped import grouped_mm

_EVERYWHERE = "default"
_COMPOSITE = "CompositeImplicitAutograd"
_KERNEL_KEYS = {
    "": _EVERYWHERE,
    "CompositeExplicitAutograd": _EVERYWHERE,
    _COMPOSITE: _EVERYWHERE,
    "CPU": "cpu",
    "CUDA": "cuda",
    "XPU": "xpu",
    "MPS": "mps",
}


def _grouped(input: Tensor, weight: Tensor, offs: Tensor) -> Tensor | None:
    return None if input.dtype is dtypes.float64 else grouped_mm(input, weight, offs=offs.to(dtypes.int32))


# Operators of public packages that walk through values, which a program does not have, and what computes the same.
_TRACED: dict[str, Callable] = {"transformers::grouped_mm_fallback": _grouped}


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += _tensors(value)
    return found


def _kernel(operator: CustomOperator, tensors: list[Tensor]) -> Callable:
    """What computes the operator for tensors where they are.

    Raises:
        NotImplementedError: there is no such kernel.
    """
    device = tensors[0].device.type if tensors else "cpu"
    kernel = operator.kernels.get(device) or operator.kernels.get(_EVERYWHERE)
    if kernel is None:
        raise NotImplementedError(
            f"Could not run '{operator.qualname}' with arguments on '{device}': expected a kernel for that device, "
            f"received {sorted(operator.kernels) or 'none'}. Register one with torch.library.register_kernel."
        )
    return kernel


class _Recorded(Function):
    """One call of an operator on the tape; its derivative is what the program registered."""

    @staticmethod
    def forward(ctx: Any, operator: CustomOperator, kernel: Callable, names: tuple, *values: Any) -> Any:
        count = len(values) - len(names)
        output = kernel(*values[:count], **dict(zip(names, values[count:], strict=True)))
        ctx.operator, ctx.count = operator, len(values)
        if operator.backward is not None and operator.setup_context is not None:
            options = dict(zip(names, values[count:], strict=True))
            operator.setup_context(ctx=ctx, inputs=_in_order(operator, kernel, values[:count], options), output=output)
        return output

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        operator = ctx.operator
        if operator.backward is None:
            raise RuntimeError(
                f"Trying to backward through {operator.qualname}.default but no autograd formula was registered. "
                "Please use torch.library.register_autograd to add one."
            )
        found = operator.backward(ctx, *grads)
        found = found if isinstance(found, tuple) else (found,)
        return (None, None, None, *found[: ctx.count], *(None,) * (ctx.count - len(found)))


def _in_order(operator: CustomOperator, kernel: Callable, args: Sequence[Any], options: dict[str, Any]) -> tuple:
    """All arguments in the order of the signature, with those that were left out."""
    try:
        bound = inspect.signature(operator.function or kernel).bind(*args, **options)
    except (TypeError, ValueError):
        return (*args, *options.values())
    bound.apply_defaults()
    return tuple(bound.arguments.values())


def _call(operator: CustomOperator, *args: Any, **kwargs: Any) -> Any:
    if state.trace is not None and operator.qualname in _TRACED:
        result = _TRACED[operator.qualname](*args, **kwargs)
        if result is not None:
            return result
    tensors = _tensors((*args, *kwargs.values()))
    kernel = _kernel(operator, tensors)
    if operator.composite:
        return kernel(*args, **kwargs)
    if operator.mutates or not any(tensor.requires_grad for tensor in tensors):
        with no_grad():
            return kernel(*args, **kwargs)
    if any(isinstance(value, list | tuple) and _tensors(value) for value in (*args, *kwargs.values())):
        raise not_supported(f"A derivative of {operator.qualname} with a list of tensors", "Pass tensors one by one.")
    return _Recorded.apply(operator, kernel, tuple(kwargs), *args, *kwargs.values())


caller[:] = [_call]


class CustomOpDef:
    """What ``custom_op`` gives: a function, with methods that add kernels and derivatives.

    Args:
        operator: which operator.
    """

    def __init__(self, operator: CustomOperator):
        self._operator = operator
        self._opoverload = OpOverload(operator, _call)
        self._qualname = operator.qualname
        self.__name__ = operator.name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _call(self._operator, *args, **kwargs)

    def __repr__(self) -> str:
        return f"<CustomOpDef({self._qualname})>"

    def register_kernel(self, device_types: Any, fn: Callable | None = None, /) -> Callable:
        """``torch.library.register_kernel`` for this operator."""
        return register_kernel(self._qualname, device_types, fn)

    def register_fake(self, fn: Callable, /) -> Callable:
        """``torch.library.register_fake`` for this operator."""
        return register_fake(self._qualname, fn)

    def register_autograd(self, backward: Callable, /, *, setup_context: Callable | None = None) -> None:
        """``torch.library.register_autograd`` for this operator."""
        register_autograd(self._qualname, backward, setup_context=setup_context)


def custom_op(
    name: str, fn: Callable | None = None, /, *, mutates_args: Any = (), device_types: Any = None,
    schema: str | None = None, tags: Any = None,
) -> Any:  # fmt: skip
    """Make an operator of a Python function; ``torch.ops`` offers it too.

    Args:
        name: ``"namespace::name"``.
        fn: the function; None makes this a decorator.
        mutates_args: the arguments it changes in place; such an operator has no derivative.
        device_types: the devices it is for; default: all.
        schema: its signature in PyTorch's notation; the function's own says the same.
        tags: accepted: they steer PyTorch's compiler.

    Raises:
        ValueError: the name has no namespace.

    Example:
        >>> import rushlight as torch
        >>> @torch.library.custom_op("docs::double", mutates_args=())
        ... def double(x: torch.Tensor) -> torch.Tensor:
        ...     return 2 * x
        >>> torch.ops.docs.double(torch.ones(2))
        tensor([2., 2.])
    """

    def define_it(function: Callable) -> CustomOpDef:
        operator = find(name)
        operator.schema = schema or str(inspect.signature(function))
        operator.function = function
        operator.mutates = bool(mutates_args)
        operator.composite = False
        operator.backward = operator.setup_context = None
        operator.kernels.clear()
        register_kernel(name, device_types, function)
        return CustomOpDef(operator)

    return define_it if fn is None else define_it(fn)


def register_kernel(op: Any, device_types: Any, func: Callable | None = None, /, *, lib: Any = None) -> Callable:
    """Say what computes an operator on some devices.

    Args:
        op: the operator, or its name.
        device_types: one device type, several, or None for all.
        func: the function; None makes this a decorator.
        lib: accepted: how long the registration lasts in PyTorch.
    """
    types = [device_types] if device_types is None or isinstance(device_types, str) else list(device_types)

    def register(function: Callable) -> Callable:
        operator = _known(op)
        for kind in types:
            if not operator.fixed:
                operator.kernels[_EVERYWHERE if kind in (None, "default") else kind] = function
        return function

    return register if func is None else register(func)


def register_fake(op: Any, func: Callable | None = None, /, *, lib: Any = None, _stacklevel: int = 1,
                  allow_override: bool = False) -> Callable:  # fmt: skip
    """Accepted: how PyTorch learns the shape of an operator's output; here the kernel itself is traced.

    Args:
        op: the operator, or its name; it need not be defined.
        func: the function; None makes this a decorator.
        lib: accepted: how long the registration lasts in PyTorch.
    """

    def register(function: Callable) -> Callable:
        _known(op).fake = function
        return function

    return register if func is None else register(func)


def register_autograd(
    op: Any, backward: Callable, /, *, setup_context: Callable | None = None, lib: Any = None
) -> None:
    """Say how gradients pass through an operator.

    Args:
        op: the operator, or its name.
        backward: called with a context and the gradients of the outputs; gives one for each input.
        setup_context: called with ``ctx``, ``inputs`` and ``output`` to keep what ``backward`` needs.
        lib: accepted: how long the registration lasts in PyTorch.

    Example:
        >>> import rushlight as torch
        >>> square = torch.library.custom_op("docs::square", lambda x: x * x, mutates_args=())
        >>> torch.library.register_autograd(
        ...     "docs::square",
        ...     lambda ctx, grad: 2 * ctx.saved_tensors[0] * grad,
        ...     setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
        ... )
        >>> x = torch.tensor([3.0], requires_grad=True)
        >>> square(x).backward()
        >>> x.grad
        tensor([6.])
    """
    operator = _known(op)
    if operator.fixed:
        return
    operator.backward, operator.setup_context = backward, setup_context
    operator.composite = False


def _known(op: Any) -> CustomOperator:
    if isinstance(op, CustomOpDef | OpOverload):
        return op._operator
    return find(op)


def define(qualname: str, schema: str, *, lib: Any = None, tags: Any = ()) -> None:
    """Make an operator without a kernel.

    Args:
        qualname: ``"namespace::name"``.
        schema: its signature in PyTorch's notation, such as ``"(Tensor x) -> Tensor"``.
        lib, tags: accepted: they matter to PyTorch's dispatcher.
    """
    operator = find(qualname)
    operator.schema = schema
    operator.mutates = "!)" in schema


def impl(qualname: str, types: Any, func: Callable | None = None, *, lib: Any = None) -> Callable:
    """Say what computes an operator; ``types`` are device types, or ``"default"`` for all."""
    return register_kernel(qualname, types, func)


class Library:
    """A namespace of operators, filled by ``define`` and ``impl``.

    Args:
        ns: the namespace.
        kind: ``"DEF"``, ``"FRAGMENT"`` or ``"IMPL"``.
        dispatch_key: where ``impl`` registers kernels unless it says otherwise.

    Raises:
        ValueError: another kind.
    """

    def __init__(self, ns: str, kind: str, dispatch_key: str = ""):
        if kind not in ("DEF", "FRAGMENT", "IMPL"):
            raise ValueError(f"Unsupported kind: expected 'DEF', 'FRAGMENT' or 'IMPL', received {kind!r}")
        self.ns = ns
        self.kind = kind
        self.dispatch_key = dispatch_key

    def define(self, schema: str, alias_analysis: str = "", *, tags: Any = ()) -> str:
        """Make an operator without a kernel; gives its name.

        Args:
            schema: such as ``"scale(Tensor x, float by) -> Tensor"``.
            alias_analysis, tags: accepted: they matter to PyTorch's compiler.
        """
        name, _, rest = schema.partition("(")
        define(f"{self.ns}::{name.strip()}", "(" + rest)
        return name.strip()

    def impl(self, op_name: Any, fn: Callable, dispatch_key: str = "", *, with_keyset: bool = False,
             allow_override: bool = False) -> None:  # fmt: skip
        """Say what computes an operator.

        Args:
            op_name: its name in this namespace, or the operator.
            fn: the function.
            dispatch_key: where; ``"Meta"`` is accepted, since shapes come from tracing the kernel.

        Raises:
            NotImplementedError: a key of PyTorch's dispatcher that is not a device.
        """
        key = dispatch_key or self.dispatch_key
        operator = _known(op_name) if not isinstance(op_name, str) else find(f"{self.ns}::{op_name.split('::')[-1]}")
        if key == "Meta" or operator.fixed:
            operator.fake = fn
        elif key in _KERNEL_KEYS and not with_keyset:
            operator.kernels[_KERNEL_KEYS[key]] = fn
            operator.composite = key in ("", _COMPOSITE)
        else:
            raise not_supported(
                f"torch.library.Library.impl(dispatch_key={key!r})",
                "Register kernels for devices, and derivatives with torch.library.register_autograd.",
            )


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = [
    "CustomOpDef", "Library", "custom_op", "define", "impl", "register_autograd", "register_fake", "register_kernel",
]  # fmt: skip
