"""Owns view paths: reading a view from its storage, writing back through it, and torch's strides for it.

May import program; a path is a tuple of (program, dynamic numbers), applied from the storage outwards.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .program import Program


def read(array, path):
    """The view's array, computed from its storage's."""
    for program, dynamic in path:
        array = program.fwd(array, *dynamic)
    return array


def write(array, path, value):
    """The storage's array with ``value`` written through the path."""
    levels = [array]
    for program, dynamic in path[:-1]:
        levels.append(program.fwd(levels[-1], *dynamic))
    for level, (program, dynamic) in zip(reversed(levels), reversed(path)):
        value = _scatter(program)(level, value, *dynamic)
    return value


def _scatter(program: Program):
    """A compiled function (array, value, *dynamic) -> array with value written where the view looks."""
    found = program.scatter_
    if found is None:
        inverse = program.inverse or _by_index(program)
        found = program.scatter_ = jax.jit(inverse)
    return found


def _by_index(program: Program):
    """Write through any view: look at the positions that it reads, and set those."""

    def scatter(array, value, *dynamic):
        positions: Any = program.flat(jnp.arange(array.size).reshape(array.shape), *dynamic)
        flat = array.reshape(-1).at[positions.reshape(-1)].set(value.reshape(-1).astype(array.dtype))
        return flat.reshape(array.shape)

    return scatter


_copy_programs: dict = {}


def copy_program(path) -> tuple[Program, list]:
    """A program (base, value, *dynamic) -> base with the view replaced, and the dynamic numbers of the path."""
    programs = tuple(program for program, _ in path)
    counts = tuple(len(dynamic) for _, dynamic in path)
    key = programs, counts
    found = _copy_programs.get(key)
    if found is None:

        def copy_slices(base, value, *numbers):
            supply = iter(numbers)
            steps = [(p, [next(supply) for _ in range(n)]) for p, n in zip(programs, counts)]
            return write(base, steps, value)

        found = _copy_programs[key] = Program(copy_slices, "copy_slices")
    return found, [n for _, dynamic in path for n in dynamic]


def contiguous_strides(shape) -> tuple:
    """The strides of a row-major tensor, in elements."""
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


def geometry(shape, path):
    """torch's (shape, strides, offset) of a view, in elements of its own dtype."""
    strides, offset = contiguous_strides(shape), 0
    shape = tuple(shape)
    for program, dynamic in path:
        shape, strides, offset = program.geometry(shape, strides, offset, *dynamic)
    return shape, strides, offset


def is_contiguous(shape, strides) -> bool:
    """Whether elements lie row-major without gaps (dimensions of size 1 do not count)."""
    step = 1
    for n, s in zip(reversed(shape), reversed(strides)):
        if n == 0:
            return True
        if n != 1:
            if s != step:
                return False
            step *= n
    return True


def view_strides(shape, strides, new_shape):
    """The strides that let the same memory be seen as ``new_shape``, or None where a copy is needed."""
    if 0 in shape:
        return contiguous_strides(new_shape)
    out = [0] * len(new_shape)
    j = len(new_shape) - 1
    i = len(shape) - 1
    if i < 0:
        return tuple(1 for _ in new_shape)
    while i >= 0:
        # One chunk of old dimensions that lie evenly in memory ...
        base, size = strides[i], shape[i]
        while i > 0 and (shape[i - 1] == 1 or strides[i - 1] == size * base):
            i -= 1
            size *= shape[i]
        # ... has to be covered exactly by new dimensions.
        covered = 1
        while j >= 0 and (covered < size or new_shape[j] == 1):
            out[j] = covered * base
            covered *= new_shape[j]
            j -= 1
        if covered != size:
            return None
        i -= 1
    return tuple(out) if j < 0 else None
