"""Owns ``Program``, a pure JAX function with its cached compilation and derivative, and ``OpNode``, its step.

May import the tape, dtypes and jax; tensors are reached only through the functions bound in ``Values``.
"""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .._graph.engine import Values
from .._graph.modes import state
from .._graph.node import Node

_FREED = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have already "
    "been freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). "
    "Specify retain_graph=True if you need to backward through the graph a second time or if you need to access "
    "saved tensors after calling backward."
)


def strong(value):
    """Drop JAX's weak types: a tensor's dtype never gives way to another operand's."""
    if isinstance(value, (tuple, list)):
        return tuple(strong(v) for v in value)
    value = jnp.asarray(value)
    return jax.lax.convert_element_type(value, value.dtype) if value.weak_type else value


def _sizes_differ(error: Exception, arrays) -> RuntimeError | None:
    """torch's error for shapes that do not broadcast, where this is what JAX complains about."""
    text = str(error)
    if "ncompatible shapes for broadcasting" not in text:
        return None
    named = [tuple(map(int, re.findall(r"\d+", part))) for part in re.findall(r"\(([\d, ]*)\)", text)]
    for shapes in ([a.shape for a in arrays if hasattr(a, "shape")], named):
        whole: tuple = ()
        for shape in shapes:
            size = max(len(whole), len(shape))
            first, second = ((1,) * (size - len(s)) + s for s in (whole, tuple(shape)))
            for dim in reversed(range(size)):
                a, b = first[dim], second[dim]
                if a != b and a != 1 and b != 1:
                    return RuntimeError(
                        f"The size of tensor a ({a}) must match the size of tensor b ({b}) at non-singleton "
                        f"dimension {dim}"
                    )
            whole = tuple(b if a == 1 else a for a, b in zip(first, second))
    return None


def _compiled(run, options: dict | None, form):
    """``jax.jit`` with options and a form, which the outermost program alone may have."""
    outermost, inner = jax.jit(form(run) if form else run, compiler_options=options), jax.jit(run)

    def call(*arrays):
        return (inner if any(isinstance(array, Tracer) for array in arrays) else outermost)(*arrays)

    return call


class Program:
    """A pure function of arrays, compiled once per signature, and its derivative, which is a Program too.

    Args:
        flat: takes arrays (or Python numbers), gives an array or a tuple of arrays.
        name: torch's name of the operator, from which its node is named.
        linear: how many leading inputs it is linear in: their shapes are saved for the derivative, not their values.
        differentiable: False keeps the operator off the tape.
        options: XLA's compiler options, for the derivative too.
        form: from the function, one that computes the same in a better way when it is compiled by itself.
    """

    __slots__ = (
        "_derivatives", "_form", "_options", "_staged", "differentiable", "flat", "fwd", "geometry", "inverse",
        "linear", "name", "scatter_",
    )  # fmt: skip

    def __init__(self, flat, name: str, *, linear=0, differentiable=True, options=None, form=None):
        def run(*arrays):
            try:
                return strong(flat(*arrays))
            except (TypeError, ValueError) as error:
                told = _sizes_differ(error, arrays)
                if told is None:
                    raise
                raise told from None

        run.__name__ = run.__qualname__ = name
        self.flat = run
        self.fwd = _compiled(run, options, form) if options or form else jax.jit(run)
        self._options, self._form = options, form
        self.name = name
        self.linear = linear
        self.differentiable = differentiable
        self._derivatives: dict = {}
        self._staged: Any = None
        self.geometry: Any = None
        self.inverse: Any = None
        self.scatter_: Any = None

    @property
    def staged(self):
        """The function for use inside a trace: its own trace is cached by signature, and it leaves no call behind."""
        if self._staged is None:
            self._staged = jax.jit(self.flat, inline=True)
        return self._staged

    def derivative(self, mask: tuple, present: tuple, avals: tuple = ()) -> Program:
        """The vector-Jacobian product.

        Args:
            mask: which inputs want a gradient.
            present: which outputs have one.
            avals: shapes and dtypes of the leading inputs that were not saved; the product does not take these.

        Returns:
            Program: of (saved inputs..., present gradients...), giving a tuple with a gradient for each wanted input.
        """
        key = (mask, present, avals)
        found = self._derivatives.get(key)
        if found is None:
            product = self._vjp(mask, present, avals)
            found = Program(product, f"{self.name}_backward", options=self._options, form=self._form)
            if avals and len(avals) == len(mask):
                found.fwd = _forwarded(self.flat, found, avals, present) or found.fwd
            self._derivatives[key] = found
        return found

    def _vjp(self, mask, present, avals):
        count = len(mask) - len(avals)

        def product(*args):
            inputs = [*(jnp.zeros(a.shape, a.dtype) for a in avals), *args[:count]]
            given = iter(args[count:])

            def primal(*wanted):
                supply = iter(wanted)
                return self.flat(*(next(supply) if m else a for a, m in zip(inputs, mask)))

            outs, pull = jax.vjp(primal, *(a for a, m in zip(inputs, mask) if m))
            several = isinstance(outs, tuple)
            cotangents = tuple(
                _cotangent(next(given), out) if here else _no_cotangent(out)
                for out, here in zip(outs if several else (outs,), present)
            )
            # JAX differentiates holomorphically, torch gives the conjugate: conjugate on the way in and out.
            return tuple(jnp.conj(g) for g in pull(cotangents if several else cotangents[0]))

        return product


def _forwarded(flat, derivative, avals, present):
    """A linear operator's derivative as a Python function, where it only passes gradients on: no call to make."""
    outs = jax.eval_shape(flat, *avals)
    outs = outs if isinstance(outs, tuple) else (outs,)
    given = [jax.ShapeDtypeStruct(o.shape, o.dtype) for o, here in zip(outs, present) if here]
    jaxpr = jax.make_jaxpr(derivative.flat)(*given).jaxpr
    places = {id(var): i for i, var in enumerate(jaxpr.invars)}
    if not all(id(var) in places for var in jaxpr.outvars):
        return None  # what is computed besides (zeros in place of the inputs) goes nowhere
    passed = [places[id(var)] for var in jaxpr.outvars]
    dtypes = [a.dtype for a in given]

    def forward(*grads):
        if [g.dtype for g in grads] == dtypes:
            return tuple([grads[i] for i in passed])
        return derivative.flat(*grads)

    return forward


def _cotangent(grad, out):
    if grad.dtype != out.dtype:
        if jnp.iscomplexobj(grad) and not jnp.iscomplexobj(out):
            grad = grad.real
        grad = grad.astype(out.dtype)
    return jnp.conj(grad) if jnp.iscomplexobj(grad) else grad


def _no_cotangent(out):
    if jnp.issubdtype(out.dtype, jnp.inexact):
        return jnp.zeros(out.shape, out.dtype)
    return np.zeros(out.shape, jax.dtypes.float0)


_ONE = (True,)
_CAMEL: dict = {}


def camel(name: str) -> str:
    """torch's class name for an operator's node: ``log_softmax`` gives ``LogSoftmax``."""
    found = _CAMEL.get(name)
    if found is None:
        found = _CAMEL[name] = "".join(part[:1].upper() + part[1:] for part in name.strip("_").split("_"))
    return found


class OpNode(Node):
    """One operator on the tape: its program, what it saved, and where its gradients go."""

    __slots__ = ("arrays", "avals", "program")

    def __init__(self, program: Program, arrays, edges, outputs: int):
        Node.__init__(self, edges, outputs)
        self.program = program
        # Inside vmap all inputs are kept: which of them are batched is known from them alone.
        linear = program.linear if state.vmap is None else 0
        self.arrays: Any
        if linear:
            self.avals = tuple([_aval(a) for a in arrays[:linear]])
            self.arrays = arrays[linear:]
        else:
            self.avals = ()
            self.arrays = arrays

    def name(self) -> str:
        return camel(self.program.name) + "Backward0"

    def run(self, grads, create_graph):
        arrays = self.arrays
        if arrays is None:
            raise RuntimeError(_FREED)
        edges = self.edges
        mask = tuple([e is not None for e in edges])
        if len(grads) == 1:
            present = _ONE
        else:
            present = tuple([g is not None for g in grads])
            grads = [g for g in grads if g is not None]
        program = self.program.derivative(mask, present, self.avals)
        if create_graph:
            saved_edges = edges[len(self.avals) :]
            saved = list(map(Values.saved, arrays, saved_edges))
            if state.dual is not None:
                saved = state.dual.restored(self, saved, len(self.avals))
            results = Values.execute(program, [*saved, *grads])
        else:
            results = program.fwd(*arrays, *grads)
        if len(results) == len(mask):
            return results
        supply = iter(results)
        return [next(supply) if m else None for m in mask]

    def release(self) -> None:
        if len(self.arrays):
            self.arrays = None

    @property
    def freed(self) -> bool:
        return self.arrays is None


class StagedNode(OpNode):
    """An operator inside a trace: its derivative is taken with the forward pass, so that both share what they need."""

    __slots__ = ("outs", "pull", "wanted")

    def __init__(self, program, arrays, edges, outs, pull, wanted):
        several = isinstance(outs, tuple)
        OpNode.__init__(self, program, arrays, edges, len(outs) if several else 1)
        self.outs, self.pull, self.wanted = outs, pull, wanted

    def run(self, grads, create_graph):
        if create_graph:
            return OpNode.run(self, grads, True)
        if self.pull is None:
            raise RuntimeError(_FREED)
        several = isinstance(self.outs, tuple)
        given = [
            _no_cotangent(out) if grad is None else _cotangent(grad, out)
            for grad, out in zip(grads, self.outs if several else (self.outs,))
        ]
        results: list = [None] * len(self.edges)
        for place, grad in zip(self.wanted, self.pull(tuple(given) if several else given[0])):
            results[place] = jnp.conj(grad) if jnp.iscomplexobj(grad) else grad
        return results

    def release(self) -> None:
        self.pull = None
        OpNode.release(self)

    @property
    def freed(self) -> bool:
        return self.pull is None


def staged(program: Program, arrays, edges):
    """Run a program inside a trace.

    Returns:
        tuple: the outputs, and the node (None where no input wants a gradient).
    """
    wanted = [i for i, edge in enumerate(edges) if edge is not None]
    if not wanted or not program.differentiable:
        return program.staged(*arrays), None
    if state.vmap is not None:
        outs = program.staged(*arrays)
        return outs, OpNode(program, arrays, edges, len(outs) if isinstance(outs, tuple) else 1)

    def primal(*values):
        given = list(arrays)
        for place, value in zip(wanted, values):
            given[place] = value
        return program.staged(*given)

    outs, pull = jax.vjp(primal, *[arrays[i] for i in wanted])
    return outs, StagedNode(program, arrays, edges, outs, pull, wanted)


def _aval(array):
    try:
        return array.aval
    except AttributeError:
        return jax.typeof(array)
