"""Owns what becomes of arrays on their way into a program: copies of those that others hold, and their place.

May import jax.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp


def _references(storages):
    """How many references there are to the array of each slot, and the arrays."""
    arrays = [s.array for s in storages]
    return [sys.getrefcount(arrays[i]) for i in range(len(arrays))], arrays


_ALONE = _references([SimpleNamespace(array=object())])[0][0]


def given_away(storages) -> list:
    """The arrays of slots that are about to be given away; copies of those that somebody else holds too."""
    counts, arrays = _references(storages)
    if max(counts, default=0) > _ALONE:
        arrays = [jnp.array(a, copy=True) if n > _ALONE else a for n, a in zip(counts, arrays)]
    return arrays


def committed(arrays) -> list:
    """Arrays tied to their device, as they come back from the program: else the second call would compile again."""
    if any(len(a.sharding.device_set) > 1 for a in arrays):
        return arrays
    return [a if a.committed else jax.device_put(a, a.sharding) for a in arrays]
