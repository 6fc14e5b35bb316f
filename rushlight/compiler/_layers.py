"""Owns rolling stacks of identical blocks into one ``lax.scan``: finding them, proving the chain, running it.

May import this folder, the tensor cell, the tape and jax. A first trace watches how the blocks are called; a stack is
rolled in the second only where each block's result went into the next block and nowhere else.
"""

from __future__ import annotations

from types import SimpleNamespace

import jax
import jax.numpy as jnp

from .._graph.modes import state
from .._graph.node import Node
from .._tensor.tensor import Tensor
from . import _split
from ._contents import MISSING, is_plain
from ._tree import Leaves, flatten

_FEWEST = 3
_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


class Stack:
    """Blocks that may be one loop, and what the first trace saw of them.

    Attributes:
        blocks: in order.
        calls: ``(args, kwargs, result)`` of each call seen.
        broken: something was seen that a loop would not do.
    """

    def __init__(self, blocks):
        self.blocks = blocks
        self.calls: list = []
        self.broken = False

    def proven(self) -> bool:
        """Whether each block's result went into the next block, and into nothing else."""
        if self.broken or len(self.calls) != len(self.blocks):
            return False
        first, keywords, _ = self.calls[0]
        if not first or not isinstance(first[0], Tensor):
            return False
        before = first[0]
        form = before.shape, before.dtype
        for args, kwargs, result in self.calls:
            if not (args and args[0] is before and type(result) is Tensor and (result.shape, result.dtype) == form):
                return False
            if len(args) != len(first) or list(kwargs) != list(keywords):
                return False
            others = [*zip(args[1:], first[1:]), *((kwargs[k], keywords[k]) for k in kwargs)]
            if not all(a is b or (is_plain(a) and is_plain(b) and a == b) for a, b in others):
                return False
            before = result
        return True


def find_stacks(modules) -> dict:
    """Runs of identical children in the containers among ``modules``, by the id of each block: ``(stack, place)``."""
    places: dict = {}
    for module in modules:
        children = list(module._modules.values())
        if len(children) < _FEWEST or type(module).__name__ not in ("ModuleList", "Sequential"):
            continue
        start = 0
        while start < len(children):
            end = start + 1
            while end < len(children) and _alike(children[start], children[end]):
                end += 1
            blocks = children[start:end]
            if len(blocks) >= _FEWEST and len({id(t) for b in blocks for t in _own(b)}) == sum(
                len(_own(b)) for b in blocks
            ):
                stack = Stack(blocks)
                places.update((id(b), (stack, i)) for i, b in enumerate(blocks))
            start = end
    return places


def _own(block) -> list:
    """The parameters and buffers of a block, in order."""
    return [
        t for m in block.modules() for table in (m._parameters, m._buffers) for t in table.values() if t is not None
    ]


def _alike(a, b) -> bool:
    """Whether two modules have the same classes, names, shapes and flags, and no hooks."""
    if a is None or b is None or type(a) is not type(b) or a is b:
        return False
    ours, theirs = list(a.named_modules()), list(b.named_modules())
    if len(ours) != len(theirs):
        return False
    for (name, m), (other, n) in zip(ours, theirs):
        if name != other or type(m) is not type(n) or any(m.__dict__.get(h) or n.__dict__.get(h) for h in _HOOKS):
            return False
        for slot in ("_parameters", "_buffers"):
            mine, its = m.__dict__[slot], n.__dict__[slot]
            if list(mine) != list(its) or not all(_form(t) == _form(u) for t, u in zip(mine.values(), its.values())):
                return False
    return True


def _form(tensor):
    if tensor is None:
        return None
    return tensor.shape, tensor.dtype, tensor._requires_grad, tensor.device, tensor._path, bool(tensor._hooks)


def run_stack(trace, stack, args, kwargs):
    """All blocks of a stack as one loop.

    Returns:
        Tensor: the result of the last block; None where the first block's trace shows that they differ after all.
    """
    from ._trace import Trace

    leaves = Leaves()
    flatten((args, kwargs), leaves)
    first = stack.blocks[0]
    inner = Trace(trace.found, leaves, [], outer=trace)
    result = inner.run(lambda *a, **k: first.forward(*a, **k), args, kwargs)
    parts = list(first.modules())
    others = [dict(zip(map(id, parts), block.modules())) for block in stack.blocks[1:]]
    for (owner, name), (_, _, value) in inner.reads.items():
        for of in others:
            twin = of.get(owner)
            if twin is None or callable(value):
                continue
            now = twin.__dict__.get(name, MISSING)
            if now is not value and not (is_plain(value) and is_plain(now) and now == value):
                return None
    if (
        inner.odd
        or result.slots
        or result.assigned
        or result.hosted
        or result.histories
        or result.grads
        or inner.before
        or inner.after
        or len(result.kinds) != 1
    ):
        return None
    for key, read in inner.reads.items():
        trace.reads.setdefault(key, read)
        for of in others:
            if key[0] in of:
                trace.reads.setdefault((id(of[key[0]]), key[1]), (of[key[0]], *read[1:]))
    trace.visited.update(inner.visited)
    return _Loop(trace, inner, result, stack, leaves).run(args[0])


class _Loop:
    """The loops over a stack, forward and backward, from the trace of its first block."""

    def __init__(self, trace, inner, result, stack, leaves):
        self.trace, self.inner, self.result, self.stack = trace, inner, result, stack
        closed, jaxpr = result.closed, result.closed.jaxpr
        first = leaves.tensors[0]
        self.carried_argument = next(i for i, t in enumerate(inner.arguments) if t is first)
        own = [_own(block) for block in stack.blocks]
        layer_of = {id(t._storage): n for n, t in enumerate(own[0])}
        self.own = own
        states = result.counts[0]
        self.role: dict = {}
        written = {i for kind, i in result.writes if kind == "state"}
        if any(kind == "argument" for kind, _ in result.writes):
            raise _differs()
        for i, var in enumerate(jaxpr.invars):
            if i < states:
                n = layer_of.get(id(inner.states[i]))
                self.role[var] = ("layer", n) if n is not None else ("carry" if i in written else "fixed", i)
            else:
                self.role[var] = ("x", 0) if i - states == self.carried_argument else ("fixed", i)
        self.values = [s.array for s in inner.states] + [t._array() for t in inner.arguments]
        self.forward_count = result.forward
        if result.leaves:
            forward, backward, crossing, marks = _split.split(closed, result.forward)
            self.mark = marks.get(0)
            self.backward, self.crossing = backward, crossing
        else:
            forward, self.backward, self.crossing = jaxpr.eqns, [], []
        self.kept = [v for v in self.crossing if v not in self.role or self.role[v][0] in ("x", "carry")]
        gives = [*jaxpr.outvars[: result.forward], *self.kept]
        forward, live = _split.needed(forward, gives)
        takes = [v for v in jaxpr.invars if v in live]
        self.takes = takes
        self.cut = _split.Cut(closed, takes, gives, forward)
        self.closed = closed

    def _sort(self, takes):
        """The stacked, carried and fixed values behind variables."""
        layers = sorted({self.role[v][1] for v in takes if self.role.get(v, ("",))[0] == "layer"})
        stacked = [self.trace.stacked(tuple(o[n]._storage for o in self.own)) for n in layers]
        return layers, stacked

    def run(self, x):
        result, role = self.result, self.role
        layers, stacked = self._sort(self.takes)
        at = {n: k for k, n in enumerate(layers)}
        carries = sorted({role[v][1] for v in role if role[v][0] == "carry"})
        carry_at = {i: k for k, i in enumerate(carries)}
        values = self.values

        def body(carry, given):
            x, moving = carry

            def value(v):
                kind, n = role[v]
                if kind == "x":
                    return x
                if kind == "layer":
                    return given[at[n]]
                return moving[carry_at[n]] if kind == "carry" else values[n]

            outs = self.cut.call(*[value(v) for v in self.takes])
            moving, layer_writes, place = list(moving), [], result.outputs
            for n, (_, i) in enumerate(result.writes):
                if i in carry_at:
                    moving[carry_at[i]] = outs[place + n]
                else:
                    layer_writes.append(outs[place + n])
            return (outs[0], moving), (layer_writes, outs[self.forward_count :])

        start = x._array(), [values[i] for i in carries]
        (y, moving), (layer_writes, saved) = jax.lax.scan(body, start, stacked, length=len(self.own))
        supply = iter(layer_writes)
        inner = self.inner
        index = {id(t._storage): n for n, t in enumerate(self.own[0])}
        for _, i in result.writes:
            if i not in carry_at:
                rows, n = next(supply), index[id(inner.states[i])]
                for k, block in enumerate(self.own):
                    block[n]._storage.write(self.trace.row(rows, k))
        for i, k in carry_at.items():
            inner.states[i].write(moving[k])
        out = Tensor._of(y, x.device)
        self.trace.bear(out)
        if result.leaves and state.grad:
            out._node, out._index, out._requires_grad = self._node(x, saved), 0, True
        return out

    def _node(self, x, saved):
        """The step of the tape; its edges are those of x, of every layer's tensors, and of what all layers share."""
        inner, result = self.inner, self.result
        owners = len(inner.owners)
        plan, edges = [], []
        index = {id(t): n for n, t in enumerate(self.own[0])}
        for i, place in result.leaves:
            tensor = inner.foreign[i]
            if i >= owners and i - owners == self.carried_argument:
                plan.append(("x", place))
                edges.append(x._edge())
            elif id(tensor) in index:
                plan.append(("layer", place))
                edges += [block[index[id(tensor)]]._edge() for block in self.own]
            else:
                plan.append(("sum", place))
                edges.append(tensor._edge())
        return StackNode(self, saved, plan, edges)

    def pull(self, saved, plan, grad) -> list:
        """The gradients for the edges of the node, from that of the result."""
        jaxpr, role, values = self.closed.jaxpr, self.role, self.values
        gives = [jaxpr.outvars[place] for _, place in plan]
        eqns, live = _split.needed(self.backward, gives)
        takes = [v for v in self.crossing if v in live or v in set(gives)]
        cut = _split.Cut(self.closed, [*takes, self.mark], gives, eqns)
        layers, stacked = self._sort(takes)
        at = {n: k for k, n in enumerate(layers)}
        kept_at = {v: k for k, v in enumerate(self.kept)}
        sums = [k for k, (kind, _) in enumerate(plan) if kind == "sum"]
        xs = [k for k, (kind, _) in enumerate(plan) if kind == "x"]

        def body(carry, given):
            grad, totals = carry
            rows, residuals = given

            def value(v):
                if v in kept_at:
                    return residuals[kept_at[v]]
                kind, n = role[v]
                return rows[at[n]] if kind == "layer" else values[n]

            outs = cut.call(*[value(v) for v in takes], grad)
            totals = [t + outs[k] for t, k in zip(totals, sums)]
            following = outs[xs[0]] if xs else jnp.zeros_like(grad)
            return (following, totals), [outs[k] for k, (kind, _) in enumerate(plan) if kind == "layer"]

        zeros = [jnp.zeros(gives[k].aval.shape, gives[k].aval.dtype) for k in sums]
        (first, totals), rows = jax.lax.scan(
            body, (grad, zeros), (stacked, list(saved)), length=len(self.own), reverse=True
        )
        results, of_layers, of_all = [], iter(rows), iter(totals)
        for kind, _ in plan:
            if kind == "x":
                results.append(first)
            elif kind == "layer":
                row = next(of_layers)
                results += [self.trace.row(row, k) for k in range(len(self.own))]
            else:
                results.append(next(of_all))
        return results


def _differs():
    from ._trace import Unsupported

    return Unsupported("a block of a stack writes to its argument", "Compile with scan_layers=False.")


class StackNode(Node):
    """The step of the tape that a rolled stack is."""

    __slots__ = ("loop", "plan", "saved")

    def __init__(self, loop, saved, plan, edges):
        Node.__init__(self, edges, 1)
        self.loop, self.saved, self.plan = loop, saved, plan

    def name(self) -> str:
        return "ScanBackward0"

    def run(self, grads, create_graph):
        if create_graph:
            from ._trace import Unsupported

            raise Unsupported("create_graph=True goes through rolled layers", "Compile with scan_layers=False.")
        if self.saved is None:
            raise RuntimeError("Trying to backward through the graph a second time: retain_graph=True keeps it.")
        return self.loop.pull(self.saved, self.plan, grads[0])

    def release(self) -> None:
        self.saved = None

    @property
    def freed(self) -> bool:
        return self.saved is None


class Watch:
    """What a trace knows of stacks: the first one watches, the second one rolls.

    Args:
        places: from ``find_stacks``.
        roll: the ids of the stacks that are proven; None while watching.
    """

    def __init__(self, places, roll=None):
        self.places, self.roll = places, roll
        self.results: dict = {}
        self.inside: list = []
        self.proven: set = set()

    def call(self, trace, module, plain, args, kwargs):
        """A call of a module, in place of ``Module.__call__``."""
        stack, place = self.places.get(id(module), (None, 0))
        if stack is None:
            return plain(module, *args, **kwargs)
        if self.roll is not None:
            if id(stack) not in self.roll:
                return plain(module, *args, **kwargs)
            if place:
                return args[0]
            out = run_stack(trace, stack, args, kwargs)
            if out is None:
                raise NotAlike(stack)
            return out
        self.inside.append((stack, place))
        try:
            out = plain(module, *args, **kwargs)
        finally:
            self.inside.pop()
        if len(stack.calls) != place:
            stack.broken = True
        stack.calls.append((args, kwargs, out))
        if place + 1 < len(stack.blocks) and isinstance(out, Tensor):
            note = SimpleNamespace(stack=stack, place=place, tensor=out)
            self.results[id(out)] = self.results[id(out._storage)] = note
        return out

    def consume(self, tensor) -> None:
        """Note that an operator reads a tensor, or that it is returned."""
        note = self.results.get(id(tensor)) or self.results.get(id(tensor._storage))
        if note is not None and (note.stack, note.place + 1) not in self.inside:
            note.stack.broken = True

    def finish(self) -> None:
        """Decide which stacks may be rolled, and let go of what was seen."""
        stacks = {id(s): s for s, _ in self.places.values()}
        self.proven = {key for key, s in stacks.items() if s.proven()}
        for stack in stacks.values():
            stack.calls, stack.broken = [], False
        self.results.clear()


class NotAlike(Exception):
    """The blocks of a stack turned out to differ; it must not be rolled."""

    def __init__(self, stack):
        super().__init__("blocks differ")
        self.stack = stack
