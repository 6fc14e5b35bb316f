"""Owns ``autograd.Function``: operators whose derivative the user writes, and the context that they share.

May import the tape, the tensor cell and the operators.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any

from .._errors import type_name
from .._graph.engine import Values
from .._graph.modes import no_grad, state
from .._graph.node import Node
from .._tensor.program import _FREED
from .._tensor.tensor import Tensor
from ..func._custom import VmapInfo, by_rule, mark
from ..ops import creation

_TWICE = "trying to differentiate twice a function that was marked with @once_differentiable"
_LEAF = "a leaf Variable that requires grad has been used in an in-place operation."
_VIEW = (
    "Output {} of {} is a view and is being modified inplace. This view was created inside a custom Function (or "
    "because an input was returned as-is) and the autograd logic to handle view+inplace would override the custom "
    "backward associated with the custom Function, leading to incorrect gradients. This behavior is forbidden. You can "
    "fix this by cloning the output of the custom Function."
)


class FunctionCtx:
    """What ``forward`` tells ``backward``; the ``ctx`` of both, on which any attribute can be set too."""

    _to_save: tuple = ()
    _for_forward: tuple | None = None
    _forwards = False
    _batched: Any = ()
    _dirty: tuple = ()
    _non_differentiable: tuple = ()
    _materialize = True

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for ``ctx.saved_tensors``.

        Raises:
            TypeError: something else than a tensor or None (reported when ``forward`` is done).
        """
        self._to_save = tensors

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for ``ctx.saved_tensors`` in ``jvp``."""
        for i, tensor in enumerate(tensors):
            if tensor is not None and not isinstance(tensor, Tensor):
                raise TypeError(
                    f"save_for_forward can only save variables, but argument {i} is of type {type_name(tensor)}"
                )
        self._for_forward = tensors

    def mark_dirty(self, *args: Tensor) -> None:
        """Name the inputs that ``forward`` changed in place; it must return them."""
        self._dirty = args

    def mark_non_differentiable(self, *args: Tensor) -> None:
        """Name the outputs that have no gradient."""
        self._non_differentiable = args

    def set_materialize_grads(self, value: bool) -> None:
        """Whether ``backward`` sees zeros (True) or None where no gradient came."""
        self._materialize = bool(value)


class BackwardCFunction(FunctionCtx, Node):
    """The step of a custom function on the tape; it is its own ``ctx``."""

    _forward_cls: type[Function]
    needs_input_grad: tuple[bool, ...]
    _saved: list[tuple] | None = None
    _shapes: list[tuple]
    _inputs: list[tuple | None]

    def name(self) -> str:
        """``"MyFunctionBackward"``."""
        return type(self).__name__

    @property
    def saved_tensors(self) -> tuple:
        """What was given to ``save_for_backward``.

        Raises:
            RuntimeError: they are freed already.
        """
        if self._forwards and self._for_forward is not None:
            return self._for_forward
        if self._saved is None:
            if self._to_save:
                return self._to_save
            raise RuntimeError(_FREED)
        return tuple([_restore(*record) for record in self._saved])

    saved_variables = saved_tensors

    def _keep(self, outputs: list) -> None:
        """Freeze what is to be saved, as it is now: later in-place changes do not reach it."""
        kept = []
        where = {id(out): i for i, out in enumerate(outputs)}
        for i, tensor in enumerate(self._to_save):
            if tensor is None:
                kept.append((None, None, 0, None, None, None))
                continue
            if not isinstance(tensor, Tensor):
                raise TypeError(
                    f"save_for_backward can only save variables, but argument {i} is of type {type_name(tensor)}"
                )
            cell = tensor._storage
            if id(tensor) in where:
                # The output refers to this node; to keep it here as well would be a cycle.
                edge = (self, where[id(tensor)]) if tensor._node is self else None
                kept.append((None, None, 0, tensor._array(), edge, cell.device))
            else:
                kept.append((tensor, cell, cell.version, tensor._array(), tensor._edge(), cell.device))
        self._saved, self._to_save = kept, ()

    def release(self) -> None:
        """Forget what was saved."""
        if self._saved:
            self._saved = None

    @property
    def freed(self) -> bool:
        """Whether what was saved has been forgotten."""
        return self._saved is None

    def run(self, grads: list, create_graph: bool) -> list:
        """Call the user's ``backward`` and check what it returns."""
        cls = self._forward_cls
        given = []
        for grad, (shape, dtype, device) in zip(grads, self._shapes):
            if grad is None:
                given.append(creation.zeros(shape, dtype=dtype, device=device) if self._materialize else None)
            else:
                given.append(grad if create_graph else Values.wrap(grad))
        results = cls._derivative()(self, *given)
        checked = self._check(results if isinstance(results, tuple) else (results,))
        return [g if g is None or create_graph else g._array() for g in checked]

    def _check(self, results: tuple) -> list:
        expected, name = len(self.edges), type(self).__name__  # users put a ``name`` of their own on ``ctx``
        if len(results) > expected and all(g is None for g in results[expected:]):
            results = results[:expected]
        if len(results) != expected:
            raise RuntimeError(
                f"function {name} returned an incorrect number of gradients (expected {expected}, got {len(results)})"
            )
        checked: list = []
        for i, (grad, want, meta) in enumerate(zip(results, self.edges, self._inputs)):
            if grad is not None and not isinstance(grad, Tensor):
                raise RuntimeError(f"expected Variable or None (got {type_name(grad)})")
            if grad is not None and meta is None:
                raise RuntimeError(
                    f"function {name} returned a gradient different than None at position {i + 1}, but the "
                    "corresponding forward input was not a Variable"
                )
            checked.append(None if grad is None or want is None or meta is None else _fit(grad, meta, i, name))
        return checked


def _fit(grad: Tensor, meta: tuple, index: int, name: str) -> Tensor:
    """A gradient in the shape and dtype of the input."""
    shape, dtype = meta
    if tuple(grad.shape) != tuple(shape):
        lead = grad.dim() - len(shape)
        if lead < 0 or any(a not in (1, b) for a, b in zip(shape, grad.shape[lead:])):
            raise RuntimeError(
                f"Function {name} returned an invalid gradient at index {index} - got {list(grad.shape)} but expected "
                f"shape compatible with {list(shape)}"
            )
        spread = [*range(lead), *(lead + i for i, n in enumerate(shape) if n == 1 and grad.shape[lead + i] != 1)]
        grad = grad.sum(dim=spread, keepdim=True).reshape(tuple(shape))
    if grad.dtype is not dtype:
        grad = (grad.real if grad.is_complex() and not dtype.is_complex else grad).to(dtype)
    return grad


def _restore(tensor, cell, version, array, edge, device):
    if array is None:
        return None
    if tensor is not None and tensor._storage is cell and cell.version == version:
        return tensor
    if edge is not None and edge[1] is None:
        return Values.saved(array, edge)
    out = Tensor._of(array, device)
    if edge is not None:
        out._node, out._index = edge
        out._requires_grad = True
    return out


class Function:
    """An operator with a hand-written derivative: subclass it, and call ``apply``.

    Define ``forward(ctx, ...)`` and ``backward(ctx, *grads)`` as static methods; or ``forward(...)`` with
    ``setup_context(ctx, inputs, output)``.

    Example:
        >>> import rushlight as torch
        >>> class Double(torch.autograd.Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         return x * 2
        ...     @staticmethod
        ...     def backward(ctx, grad):
        ...         return grad * 2
        >>> x = torch.ones(2, requires_grad=True)
        >>> Double.apply(x).sum().backward()
        >>> x.grad
        tensor([2., 2.])
    """

    _backward_cls: type[BackwardCFunction]
    generate_vmap_rule = False

    def __init__(self, *args: Any, **kwargs: Any):
        warnings.warn(
            f"{type(self)} should not be instantiated. Methods on autograd functions are all static, so you should "
            "invoke them on the class itself. Instantiating an autograd function will raise an error in a future "
            "version of PyTorch.",
            DeprecationWarning,
            stacklevel=2,
        )

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        space = {"_forward_cls": cls, "__module__": BackwardCFunction.__module__}
        cls._backward_cls = type(cls.__name__ + "Backward", (BackwardCFunction,), space)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is deprecated. Please use new-style autograd "
            "function with static forward method. (Example: "
            "https://pytorch.org/docs/stable/autograd.html#torch.autograd.Function)"
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the outputs; nothing is recorded inside."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Any) -> Any:
        """Fill ``ctx`` where ``forward`` takes none."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The gradient of every input of ``forward`` (None for what is no tensor)."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with "
            "backward mode AD."
        )

    vjp = backward

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """The tangent of every output, from those of the inputs; for ``autograd.forward_ad``."""
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with forward mode AD."
        )

    @staticmethod
    def vmap(info: VmapInfo, in_dims: tuple, *args: Any) -> Any:
        """Compute a whole batch: a pair of the outputs and their batch dimensions.

        Without it, ``torch.vmap`` runs ``forward`` for one example, whether ``generate_vmap_rule`` is set or not.
        """
        raise NotImplementedError(
            "To use autograd.Function with vmap, you must either override the vmap staticmethod or set "
            "generate_vmap_rule=True."
        )

    @classmethod
    def _derivative(cls) -> Callable:
        own, other = cls.backward is not Function.backward, cls.vjp is not Function.vjp
        if own and other:
            raise RuntimeError(
                "Implementing both 'backward' and 'vjp' for a custom Function is not allowed. You should only "
                "implement one of them."
            )
        return cls.vjp if other else cls.backward

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run the function and record it.

        Args:
            args: what ``forward`` takes.

        Returns:
            what ``forward`` returns; its tensors carry the recorded step.

        Raises:
            RuntimeError: a leaf that requires grad was marked dirty.
            TypeError: keyword arguments where ``forward`` takes a ``ctx``.
        """
        apart = cls.setup_context is not Function.setup_context
        if apart:
            bound = inspect.signature(cls.forward).bind(*args, **kwargs)
            bound.apply_defaults()
            args, kwargs = bound.args, bound.kwargs
        elif kwargs:
            raise TypeError(f"{cls.__name__}.apply() takes no keyword arguments; received {', '.join(kwargs)}")
        if state.vmap is not None and cls.vmap is not Function.vmap:
            return by_rule(cls, args)
        edges = [a._edge() if isinstance(a, Tensor) else None for a in args]
        track = state.grad and any(edge is not None for edge in edges)
        node = cls._backward_cls(edges if track else [None] * len(edges))
        node.needs_input_grad = tuple([edge is not None for edge in edges])
        node._inputs = [(a._array().shape, a.dtype) if isinstance(a, Tensor) else None for a in args]
        if state.vmap is not None:
            mark(node, args)
        level: Any = state.dual
        state.dual = None
        try:
            result = cls._run(node, apart, args, kwargs)
            outputs = list(result) if isinstance(result, tuple) else [result]
            given = [level.get(a) if isinstance(a, Tensor) else None for a in args] if level is not None else []
            moved = cls._push(node, given, args, outputs) if any(t is not None for t in given) else None
            _record(node, args, outputs, track)
        finally:
            state.dual = level
        if moved is not None and level is not None:
            for out, tangent in zip(outputs, moved):
                if tangent is not None:
                    level.put(out, tangent)
        return tuple(outputs) if isinstance(result, tuple) else outputs[0]

    @classmethod
    def _run(cls, node: BackwardCFunction, apart: bool, args: tuple, kwargs: dict) -> Any:
        """Call ``forward``; nothing in it is recorded."""
        with no_grad():
            if apart:
                result = cls.forward(*args, **kwargs)
                cls.setup_context(node, args, result)
            else:
                result = cls.forward(node, *args)
        return result

    @classmethod
    def _push(cls, node: BackwardCFunction, given: list, args: tuple, outputs: list) -> tuple:
        """Call ``jvp``.

        Raises:
            RuntimeError: another number of tangents than of outputs, or one of another shape.
        """
        if node._materialize:
            given = [
                creation.zeros_like(a) if t is None and isinstance(a, Tensor) and a.dtype.category >= 2 else t
                for t, a in zip(given, args)
            ]
        node._forwards = True
        try:
            moved = cls.jvp(node, *given)
        finally:
            node._forwards = False
        moved = moved if isinstance(moved, tuple) else (moved,)
        if len(moved) != len(outputs):
            raise RuntimeError(
                f"{cls.__name__}.jvp: expected a tangent (or None) for each of {len(outputs)} outputs, received "
                f"{len(moved)}."
            )
        for i, (tangent, out) in enumerate(zip(moved, outputs)):
            if tangent is not None and tuple(tangent.shape) != tuple(out.shape):
                raise RuntimeError(
                    f"{cls.__name__}.jvp: expected a tangent of shape {list(out.shape)} for output {i}, received "
                    f"{list(tangent.shape)}."
                )
        return moved


def _record(node: BackwardCFunction, args: tuple, outputs: list, track: bool) -> None:
    """Tie the outputs to the step that made them; replaces those that need a tensor of their own."""
    inputs = {id(a) for a in args if isinstance(a, Tensor)}
    dirty = {id(t) for t in node._dirty}
    fixed = {id(t) for t in node._non_differentiable}
    for t in node._dirty:
        if track and t._requires_grad and t._node is None:
            raise RuntimeError(_LEAF)
    node.outputs = len(outputs)
    node._shapes = [((), None, None)] * len(outputs)
    originals = list(outputs)
    for i, out in enumerate(originals):
        if not isinstance(out, Tensor):
            continue
        node._shapes[i] = (tuple(out._array().shape), out.dtype, out.device)
        differentiable = track and id(out) not in fixed and out.dtype.category >= 2
        if id(out) in dirty:
            if differentiable:
                out._node, out._index, out._requires_grad = node, i, True
                out._history += 1
            continue
        returned = id(out) in inputs
        if returned or out._base is not None or out._node is not None or out._requires_grad:
            # An input, or a view, or something with a history: the result is another tensor over the same memory.
            out = outputs[i] = Tensor._alias(out)
        if differentiable:
            out._node, out._index, out._requires_grad = node, i, True
            if returned:
                out.__dict__["_check_in_place"] = _guard(i, type(node)._forward_cls.__name__)
    if track:
        _keep_outputs(node, originals, outputs)
    else:
        node._to_save = ()


def _keep_outputs(node: BackwardCFunction, originals: list, outputs: list) -> None:
    swap = {
        id(a): b for a, b in zip(originals, outputs) if a is not b and isinstance(a, Tensor) and a._base is not None
    }
    node._to_save = tuple([swap.get(id(t), t) for t in node._to_save])
    node._keep(outputs)


def _guard(index: int, name: str) -> Callable[[], None]:
    def refuse() -> None:
        if state.grad:
            raise RuntimeError(_VIEW.format(index, name))

    return refuse


class _Once(Node):
    """Stands behind the results of a derivative that has no derivative of its own."""

    def run(self, grads: list, create_graph: bool) -> list:
        raise RuntimeError(_TWICE)


def once_differentiable(fn: Callable) -> Callable:
    """Declare that a ``backward`` cannot be differentiated again; to try is an error then.

    Args:
        fn: the static method ``backward``.
    """

    @functools.wraps(fn)
    def wrapper(ctx: Any, *args: Any) -> Any:
        with no_grad():
            results = fn(ctx, *args)
        if not state.grad:
            return results
        edges = [a._edge() for a in args if isinstance(a, Tensor)]
        if not any(edge is not None for edge in edges):
            return results
        several = isinstance(results, tuple)
        node = _Once(edges, len(results) if several else 1)
        out = []
        for i, result in enumerate(results if several else (results,)):
            if result is not None:
                result = Tensor._alias(result)
                result._node, result._index, result._requires_grad = node, i, True
            out.append(result)
        return tuple(out) if several else out[0]

    return wrapper


__all__ = ["BackwardCFunction", "Function", "FunctionCtx", "once_differentiable"]
