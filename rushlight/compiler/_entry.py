"""Owns ``Entry``: one compiled program with what must hold for it to be used, and running it on real state.

May import the tensor cell, the tape and jax.
"""

from __future__ import annotations

from typing import Any

import jax

from .._graph.modes import state
from .._hooks import EVERYWHERE, changes
from .._tensor.tensor import Tensor
from . import _split
from ._arguments import LOOKS
from ._arrays import committed, given_away
from ._bundles import Bundle, bundle, give_rows, storages_of
from ._contents import MISSING, is_plain, same
from ._groups import Held
from ._guards import Values, structure, watched
from ._host import Assigned, HostNumber, Sheet
from ._moving import Data, follow
from ._node import CompiledNode
from ._numbers import holder, look_up
from ._prepared import Prepared, separate
from ._printing import Printed


class Entry:
    """A program, its guards, and where its inputs come from and its outputs go.

    Args:
        result: what the trace found.
        leaves: the arguments it was traced with.
        static: ``(place, value)`` of the numbers among the arguments that are constants of the program.
    """

    def __init__(self, result, leaves, static):
        trace = result.trace
        self.result, self.numbers, self.static = result, trace.numbers, static
        fed = [(s.taken, s.kind) for s, _ in trace.spares if s.taken is not None]
        held = [kind[1] for kind in result.kinds if kind[0] == "number"]
        held += [a.value for a in (*result.hosted, *trace.assignments()) if type(a.value) is HostNumber]
        held += [a for printed in trace.printed for a in printed.numbers()]
        self.sheet = Sheet(trace.decided.values(), fed, held)
        self._guards(trace, leaves)
        self._programs(result, trace)
        result.trace = result.closed = None  # they hold on to the arrays of the first call
        self.epoch = changes.count
        self.runs, self.unsettled = 0, True

    # -- guards -------------------------------------------------------------------------------------------------

    def _guards(self, trace, leaves) -> None:
        found = trace.found
        dynamic = {n.key for n in self.numbers}
        self.reads = [r for key, r in trace.reads.items() if key not in dynamic]
        rebound = {(id(where), name) for where, name, *_ in (*self.result.slots, *self.result.histories)}
        self.names = [
            (home, name, value)
            for home, name, value in found.globals
            if id(home) not in found.passed
            and (id(holder(home, name)), name) not in dynamic
            and look_up(home, name) is value
        ]
        skipped, watched = dynamic | rebound, found.to_watch()
        self.slots, self.rebound = [], []
        # What a function asks for before it puts a tensor there decides what it does.
        self.reads = [
            r for r in self.reads
            if (id(r[0].__dict__), r[1]) not in rebound or r[2] is MISSING or is_plain(r[2])
        ]  # fmt: skip
        self.values = Values(trace, self.reads, watched, skipped)
        own = {id(m.__dict__) for m in found.modules.values()}
        self.starts = [
            (where, name, where.get(name, MISSING)) for where, name, *_ in self.result.slots
            if id(where) not in own and not isinstance(where.get(name), Tensor)
        ]  # fmt: skip
        for m in found.modules.values():
            for table in (m._parameters, m._buffers, m._modules):
                for name, value in table.items():
                    if (id(table), name) not in rebound:
                        self.slots.append((table, name, value))
        for where, name, *_ in self.result.slots:
            value = where.get(name)
            held = isinstance(value, Tensor) and id(value._storage) in trace.places
            if held and (id(where), name) not in self.result.unread:
                self.rebound.append((where, name, trace.places[id(value._storage)], _kind(value)))
        moving = {at for _, _, at, _ in self.rebound}
        replaced = {id(where.tensor) for where, *_ in self.result.slots if isinstance(where, Data)}
        self.tensors = [
            (t, None if id(t) in replaced else t._storage, t._requires_grad, _hooks(t))
            for t in trace.owners if id(t) in replaced or trace.places[id(t._storage)] not in moving
        ]  # fmt: skip
        self.links = [link for link in self.result.links if link.home not in moving]
        self.fixed = [s for i, s in enumerate(trace.states) if i not in moving]
        self.shapes = [s.form.shape for s in self.fixed]
        self.state_ids = {id(s) for s in self.fixed}
        self.paths = found.names
        for tensor, _ in self.result.opened:
            held = tensor.grad
            if held is not None:
                at = trace.places[id(held._storage)]
                self.rebound.append((self._ref(tensor, trace), None, at, _kind(held)))
        self.modules = [(m, structure(m)) for m in found.modules.values()]
        self.everywhere = list(EVERYWHERE.values())
        used = {id(t) for t in trace.arguments}
        self.aliases = [
            (i, t) for i, t in enumerate(leaves.tensors) if id(t) not in used
        ]  # arguments that are state themselves
        self.taken = [leaves.index[id(t)] for t in trace.arguments]
        self.hooked = [(leaves.index[id(t)], _hooks(t)) for t in trace.arguments if t._edge() is not None]
        self.layouts = [(self.taken[i], LOOKS[what], answer) for (i, what), answer in trace.looks.asked.items()]
        seen = [*trace.owners, *(t for _, t in self.aliases)]
        known = {**found.watched, **found.records}
        self.containers, self.known = [known.get(id(c)) for c in leaves.containers], set(known)
        self.objects = [o for o in leaves.objects if not hasattr(type(o), "dtype")]  # the key has their ids
        self.paths_of = [(t, t._path) for t in seen if t._path]
        self.opened = [(self._ref(t, trace), empty) for t, empty in self.result.opened]
        self.rates = trace.rates
        self.options = [r for key, r in trace.options.items() if key not in dynamic]
        self.optimizers = [Held(o) for o in found.optimizers.values()]
        self.kinds = [(n, type(n.get(leaves))) for n in self.numbers]
        groups: dict = {}
        for other, first in trace.shared.items():
            groups.setdefault(first, [trace.states[first]]).append(trace.states[other])
        self.alike = list(groups.values())
        self.before = [_with_values(action) for action, _ in trace.before]
        self.after = [_with_values(action) for action, _ in trace.after]

    @staticmethod
    def _ref(tensor, trace):
        """A tensor of the state, or the place of an argument."""
        if any(t is tensor for t in trace.arguments):
            return trace.leaves.index[id(tensor)]
        return tensor

    def fails(self, leaves) -> Any:
        """Why the program must not be used for this call: None, or a tuple that ``explain`` can phrase."""
        for place, value in self.static:
            if not same(leaves.numbers[place], value):
                return "number", leaves.names[place], value, leaves.numbers[place], place
        for place, tensor in self.aliases:
            if leaves.tensors[place] is not tensor:
                return "identity", f"argument {place}"
        for container, known in zip(leaves.containers, self.containers):
            if container is not known and (known is not None or id(container) in self.known):
                return "identity", "a list or dict"
        for place in self.taken:
            if id(leaves.tensors[place]._storage) in self.state_ids:
                return "identity", f"argument {place}"
        for place, hooks in self.hooked:
            if _hooks(leaves.tensors[place]) != hooks:
                return "hooks", leaves.tensors[place]
        for place, look, answer in self.layouts:
            if look(leaves.tensors[place]) != answer:
                return "layout", place
        for tensor, path in self.paths_of:
            if tensor._path is not path:
                return "storage", tensor
        for table, name, value in self.slots:
            if table.get(name, MISSING) is not value:
                return "slot", name
        if self.rebound:
            storages: dict = {}
            for where, name, at, shape in self.rebound:
                now = _current(where, name, leaves)
                if not isinstance(now, Tensor) or now._path or now._node is not None or _kind(now) != shape:
                    return "slot", name
                if storages.setdefault(at, now._storage) is not now._storage:
                    return "slot", name
            if len(set(map(id, storages.values()))) < len(storages):
                return "slot", "data"
        for tensor, storage, wants, _ in self.tensors:
            if tensor._storage is not storage and storage is not None:
                return self.fails(leaves) if follow(self) else ("storage", tensor)
            if tensor._requires_grad is not wants:
                return "requires_grad", tensor
        for home, name, value in self.names:
            now = look_up(home, name)
            if now is not value and not (is_plain(value) and same(now, value)):
                return "name", home, name, value, now
        for where, name, value in self.starts:
            if where.get(name, MISSING) is not value:
                return "slot", name
        reason = self.values.fails()
        if reason is not None:
            return reason
        for ref, empty in self.opened:
            tensor = leaves.tensors[ref] if type(ref) is int else ref
            if (tensor._grad is None) is not empty:
                return "grad", tensor
        for held in self.optimizers:
            part = held.fails()
            if part is not None:
                return "group", part
        for number, kind in self.kinds:
            if type(number.get(leaves)) is not kind:
                return "kind", number.name, kind
        if self.sheet:
            values = self.sheet.compute(leaves)
            reason = self.sheet.fails(values)
            if reason is not None:
                return reason
            leaves.values = self, values
        for group, name, value in self.options:
            now = group.get(name, MISSING)
            if now is not value and not same(now, value):
                return "option", group, name, value, now
        for slots in self.alike:
            first = slots[0].array
            if any(s.array is not first for s in slots):
                return ("steps",)
        for optimizer, table, held in self.optimizer_states:
            if optimizer.state is not table:
                return ("state",)
            for p, own, values, equal in held:
                if table.get(p) is not own or len(own) != len(values) or not all(map(equal, own.values(), values)):
                    return ("state",)
        for optimizer, index, where, static in self.rates:
            if optimizer._read_numbers(index, optimizer.param_groups[index], where)[0].static != static:
                return ("option",)
        if self.epoch != changes.count or self.values.look_closer():
            reason = self._changed()
            if reason is not None:
                return reason
            self.epoch = changes.count
            self.values.settle()
        return None

    def _changed(self):
        """Look closer: something that can matter was changed since the last call."""
        for module, name, value in self.reads:
            now = module.__dict__.get(name, MISSING)
            if now is not value and not (is_plain(value) and same(now, value)):
                return "attribute", module, name, value, now
        for module, then in self.modules:
            if structure(module) != then:
                return "structure", module
        for tensor, _, _, hooks in self.tensors:
            if _hooks(tensor) != hooks:
                return "hooks", tensor
        if [s.form.shape for s in self.fixed] != self.shapes:
            return ("shape",)
        if list(EVERYWHERE.values()) != self.everywhere:
            return "hooks", None
        return None

    # -- programs -----------------------------------------------------------------------------------------------

    def _programs(self, result, trace) -> None:
        moving = {at for _, _, at, _ in self.rebound}
        closed = _split.arranged(bundle(result.closed, result, trace, moving))
        self.grads = [(self._ref(t, trace), what) for t, what in result.grads]
        self.row_grads = [([self._ref(t, trace) for t in tensors], what) for tensors, what in result.row_grads]
        forward = result.forward
        jaxpr = closed.jaxpr
        states, arguments, _ = result.counts
        self.node_edges: list = []
        self.prepared: Prepared | None = None
        gives = list(jaxpr.outvars[:forward])
        eqns, crossing = jaxpr.eqns, []
        if result.leaves:
            eqns, backward, crossing, marks = _split.split(closed, forward)
            cotangents = [marks.get(n) for n in range(len(result.wanting))]
            self._make_backward(closed, backward, crossing, cotangents, jaxpr.outvars[forward:], result, trace)
        gives, self.place = _distinct([*gives, *crossing])
        self.crossing = [self.place[forward + i] for i in range(len(crossing))]
        eqns, _ = _split.needed(eqns, gives)
        written = {i for kind, i in result.writes if kind == "state"}
        fixed = {v: s for i, (v, s) in enumerate(zip(jaxpr.invars, trace.states)) if i not in written | moving}
        early, eqns = separate(eqns, set(fixed))
        needs = _split.used(eqns, gives)
        ready = [v for eqn in early for v in eqn.outvars if v in needs]
        if early:
            early, live = _split.needed(early, ready)
            takes = [v for v in fixed if v in live]
            self.prepared = Prepared(closed, early, takes, ready, [fixed[v] for v in takes])
        donated, kept = [], []
        for i, v in enumerate(jaxpr.invars):
            if v in needs:
                (donated if i < states and i in written else kept).append((i, v))
        self.donated = [trace.states[i] for i, _ in donated]
        self.kept = [trace.states[i] for i, _ in kept if i < states]
        self.inputs = [trace.leaves.index[id(trace.arguments[i - states])]
                       for i, _ in kept if states <= i < states + arguments]  # fmt: skip
        self.given_numbers = [trace.inputs[i - states - arguments] for i, _ in kept if i >= states + arguments]
        cut = _split.Cut(closed, [*(v for _, v in donated + kept), *ready], gives, eqns)
        self.jaxpr = cut.closed

        def program(given, others):
            return cut.call(*given, *others)

        program.__name__ = program.__qualname__ = "step"
        self.program = jax.jit(program, donate_argnums=0, compiler_options=_split.options_for(eqns))
        self.minds_memory = any(k == "argument" for k, _ in result.writes) or any(
            w == "memory" for _, w in trace.looks.asked
        )
        start = result.outputs
        self.written, self.written_from, self.argument_writes = [], [], []
        indices = []
        for n, (kind, i) in enumerate(result.writes):
            place = self.place[start + n]
            if kind == "state":
                self.written.append(trace.states[i])
                self.written_from.append(place)
                indices.append(i)
            else:
                self.argument_writes.append((self.taken[i], place))

        rebound = {(id(where), name) for where, name, *_ in result.slots}
        self.touched = {id(s) for s in storages_of([*self.donated, *self.kept, *self.written])}
        self.optimizer_states = [
            (o, o.state, watched(o, self.touched, rebound)) for o in trace.found.optimizers.values()
        ]
        self.holders: dict = {}
        for storages, places in (
            (self.donated, [i for i, _ in donated]), (self.kept, [i for i, _ in kept if i < states]),
            (self.written, indices),
        ):  # fmt: skip
            for n, i in enumerate(places):
                self.holders.setdefault(i, []).append((storages, n))

    def _make_backward(self, closed, eqns, crossing, cotangents, gives, result, trace) -> None:
        present = [c for c in cotangents if c is not None]
        cut = _split.Cut(closed, [*crossing, *present], gives, eqns)

        def backward(saved, grads):
            return cut.call(*saved, *grads)

        self.backward = jax.jit(backward, compiler_options=_split.options_for(eqns))
        self.backward_jaxpr = cut.closed
        self.present = [(n, c.aval.shape, c.aval.dtype) for n, c in enumerate(cotangents) if c is not None]
        self.node_edges = [self._ref(trace.foreign[i], trace) for i, _ in result.leaves]

    # -- running ------------------------------------------------------------------------------------------------

    def run(self, leaves):
        """Run the program on what the state holds now."""
        owner, values = leaves.values
        if owner is not self:
            values = self.sheet.compute(leaves)
        for action in self.before:
            action(values)
        if self.before:
            self._refresh()
        if self.rebound:
            self._rebind(leaves)
        tensors = leaves.tensors
        donated = given_away(self.donated) if self.donated else []
        if self.unsettled:
            donated, self.unsettled = committed(donated), False
        kept = [s.array for s in self.kept]
        if self.inputs:
            kept += [tensors[i]._array() for i in self.inputs]
        if self.given_numbers:
            kept += [n.get(leaves) if n.taken is None else values[id(n.taken)] for n in self.given_numbers]
        if self.prepared is not None:
            kept += self.prepared.get()
        done: list = []
        try:
            done.extend(map(self.program, (donated,), (kept,)))  # no bytecode in between, where Ctrl-C could come in
            self._store(done[0], tensors, values)
        except BaseException:
            if done:  # what the program was given is gone: what came of it must not be
                self._store(done[0], tensors, values)
            raise
        self.runs += 1
        made = self._wrap(done[0], leaves, values)
        for link in self.links:
            link.join(made, done[0], self.place)
        for where, name, at in self.result.histories:
            where[name] = made[at]
        for n, write in self.result.given:
            write(leaves.containers[n], made)
        for action in self.after:
            action(values)
        return self.result.build(made)

    def _refresh(self) -> None:
        """Schedules were stepped, or options set, before the program runs: it is to see them."""
        for optimizer, index, where, static in self.rates:
            if optimizer._read_numbers(index, optimizer.param_groups[index], where)[0].static != static:
                raise RuntimeError(
                    f"{type(optimizer).__name__}: a number of its group {index} became zero, or was zero, by a change "
                    "inside of a compiled function, which makes it another update. Make the change outside."
                )

    def _store(self, outs, tensors, values) -> None:
        """Put what the program gives for the state into its place; doing so twice does no harm."""
        place = self.place
        for storage, where in zip(self.written, self.written_from):
            storage.array = outs[where]
            storage.version += 1
        for i, where in self.argument_writes:
            tensors[i]._write(outs[where])
        for ref, what in self.grads:
            tensor = tensors[ref] if type(ref) is int else ref
            tensor._grad = Tensor._of(outs[place[what]], tensor._storage.device) if type(what) is int else what
        for refs, what in self.row_grads:
            rows = [tensors[ref] if type(ref) is int else ref for ref in refs]
            for tensor in rows:
                tensor._grad = Tensor._of(None, tensor._storage.device)
            give_rows([t._grad._storage for t in rows], outs[place[what]])
        held: dict = {}
        for where, name, at, kind, device in self.result.slots:
            where[name] = held[at] = held[at] if at in held else kind._of(outs[place[at]], device)
        for own, name, value in self.result.assigned:
            if own.get(name, MISSING) is not value:
                own[name] = value
                changes.count += 1
        self.sheet.finish(values, outs, place)  # which may raise, as a division by zero does
        for assigned in self.result.hosted:
            assigned(values)

    def storage_lists(self) -> list:
        """The lists of storages that the program takes from, gives to, and compares."""
        held = [self.donated, self.kept, self.written]
        bundles = [h.storages for storages in held for h in storages if isinstance(h, Bundle)]
        return [*held, *bundles, *self.alike, self.fixed, *([self.prepared.storages] if self.prepared else [])]

    def _rebind(self, leaves) -> None:
        """Attributes that the function replaces, and gradients, may hold another tensor on every call."""
        for where, name, at, _ in self.rebound:
            storage = _current(where, name, leaves)._storage
            for storages, place in self.holders.get(at, ()):
                storages[place] = storage

    def _wrap(self, outs, leaves, given) -> list:
        node, made, place, tensors = None, [], self.place, leaves.tensors
        if self.node_edges:
            edges = [(tensors[ref] if type(ref) is int else ref)._edge() for ref in self.node_edges]
            node = CompiledNode(self, [outs[i] for i in self.crossing], edges, len(self.result.wanting))
        for kind in self.result.kinds:
            what = kind[0]
            if what == "tensor":
                made.append(kind[2]._of(outs[place[kind[1]]], kind[3]))
                if state.inference or kind[5]:
                    made[-1]._inference = True
            elif what == "array":
                array = outs[place[kind[1]]]
                made.append(array.item() if array.weak_type and not array.ndim else array)
            elif what == "number":
                made.append(given[id(kind[1])])
            elif what == "argument":
                made.append(tensors[self.taken[kind[1]]])
            elif what == "container":
                made.append(leaves.containers[kind[1]])
            elif what == "shared":
                made.append(kind[2]._of(kind[1].array, kind[1].device))
                made[-1]._storage = kind[1]
            else:
                made.append(kind[1])
        for at in self.result.freed:
            out = made[at]
            out._node, out._requires_grad = CompiledNode(self, None, [], 1), True
        if node is not None:
            for n, at in enumerate(self.result.wanting):
                out = made[at]
                out._node, out._index, out._requires_grad = node, n, True
        return made


def _with_values(action):
    return action if isinstance(action, (Assigned, Printed)) else lambda values: action()


def _distinct(atoms):
    """Each variable once, and where every atom went."""
    places, kept, index = [], [], {}
    for atom in atoms:
        key = id(atom)
        if key not in index:
            index[key] = len(kept)
            kept.append(atom)
        places.append(index[key])
    return kept, places


def _kind(tensor) -> tuple:
    array = tensor._array()
    return array.shape, array.dtype, tensor._storage.device


def _current(where, name, leaves):
    """What an attribute holds now; without a name, the gradient of a tensor or of an argument."""
    if name is not None:
        return where.get(name)
    return (leaves.tensors[where] if type(where) is int else where)._grad


def _hooks(tensor) -> tuple:
    held, after = tensor._hooks, tensor._post_hooks
    return tuple(held.values()) if held else (), tuple(after.values()) if after else ()
