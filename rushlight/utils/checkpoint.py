"""Owns ``torch.utils.checkpoint``: parts of a model whose saved arrays are computed again in the backward pass.

May import autograd, the tape, the tensor cell, random, amp and jax.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jax

from .. import _device as devices
from .._errors import type_name
from .._graph import node as nodes
from .._graph.modes import enable_grad, no_grad, state
from .._graph.node import Node
from .._tensor.program import OpNode, StagedNode
from .._tensor.tensor import Tensor
from ..autograd import Function, backward
from ..random.generator import generator_of
from ._device_states import get_device_states, set_device_states
from ._selective import CheckpointPolicy, SelectiveCheckpointContext, contexts

_debug: bool | None = None
_early_stop: bool | None = None


@contextlib.contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None) -> Iterator[None]:
    """Whether errors list the steps of both passes; None leaves it to each call's ``debug``."""
    global _debug
    previous, _debug = _debug, enabled
    try:
        yield
    finally:
        _debug = previous


@contextlib.contextmanager
def set_checkpoint_early_stop(enable: bool | None) -> Iterator[None]:
    """Accepted: a part is computed again as a whole, since its last steps are the first that are needed."""
    global _early_stop
    previous, _early_stop = _early_stop, enable
    try:
        yield
    finally:
        _early_stop = previous


class CheckpointError(RuntimeError):
    """Computing a checkpointed part again gave something else than the first time."""


def noop_context_fn() -> tuple[Any, Any]:
    """Two contexts that do nothing: for the forward pass, and for computing it again."""
    return contextlib.nullcontext(), contextlib.nullcontext()


def detach_variable(inputs: Any) -> tuple:
    """A tuple with its tensors detached, and as much in want of gradients as before.

    Raises:
        RuntimeError: no tuple.
    """
    if not isinstance(inputs, tuple):
        raise RuntimeError(f"Only tuple of tensors is supported. Got Unsupported input type: {type_name(inputs)}")
    return tuple(
        x.detach().requires_grad_(x.requires_grad) if isinstance(x, Tensor) and x.requires_grad else
        x.detach() if isinstance(x, Tensor) else x
        for x in inputs
    )  # fmt: skip


def check_backward_validity(inputs: Any) -> None:
    """Warn where no input wants a gradient."""
    if not any(x.requires_grad for x in inputs if isinstance(x, Tensor)):
        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2)


class _Numbers:
    """The state of the random numbers, as it was: that of the CPU, and of the devices of some tensors."""

    def __init__(self, args: tuple):
        places = {x.device for x in args if isinstance(x, Tensor) and x.device.type != "meta"}
        self.generators = [generator_of(d) for d in {devices.cpu, *places}]
        self.states = [self._get(g) for g in self.generators]

    @staticmethod
    def _get(generator):
        # Inside a trace there is the key alone, and nothing to look at.
        return generator.get_state() if state.trace is None else generator.key_storage().array

    @staticmethod
    def _set(generator, held) -> None:
        if state.trace is None:
            generator.set_state(held)
        else:
            generator.key_storage().write(held)

    @contextlib.contextmanager
    def again(self) -> Iterator[None]:
        """Draw the same numbers once more inside the block."""
        before = [self._get(g) for g in self.generators]
        for g, held in zip(self.generators, self.states):
            self._set(g, held)
        try:
            yield
        finally:
            for g, held in zip(self.generators, before):
                self._set(g, held)


class _Casts:
    """Autocast, as it was."""

    def __init__(self):
        self.held = state.autocast

    @contextlib.contextmanager
    def again(self) -> Iterator[None]:
        """Cast as before inside the block."""
        previous = state.autocast
        state.autocast = None if self.held is None else type(self.held)(self.held.kinds, False)
        try:
            yield
        finally:
            state.autocast = previous


class CheckpointFunction(Function):
    """The reentrant form: the forward pass leaves no graph, and backward runs a backward pass of its own."""

    @staticmethod
    def forward(ctx: Any, run_function: Callable, preserve_rng_state: bool, *args: Any) -> Any:
        check_backward_validity(args)
        ctx.run_function = run_function
        ctx.numbers = _Numbers(args) if preserve_rng_state else None
        ctx.casts = _Casts()
        ctx.places = [i for i, x in enumerate(args) if isinstance(x, Tensor)]
        ctx.inputs = [None if isinstance(x, Tensor) else x for x in args]
        ctx.save_for_backward(*[x for x in args if isinstance(x, Tensor)])
        with no_grad():
            return run_function(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple:
        if state.capturing:
            raise RuntimeError(
                "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or passing an `inputs` "
                "parameter to .backward(). To resolve this error, you can either set use_reentrant=False, or call "
                ".backward() without passing the `inputs` argument."
            )
        inputs = list(ctx.inputs)
        for i, tensor in zip(ctx.places, ctx.saved_tensors):
            inputs[i] = tensor
        with ctx.numbers.again() if ctx.numbers is not None else contextlib.nullcontext():
            detached = detach_variable(tuple(inputs))
            with enable_grad(), ctx.casts.again():
                outputs = ctx.run_function(*detached)
        outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
        pairs = [(o, g) for o, g in zip(outputs, grads) if isinstance(o, Tensor) and o.requires_grad]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        backward([o for o, _ in pairs], [g for _, g in pairs])
        return (None, None, *(x.grad if isinstance(x, Tensor) else None for x in detached))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for x in value.values():
            yield from _tensors(x)
    elif isinstance(value, (list, tuple)):
        for x in value:
            yield from _tensors(x)


def _steps(outputs: Any, first: int) -> list[OpNode]:
    """The steps that were taped since ``first``, that keep arrays, and that lead to the outputs; in their order."""
    stack = [t._node for t in _tensors(outputs) if isinstance(t._node, Node)]
    seen: dict[int, Any] = {}
    while stack:
        node = stack.pop()
        if id(node) in seen or node.seq < first:
            continue
        seen[id(node)] = node
        stack.extend(edge[0] for edge in node.edges if edge is not None and isinstance(edge[0], Node))
    kept = [n for n in seen.values() if isinstance(n, OpNode) and n.arrays is not None and len(n.arrays)]
    return sorted(kept, key=lambda n: n.seq)


class _Part:
    """One checkpointed part: how to compute it again, and what it kept the first time."""

    def __init__(self, function, args, kwargs, preserve, context, check, debug):
        self.function, self.kwargs = function, kwargs
        self.numbers = _Numbers(args) if preserve else None
        self.casts = _Casts()
        self.context, self.check, self.debug = context, check, debug
        self.args = [(x, x._array(), x.requires_grad) if isinstance(x, Tensor) else x for x in args]
        self.forms: list = []
        self.names: list[str] = []
        self.steps: list | None = None

    def drop(self, steps: list[OpNode]) -> None:
        """Forget what steps have kept."""
        for i, step in enumerate(steps):
            self.forms.append(_forms(step))
            self.names.append(step.name())
            handle = _Handle(self, i)
            if isinstance(step, StagedNode):
                step.__class__ = _StagedAgain
                step.pull = handle
            else:
                step.__class__ = _OpAgain
            step.arrays = handle

    def again(self, grads: Any) -> list:
        """The steps of the part, computed again once.

        Raises:
            CheckpointError: they are not those of the first time.
        """
        if self.steps is None:
            with (
                self.numbers.again() if self.numbers is not None else contextlib.nullcontext(),
                self.casts.again(), enable_grad(), self.context,
            ):  # fmt: skip
                first = nodes._sequence()
                outputs = self.function(*self._inputs(grads), **self.kwargs)
            self.steps = _steps(outputs, first)
            self._compare(self.steps)
        return self.steps

    def _inputs(self, grads: Any) -> list:
        arrays = [x[1] for x in self.args if isinstance(x, tuple) and isinstance(x[0], Tensor)]
        if state.trace is not None and arrays:
            # Keeps the compiler from finding that all of this is known already, and from doing it early.
            arrays, _ = jax.lax.optimization_barrier((arrays, [g for g in grads if g is not None]))
        supply = iter(arrays)
        out = []
        for x in self.args:
            if isinstance(x, tuple) and len(x) == 3 and isinstance(x[0], Tensor):
                x = Tensor._of(next(supply), x[0].device, x[2])
            out.append(x)
        return out

    def _compare(self, steps: list) -> None:
        if self.check == "none":
            return
        tip = self._tip(steps)
        if len(steps) != len(self.forms):
            raise CheckpointError(
                "torch.utils.checkpoint: A different number of tensors was saved during the original forward and "
                f"recomputation.\nNumber of tensors saved during forward: {sum(map(len, self.forms))}\nNumber of "
                f"tensors saved during recomputation: {sum(len(s.arrays) for s in steps)}.\n{tip}"
            )
        wrong = ""
        for i, (step, forms) in enumerate(zip(steps, self.forms)):
            now = _forms(step)
            if now != forms:
                wrong += f"tensor at position {i}:\nsaved metadata: {forms}\nrecomputed metadata: {now}\n"
        if wrong:
            raise CheckpointError(
                "torch.utils.checkpoint: Recomputed values for the following tensors have different metadata than "
                f"during the forward pass.\n{wrong}.\n{tip}"
            )

    def _tip(self, steps: list) -> str:
        if self.debug if _debug is None else _debug:
            again = "\n".join(step.name() for step in steps)
            return (
                "Operations executed during the original forward:\n\n" + "\n".join(self.names) + "\n\nOperations "
                f"executed during recomputation:\n\n{again}"
            )
        return (
            "\nTip: To see a more detailed error message, either pass `debug=True` to "
            "`torch.utils.checkpoint.checkpoint(...)` or wrap the code block with `with "
            "torch.utils.checkpoint.set_checkpoint_debug_enabled(True):` to enable checkpoint-debug mode globally."
        )


def _forms(step: OpNode) -> list:
    """What tells the arrays of a step from others; a part inside this one tells nothing."""
    if isinstance(step.arrays, _Handle):
        return []
    return [(a.shape, a.dtype) if hasattr(a, "shape") else None for a in step.arrays]


class _Handle:
    """Stands in for what a step kept."""

    __slots__ = ("index", "part")

    def __init__(self, part: _Part, index: int):
        self.part, self.index = part, index

    def __len__(self) -> int:
        return 1

    def get(self, grads: Any) -> Any:
        return self.part.again(grads)[self.index]


class _OpAgain(OpNode):
    """A step whose arrays are computed again when its turn comes."""

    __slots__ = ()

    def run(self, grads, create_graph):
        while isinstance(self.arrays, _Handle):
            self.arrays = self.arrays.get(grads).arrays
        return OpNode.run(self, grads, create_graph)


class _StagedAgain(StagedNode):
    """The same, inside a trace."""

    __slots__ = ()

    def run(self, grads, create_graph):
        while isinstance(self.pull, _Handle):
            found = self.pull.get(grads)
            self.arrays, self.outs, self.pull, self.wanted = found.arrays, found.outs, found.pull, found.wanted
        return StagedNode.run(self, grads, create_graph)


_UNSAID = (
    "torch.utils.checkpoint{}: the use_reentrant parameter should be passed explicitly. {}use_reentrant=False is "
    "recommended, but if you need to preserve the current default behavior, you can pass use_reentrant=True. Refer to "
    "docs for more details on the differences between the two variants."
)


def checkpoint(
    function: Callable, *args: Any, use_reentrant: bool | None = None, context_fn: Callable = noop_context_fn,
    determinism_check: str = "default", debug: bool = False, early_stop: bool = True, **kwargs: Any,
) -> Any:  # fmt: skip
    """Run a part of a model, and keep of it only its inputs: the rest is computed again in the backward pass.

    Args:
        function: the part.
        args, kwargs: its arguments; ``preserve_rng_state`` (default True) draws the same random numbers again.
        use_reentrant: False records the part as usual; True runs a backward pass inside the backward pass, which
            needs an argument that requires a gradient, and knows nothing of ``autograd.grad``.
        context_fn: gives two contexts, for the forward pass and for computing it again.
        determinism_check: ``"default"`` compares shapes and dtypes of both times, ``"none"`` does not.
        debug: let the error of that list all steps.
        early_stop: accepted; see ``set_checkpoint_early_stop``.

    Raises:
        ValueError: options that ``use_reentrant=True`` does not have.
        CheckpointError: in the backward pass, where computing again gives something else.

    Example:
        >>> import rushlight as torch
        >>> from rushlight.utils.checkpoint import checkpoint
        >>> x = torch.ones(2, requires_grad=True)
        >>> checkpoint(torch.exp, x, use_reentrant=False).sum().backward()
        >>> x.grad
        tensor([2.7183, 2.7183])
    """
    if use_reentrant is None:
        warnings.warn(
            _UNSAID.format(
                "", "Starting in PyTorch 2.9, calling checkpoint without use_reentrant will raise an exception. "
            ),
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if use_reentrant:
        if kwargs:
            raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
        if context_fn is not noop_context_fn or debug is not False:
            raise ValueError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
        return CheckpointFunction.apply(function, preserve, *args)
    if determinism_check not in ("default", "none"):
        raise ValueError(f"determinism_check should be one of ['default', 'none'] but got {determinism_check}")
    forward, again = context_fn()
    if not state.grad:
        with forward:
            return function(*args, **kwargs)
    part = _Part(function, args, kwargs, preserve, again, determinism_check, debug)
    first = nodes._sequence()
    with forward:
        outputs = function(*args, **kwargs)
    part.drop(_steps(outputs, first))
    return outputs


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """Run modules one after the other in checkpointed segments; the last segment is not checkpointed.

    Args:
        functions: a ``Sequential``, or a list of functions.
        segments: how many.
        input: for the first.
        use_reentrant: as for ``checkpoint``.
        kwargs: ``preserve_rng_state``.

    Raises:
        ValueError: other keywords.
    """
    if use_reentrant is None:
        warnings.warn(
            _UNSAID.format(
                ".checkpoint_sequential",
                "In version 2.9 we will raise an exception if use_reentrant is not passed. ",
            ),
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    functions = list(functions)

    def part(start: int, end: int) -> Callable:
        def run(x: Any) -> Any:
            for function in functions[start:end]:
                x = function(x)
            return x

        return run

    size = len(functions) // segments
    end = 0
    for start in range(0, size * (segments - 1), size):
        end = start + size
        input = checkpoint(part(start, end), input, use_reentrant=use_reentrant, preserve_rng_state=preserve)
    return part(end, len(functions))(input)


def create_selective_checkpoint_contexts(policy_fn_or_list: Any, allow_cache_entry_mutation: bool = False) -> tuple:
    """What to give ``checkpoint`` as ``context_fn`` (with ``functools.partial``), to keep some results.

    Args:
        policy_fn_or_list: a function of a ``SelectiveCheckpointContext``, the operator and its arguments that gives a
            ``CheckpointPolicy``; or a list of operators to keep the results of (``torch.ops.aten.mm.default``, or
            functions of torch).
        allow_cache_entry_mutation: accepted; what is kept cannot be changed.

    Returns:
        tuple: the contexts of the forward pass and of computing it again.

    Raises:
        TypeError: neither a function nor a list.
        ValueError: a list of something else than operators.

    Example:
        >>> import functools, rushlight as torch
        >>> from rushlight.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts
        >>> keep = functools.partial(create_selective_checkpoint_contexts, [torch.matmul])
        >>> x = torch.ones(2, 2, requires_grad=True)
        >>> checkpoint(lambda x: (x @ x).exp(), x, use_reentrant=False, context_fn=keep).shape
        torch.Size([2, 2])
    """
    return contexts(policy_fn_or_list)


__all__ = [
    "CheckpointError", "CheckpointFunction", "CheckpointPolicy", "SelectiveCheckpointContext",
    "check_backward_validity", "checkpoint", "checkpoint_sequential", "create_selective_checkpoint_contexts",
    "detach_variable", "get_device_states", "noop_context_fn", "set_checkpoint_debug_enabled",
    "set_checkpoint_early_stop", "set_device_states",
]  # fmt: skip
