"""Owns what a trace finds out when its function is over: state that nobody knew of, and tensors that got out.

May import the tensor class, storages and jax.
"""

from __future__ import annotations

import gc

import jax
from jax.core import Tracer

from .._tensor.storage import Storage
from .._tensor.tensor import Tensor
from ._outside import NotYet, Unsupported


class MoreState(Exception):
    """State turned up that was no input yet; the run starts again with it."""


def strangers(trace) -> list:
    """Storages from outside that were written and are no inputs yet: ``(storage, array, version)`` as it was before."""
    born = {id(s) for s in (ref() for ref in trace.born) if s is not None}

    def alive() -> list:
        held = ((ref(), array, version) for ref, array, version in trace.writes.values())
        return [h for h in held if h[0] is not None and id(h[0]) not in born and not isinstance(h[1], Tracer)]

    if alive():
        gc.collect()
    return alive()


def look_for_more(trace, closed, written) -> None:
    """State that the run wrote or met as constants, or modules it met on the way, must become inputs.

    Args:
        trace: the trace.
        closed: the traced program.
        written: storages from outside that are no inputs yet.

    Raises:
        MoreState: there is some.
    """
    found = trace.found
    before = len(trace.states), len(trace._kept)
    for module in trace.visited.values():
        if id(module) not in found.modules:
            found.add_module(module)
    consts = [c for c in closed.consts if isinstance(c, jax.Array) and not isinstance(c, Tracer)]
    known = {id(array) for _, array, _ in trace.kept_states}
    strange = [c for c in consts if id(c) not in known]
    storages = written + ([s for s in gc.get_referrers(*strange) if type(s) is Storage] if strange else [])
    for s in storages:
        found.add_storage(s)
    if storages:
        for t in gc.get_referrers(*storages):
            if isinstance(t, Tensor) and t._node is None:
                found.add_tensor(t)
    if before != (len(found.storages), len(found.modules)):
        raise MoreState


def check_escapes(trace) -> None:
    """A tensor made inside that somebody still holds would never be made again.

    Raises:
        Unsupported: there is one.
    """
    if _alive(trace):  # not by a name, which would keep alive what it finds
        gc.collect()
    alive = _alive(trace)
    if alive and trace.others.forget():
        raise NotYet
    if alive:
        raise Unsupported(
            f"a tensor of shape {list(alive[0].array.shape)} made inside is kept outside (in a list, a "
            "dict or an attribute)",
            "Return it from the function instead.",
        )


def _alive(trace) -> list:
    return [s for s in (ref() for ref in trace.born) if s is not None and isinstance(s.array, Tracer)]
