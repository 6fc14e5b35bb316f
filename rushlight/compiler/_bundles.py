"""Owns keeping the state of rolled layers as stacks between calls: ``Bundle``, and the rewriting of a program to suit.

May import storages, unread contents and jax. The storages of the layers then hold rows, which are cut out when somebody
reads them; a program that gave each row back, and updated each on its own, would grow with the number of layers.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._tensor.storage import Storage
from .._tensor.unread import Unread, write_later
from ..ops._layout import bind
from ._split import is_literal


@jax.jit
def rushlight_stack_rows(*arrays):
    """Arrays as rows of one; by its name a traced program shows where that was done."""
    return jnp.stack(arrays)


@jax.jit
def rushlight_take_row(joined, ordinal):
    """A row of a stack, by a number that is no constant: taken by constants, each would be a kernel of its own."""
    zeros = [np.int32(0)] * (joined.ndim - 1)
    taken = jax.lax.dynamic_slice(joined, [ordinal, *zeros], [1, *joined.shape[1:]], allow_negative_indices=False)
    return taken.reshape(joined.shape[1:])


class _Rows:
    """A stack that storages hold the rows of."""

    __slots__ = ("array",)

    def __init__(self, array):
        self.array = array


class _Row:
    """Reads one row."""

    __slots__ = ("place", "rows")

    def __init__(self, rows, place):
        self.rows, self.place = rows, place

    def __call__(self):
        return rushlight_take_row(self.rows.array, np.int32(self.place))


def give_rows(storages, joined) -> None:
    """Let storages hold the rows of a stack."""
    rows, shape, dtype = _Rows(joined), joined.shape[1:], joined.dtype
    for place, storage in enumerate(storages):
        write_later(storage, shape, dtype, _Row(rows, place))


class Bundle:
    """Storages that a program takes and writes as one stack; it stands where a storage would.

    Args:
        storages: one for each layer, of equal shape, dtype and device.
    """

    def __init__(self, storages):
        self.storages = storages
        self.device = storages[0].device
        self.version = 0

    @property
    def array(self) -> Any:
        """The stack: the one that they all hold rows of, or else a new one."""
        first = self.storages[0].form
        rows = first.read.rows if type(first) is Unread and type(first.read) is _Row else None
        if rows is not None and len(rows.array) == len(self.storages):
            for place, storage in enumerate(self.storages):
                form = storage.form
                read = form.read if type(form) is Unread else None
                if type(read) is not _Row or read.rows is not rows or read.place != place:
                    break
            else:
                return rows.array
        return _stack([s.array for s in self.storages])

    @array.setter
    def array(self, joined) -> None:
        give_rows(self.storages, joined)


def _stack(arrays):
    """A stack made outside of any program; on a CPU by NumPy, which has nothing to compile."""
    if jax.default_backend() != "cpu":
        return rushlight_stack_rows(*arrays)
    return jax.device_put(np.stack([np.asarray(a) for a in arrays]), arrays[0].sharding, may_alias=False)


def storages_of(holders) -> list:
    """The storages among storages and bundles."""
    return [s for h in holders for s in (h.storages if isinstance(h, Bundle) else [h])]


# -- rewriting ----------------------------------------------------------------------------------------------------


class _Value:
    """A result of a node; without a node an input, by its number, or a constant."""

    __slots__ = ("index", "node")

    def __init__(self, node, index):
        self.node: Any = node
        self.index = index


class _Node:
    """An equation on values; with ``axes`` it stands for the same equation of all rows at once."""

    __slots__ = ("args", "axes", "eqn", "marker", "outs")

    def __init__(self, eqn, args, marker=None, axes=None):
        self.eqn, self.marker = eqn, marker
        self.args: list[Any] = args
        self.axes: Any = axes
        self.outs = [_Value(self, i) for i in range(len(eqn.outvars))]


_STACK, _TAKE = "rushlight_stack_rows", "rushlight_take_row"


class _Graph:
    """A traced program with its calls opened, in which equal computations of rows can be found and joined.

    Args:
        closed: the program.
        ordinals: the places of the inputs that are the numbers 0, 1, 2 ...
        free: the places of the inputs that may be replaced by stacks.
    """

    def __init__(self, closed, ordinals, free):
        self.literals: dict = {}
        self.consts: list = []
        jaxpr = closed.jaxpr
        self.avals = [v.aval for v in jaxpr.invars]
        self.inputs = [_Value(None, i) for i in range(len(self.avals))]
        self.ordinals = [self.inputs[i] for i in ordinals]
        self.free = free
        self.stacks: list = []
        self.outs = self._open(jaxpr, closed.consts, self.inputs)
        self.memo: dict = {}
        self.groups: dict[tuple, Any] = {}
        self.members: dict = {}

    def _const(self, key, value):
        found = self.literals.get(key)
        if found is None:
            found = self.literals[key] = _Value(None, ~len(self.consts))
            self.consts.append(value)
        return found

    def _open(self, jaxpr, consts, args) -> list:
        env = dict(zip(jaxpr.invars, args))
        env.update((v, self._const(id(c), c)) for v, c in zip(jaxpr.constvars, consts))

        def look(atom):
            if is_literal(atom):
                value = atom.val
                return self._const((str(atom.aval), type(value), np.asarray(value).tobytes()), value)
            return env[atom]

        for eqn in jaxpr.eqns:
            given = [look(atom) for atom in eqn.invars]
            marker = None
            if eqn.primitive.name == "jit":
                marker = eqn.params["name"]
                if marker not in (_STACK, _TAKE):
                    inner = eqn.params["jaxpr"]
                    env.update(zip(eqn.outvars, self._open(inner.jaxpr, inner.consts, given)))
                    continue
            node = _Node(eqn, given, marker)
            if marker == _STACK:
                self.stacks.append(node)
            env.update(zip(eqn.outvars, node.outs))
        return [look(atom) for atom in jaxpr.outvars]

    def group(self, values) -> _Value | None:
        """Inputs as the rows of one new input; None where they cannot be."""
        if values in self.groups:
            return self.groups[values]
        first = self.avals[values[0].index]
        for v in values:
            if v.index not in self.free or v in self.members or self.avals[v.index] != first:
                return None
        if len(set(values)) != len(values):
            return None
        self.members.update((v, (values, k)) for k, v in enumerate(values))
        made = self.groups[values] = _Value(None, len(self.inputs) + len(self.groups))
        return made

    def join(self, values: tuple):
        """What computes all of ``values``, which belong to one row each.

        Returns:
            tuple: ``(0, value)``, a stack of them, or ``(None, value)`` where all are the same; None if nothing does.
        """
        first = values[0]
        if all(v is first for v in values):
            return None, first
        if values in self.memo:
            return self.memo[values]
        if first.node is None:
            free = all(v.node is None and 0 <= v.index < len(self.avals) for v in values)
            made = self.group(values) if free else None
            found = (0, made) if made is not None else None
        else:
            found = self._join_results(values)
        self.memo[values] = found
        return found

    def _join_results(self, values):
        first = values[0]
        node, nodes = first.node, [v.node for v in values]
        if any(
            n is None or v.index != first.index or n.marker != node.marker or n.eqn.primitive is not node.eqn.primitive
            or (n.eqn is not node.eqn and n.eqn.params != node.eqn.params)
            for v, n in zip(values, nodes)
        ):  # fmt: skip
            return None
        if node.eqn.effects or node.marker == _STACK:
            return None
        if node.marker == _TAKE:
            joined = node.args[0]
            whole = node.eqn.invars[0].aval.shape[0] == len(values)
            in_order = all(n.args[0] is joined and n.args[1] is o for n, o in zip(nodes, self.ordinals))
            return (0, joined) if whole and in_order else None
        parts: list = [self.join(column) for column in zip(*(n.args for n in nodes))]
        if any(part is None for part in parts):
            return None
        if all(axis is None for axis, _ in parts):
            return None, first
        made = _Node(node.eqn, [v for _, v in parts], axes=[axis for axis, _ in parts])
        self.memo.update((tuple(n.outs[i] for n in nodes), (0, out)) for i, out in enumerate(made.outs))
        return 0, made.outs[first.index]

    def order(self, wanted) -> list:
        """The nodes that values need, each after those that it needs."""
        done, ordered = set(), []
        waiting = [(v.node, False) for v in wanted if v.node is not None]
        while waiting:
            node, ready = waiting.pop()
            if node in done:
                continue
            if ready:
                done.add(node)
                ordered.append(node)
                continue
            waiting.append((node, True))
            if not self.is_group(node):
                waiting += [(v.node, False) for v in node.args if v.node is not None and v.node not in done]
        return ordered

    def is_group(self, node) -> bool:
        return node.marker == _STACK and tuple(node.args) in self.groups


def bundle(closed, result, trace, moving):
    """Let a program take and give the state of its rolled layers as stacks.

    What of ``result`` and ``trace`` speaks of inputs and outputs is brought up to date: bundles come after the states.

    Args:
        closed: the traced program.
        result: what its inputs and outputs stand for; gets ``row_grads``, pairs of tensors and an output that is the
            stack of their gradients.
        trace: the trace it is from.
        moving: the places of states that are not always in the same storage.

    Returns:
        ClosedJaxpr: the program to use.
    """
    result.row_grads = []
    states, arguments, _ = result.counts
    written = {i: n for n, (kind, i) in enumerate(result.writes) if kind == "state"}
    ordinals = [states + arguments + n for n, number in enumerate(trace.inputs) if number.key[0] == "row"]
    if not ordinals or result.leaves:
        return closed
    equal = {*trace.shared, *trace.shared.values()}
    free = {i for i in written if i not in moving and i not in equal and _is_alone(trace.states[i])}
    graph = _Graph(closed, ordinals, free)
    for node in graph.stacks:
        if all(v.node is None and v.index >= 0 for v in node.args):
            graph.group(tuple(node.args))
    start, outs = result.outputs, graph.outs
    joined: list = []
    while len(joined) < len(graph.groups):
        # Joining what one group becomes can find further groups: the state of the optimizer.
        for values in list(graph.groups)[len(joined) :]:
            joined.append(_gather(graph, tuple(outs[start + written[v.index]] for v in values)))
    if not joined:
        return closed
    _rename(graph, result, trace, joined)
    return _emit(closed, graph, result.counts[0] - states, states, result.values)


def _is_alone(storage) -> bool:
    """Whether a storage's array is on one device."""
    form = storage.form
    return (type(storage) is Storage and len(form.sharding.device_set) == 1) or type(
        getattr(form, "read", None)
    ) is _Row


def _gather(graph, values):
    """The stack of values: computed as one, or put together."""
    found = graph.join(values)
    if found is not None and found[0] == 0:
        return found[1]
    return values


def _rename(graph, result, trace, joined) -> None:
    """Bring up to date what outputs stand for."""
    outs, start, writes = graph.outs, result.outputs, result.writes
    bundles = [Bundle([trace.states[v.index] for v in values]) for values in graph.groups]
    states = len(trace.states)
    trace.states.extend(bundles)
    inside = {v.index for values in graph.groups for v in values}
    new = list(outs[:start])
    kept = [(n, w) for n, w in enumerate(writes) if w[0] != "state" or w[1] not in inside]
    new += [outs[start + n] for n, _ in kept] + joined
    result.writes = [w for _, w in kept] + [("state", states + g) for g in range(len(bundles))]
    places = {id(t._storage): (t, what) for t, what in result.grads if type(what) is int}
    taken: set = set()
    for group in bundles:
        held = [places.get(id(s)) for s in group.storages]
        known = [h for h in held if h is not None]
        found = graph.join(tuple(outs[what] for _, what in known)) if len(known) == len(held) else None
        if found is not None and found[0] == 0:
            result.row_grads.append(([t for t, _ in known], len(new)))
            new.append(found[1])
            taken.update(id(t) for t, _ in known)
    grads = []
    for t, what in result.grads:
        if type(what) is int:
            if id(t) in taken:
                continue
            new.append(outs[what])
            what = len(new) - 1
        grads.append((t, what))
    result.grads = grads
    slots = []
    for where, name, at, *more in result.slots:
        new.append(outs[at])
        slots.append((where, name, len(new) - 1, *more))
    result.slots = slots
    result.values, result.forward = new, len(new)
    result.counts = [states + len(bundles), *result.counts[1:]]


def _emit(closed, graph, count, states, wanted):
    """The program again, with stacks after the other states."""
    flat = [v for w in wanted for v in (w if isinstance(w, tuple) else (w,))]
    nodes = graph.order(flat)
    stacks = [[len(values), graph.avals[values[0].index]] for values in graph.groups]
    avals = graph.avals
    stacked = [jax.ShapeDtypeStruct((n, *a.shape), a.dtype) for n, a in stacks]
    shapes = [jax.ShapeDtypeStruct(a.shape, a.dtype, weak_type=a.weak_type) for a in avals]

    def program(*arrays):
        plain = [*arrays[:states], *arrays[states + count :]]
        bundles = arrays[states : states + count]
        cut: dict = {}
        values: dict = {}

        def get(v):
            if v.node is not None:
                return values[v]
            if v.index < 0:
                return graph.consts[~v.index]
            if v.index >= len(plain):
                return bundles[v.index - len(plain)]
            if v not in graph.members:
                return plain[v.index]
            if v not in cut:
                group, k = graph.members[v]
                cut[v] = rushlight_take_row(get(graph.groups[group]), plain[graph.ordinals[k].index])
            return cut[v]

        for node in nodes:
            if graph.is_group(node):
                values[node.outs[0]] = get(graph.groups[tuple(node.args)])
                continue
            given = [get(v) for v in node.args]
            if node.axes is None:
                outs = bind(node.eqn, given)
            else:
                outs = jax.vmap(lambda *rows, eqn=node.eqn: bind(eqn, rows), in_axes=node.axes)(*given)
            values.update(zip(node.outs, outs))
        return [rushlight_stack_rows(*map(get, w)) if isinstance(w, tuple) else get(w) for w in wanted]

    return jax.make_jaxpr(program)(*shapes[:states], *stacked, *shapes[states:])
