"""Owns a module's backward hooks: the two identity nodes around a call, and the legacy hook on its last step.

May import the tape and the tensor cell.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable

import jax.numpy as jnp

from ..._graph.engine import Values
from ..._graph.modes import state
from ..._graph.node import Node
from ..._tensor.tensor import Tensor

_IN_PLACE = (
    "Output {} of BackwardHookFunction is a view and is being modified inplace. This view was created inside a custom "
    "Function (or because an input was returned as-is) and the autograd logic to handle view+inplace would override "
    "the custom backward associated with the custom Function, leading to incorrect gradients. This behavior is "
    "forbidden. You can fix this by cloning the output of the custom Function."
)
_NO_INPUTS = (
    "Full backward hook is firing when gradients are computed with respect to module outputs since no inputs require "
    "gradients. See https://docs.pytorch.org/docs/main/generated/torch.nn.Module.html"
    "#torch.nn.Module.register_full_backward_hook for more details."
)


class BackwardHookFunctionBackward(Node):
    """Passes gradients through unchanged, and shows them to ``watch`` on the way.

    ``watch(results, received)`` sees tensors (None where no gradient came) and returns what goes on.
    """

    __slots__ = ("shapes", "watch")

    def __init__(self, tensors: list[Tensor], watch: Callable):
        super().__init__([t._edge() for t in tensors], len(tensors))
        self.shapes = [(t._array().shape, t._array().dtype) for t in tensors]
        self.watch = watch

    def run(self, grads: list, create_graph: bool) -> list:
        """The gradients as they came, zeros for those that did not, after ``watch`` has seen them."""
        received = [g if g is None or create_graph else Values.wrap(g) for g in grads]
        passed = [Values.wrap(jnp.zeros(*s)) if g is None else g for g, s in zip(received, self.shapes)]
        passed = self.watch(passed, received)
        return [g if g is None or create_graph else Values.unwrap(g) for g in passed]


def _guard(index: int) -> Callable:
    def refuse() -> None:
        if state.grad:
            raise RuntimeError(_IN_PLACE.format(index))

    return refuse


def _through(values: tuple, watch: Callable) -> tuple[tuple, list[int] | None]:
    """Put an identity node under all tensors of a tuple.

    Returns:
        tuple: the tuple with the new tensors, and their positions in it; None where nothing requires a gradient.
    """
    where = [i for i, v in enumerate(values) if isinstance(v, Tensor)]
    if not state.grad or not any(values[i].requires_grad for i in where):
        return values, None
    node = BackwardHookFunctionBackward([values[i] for i in where], watch)
    out = list(values)
    for index, i in enumerate(where):
        new = out[i] = Tensor._alias(values[i])
        if values[i].requires_grad:
            new._node, new._index, new._requires_grad = node, index, True
            new.__dict__["_check_in_place"] = _guard(index)
    made = tuple(out)
    return (made if type(values) is tuple else type(values)(*made)), where


def _spread(where: list[int], values, size: int) -> tuple:
    out: list = [None] * size
    for i, value in zip(where, values):
        out[i] = value
    return tuple(out)


class BackwardHooks:
    """The full backward hooks of one call of a module.

    Args:
        module: whose call.
        hooks: called with (module, grad_input, grad_output); what they return replaces grad_input.
        pre_hooks: called with (module, grad_output); what they return replaces grad_output.
    """

    def __init__(self, module, hooks: list[Callable], pre_hooks: list[Callable]):
        self.module, self.hooks, self.pre_hooks = module, hooks, pre_hooks
        self.grad_output: tuple | list | None = None
        self.inputs: list[int] | None = None
        self.outputs: list[int] | None = None
        self.counts = [0, 0]

    def enter(self, args: tuple) -> tuple:
        """The arguments to call ``forward`` with."""
        self.counts[0] = len(args)
        args, self.inputs = _through(args, self._at_inputs)
        return args

    def leave(self, result):
        """The result to return."""
        if not isinstance(result, (Tensor, tuple)):
            warnings.warn(
                "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors but received "
                f"{type(result)}",
                stacklevel=4,
            )
        values = result if isinstance(result, tuple) else (result,)
        self.counts[1] = len(values)
        values, self.outputs = _through(values, self._at_outputs)
        return values if isinstance(result, tuple) else values[0]

    def _at_outputs(self, passed: list, received: list) -> list:
        where = self.outputs
        assert where is not None
        grads = _spread(where, received, self.counts[1])
        replaced = False
        for hook in self.pre_hooks:
            out = hook(self.module, grads)
            if out is None:
                continue
            out = out if isinstance(out, (tuple, list)) else (out,)
            if len(out) != len(grads):
                raise RuntimeError(
                    f"Backward pre hook returned an invalid number of grad_output, got {len(out)}, but expected "
                    f"{len(grads)}"
                )
            grads, replaced = out, True
        if self.inputs is None:
            warnings.warn(_NO_INPUTS, stacklevel=2)
            nothing = (None,) * self.counts[0]
            for hook in self.hooks:
                out = hook(self.module, nothing, grads)
                if out is not None and not (isinstance(out, tuple) and all(g is None for g in out)):
                    raise RuntimeError(
                        "Backward hook for Modules where no input requires gradient should always return None or None "
                        "for all gradients."
                    )
        else:
            self.grad_output = grads
        return [grads[i] for i in where] if replaced else passed

    def _at_inputs(self, passed: list, received: list) -> list:
        if self.grad_output is None:
            return passed
        where = self.inputs
        assert where is not None
        grads = _spread(where, passed, self.counts[0])
        for hook in self.hooks:
            out = hook(self.module, grads, self.grad_output)
            if out is None:
                continue
            out = out if isinstance(out, (tuple, list)) else (out,)
            if len(out) != len(grads):
                raise RuntimeError(
                    f"Backward hook returned an invalid number of grad_input, got {len(out)}, but expected {len(grads)}"
                )
            grads = out
        self.grad_output = None
        return [grads[i] for i in where]


def _bound(hook: Callable, owner: Callable) -> Callable:
    """The hook as the tape calls it; the graph does not keep the module alive."""

    def run(grads, outs):
        module = owner()
        if module is None:
            raise RuntimeError("You are trying to call the hook of a dead Module!")
        return hook(module, tuple(grads), tuple(outs))

    return run


def add_legacy_hooks(module, hooks: list[Callable], args: tuple, result) -> None:
    """Hang ``register_backward_hook`` hooks on the step that made the result, as torch once defined them."""
    first = result
    while not isinstance(first, Tensor):
        if isinstance(first, dict):
            first = next(value for value in first.values() if isinstance(value, Tensor))
        else:
            first = first[0]
    node = first.grad_fn
    if node is None:
        return
    for hook in hooks:
        node.register_hook(_bound(hook, weakref.ref(module)))
    problem = _legacy_problem(args, result, node)
    if problem:
        cause, missing, remedy = problem
        warnings.warn(
            f"Using {cause} is deprecated and will be removed in future versions. This hook will be missing some "
            f"{missing}."
            + (" Please use register_full_backward_hook to get the documented behavior." if remedy else ""),
            FutureWarning,
            stacklevel=4,
        )


def _legacy_problem(args, result, node) -> tuple[str, str, bool] | None:
    """Why the hook will not see everything: (cause, what it misses, whether to name the remedy)."""
    many = "non-full backward hooks on a Module that does not "
    results = (result,) if isinstance(result, Tensor) else result
    if not isinstance(results, tuple) or not all(isinstance(r, Tensor) for r in results):
        return many + "return a single Tensor or a tuple of Tensors", "of the grad_output", True
    if not all(isinstance(a, Tensor) for a in args):
        return many + "take as input a single Tensor or a tuple of Tensors", "of the grad_input", True
    makers = {r.grad_fn for r in results if r.grad_fn is not None}
    if not makers or (len(makers) == 1 and node not in makers):
        return "a non-full backward hook when outputs are nested in python data structure", "grad_output", False
    if len(makers) > 1:
        return "a non-full backward hook when outputs are generated by different autograd Nodes", "grad_output", True
    before = {a.grad_fn for a in args if a.grad_fn is not None}
    if before != {edge[0] for edge in node.next_functions if edge[0] is not None}:
        return "a non-full backward hook when the forward contains multiple autograd Nodes", "grad_input", True
    return None
