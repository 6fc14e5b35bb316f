"""Owns computing once what a program makes of state that it does not change: kernels in another order, scaled gains.

May import jax and the cutting of programs.
"""

from __future__ import annotations

import math
import weakref

import jax

from . import _split

# These cost nothing where they stand.
_FREE = frozenset(["broadcast_in_dim", "expand_dims", "iota", "reshape", "squeeze"])
_CUTS = _FREE | {"slice"}
_SMALL = 4096
# Elements; less is not worth looking after (learning rates and what is made of them).
_WORTHWHILE = 128


class Prepared:
    """A part of a program that depends on unchanging state alone, and what it gave for the arrays of now.

    Args:
        closed: the whole traced program.
        eqns: those of the part.
        takes: the variables that it needs.
        gives: the variables that it makes for the rest.
        storages: where the values of ``takes`` are.
    """

    def __init__(self, closed, eqns, takes, gives, storages):
        self.storages = storages
        self.program = jax.jit(_split.Cut(closed, takes, gives, eqns).call)
        self.seen: list = []
        self.values: list = []

    def get(self) -> list:
        """The values, computed anew where an array was replaced; arrays that left are not held."""
        arrays = [s.array for s in self.storages]
        for seen, array in zip(self.seen, arrays):
            if seen() is not array:
                break
        else:
            if self.seen:
                return self.values
        self.values = list(self.program(*arrays))
        self.seen = [weakref.ref(a) for a in arrays]
        return self.values


def separate(eqns, fixed: set) -> tuple[list, list]:
    """What can be computed from ``fixed`` variables alone, without needing more memory than they do, and the rest.

    Returns:
        tuple: the equations of the part, which are none where they would not save anything, and the others.
    """
    known = set(fixed)
    early, late = [], []
    for eqn in eqns:
        given = [v for v in eqn.invars if not _split.is_literal(v)]
        if (
            given and all(v in known for v in given) and not eqn.effects
            and _elements(eqn.outvars) <= max(_elements(given), _SMALL)
        ):  # fmt: skip
            known.update(eqn.outvars)
            early.append(eqn)
        else:
            late.append(eqn)
    early, cut = _without_small_cuts(early)
    late = cut + late
    if not any(eqn.primitive.name not in _FREE and _elements(eqn.outvars) >= _WORTHWHILE for eqn in early):
        return [], list(eqns)
    return early, late


def _without_small_cuts(eqns) -> tuple[list, list]:
    """Equations without those at the end that only cut small parts out: each part would be an input of the rest."""
    kept, cut, needed = [], [], set()
    for eqn in reversed(eqns):
        small = eqn.primitive.name in _CUTS and _elements(eqn.outvars) <= _SMALL
        if small and not any(v in needed for v in eqn.outvars):
            cut.append(eqn)
        else:
            kept.append(eqn)
            needed.update(v for v in eqn.invars if not _split.is_literal(v))
    return kept[::-1], cut[::-1]


def _elements(atoms) -> int:
    return sum(math.prod(v.aval.shape) for v in atoms)
