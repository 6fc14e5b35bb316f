"""Owns cutting a traced program: what is never used is dropped, and a backward part becomes a program of its own.

May import jax, the settings and the order of convolutions.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
from jax.core import ShapedArray
from jax.extend import core as jex

from .. import config
from ..ops._layout import channels_last, convolves, programs
from ._forms import in_fast_forms

_cotangent_p = jex.Primitive("cotangent")
_cotangent_p.def_abstract_eval(lambda *, index, shape, dtype: ShapedArray(shape, np.dtype(dtype)))


def cotangent(index: int, shape, dtype):
    """A stand-in for the gradient of result ``index``, which the backward program will be given."""
    return _cotangent_p.bind(index=index, shape=tuple(shape), dtype=np.dtype(dtype))


class Cut:
    """A part of a jaxpr as a function.

    Attributes:
        takes: the variables it needs, in order.
        call: the function of their values.
    """

    def __init__(self, closed, takes, gives, eqns):
        self.takes = takes
        jaxpr = closed.jaxpr
        consts = dict(zip(jaxpr.constvars, closed.consts))
        needs = used(eqns, gives)
        kept = [v for v in jaxpr.constvars if v in needs and v not in set(takes)]
        part = jaxpr.replace(
            constvars=kept, invars=list(takes), outvars=list(gives), eqns=list(eqns),
            debug_info=jaxpr.debug_info.with_unknown_names(),
        )  # fmt: skip
        self.closed = jex.ClosedJaxpr(part, [consts[v] for v in kept])
        self.call = jex.jaxpr_as_fun(self.closed)


def is_literal(atom) -> bool:
    return isinstance(atom, jex.Literal)


def used(eqns, gives) -> set:
    """The variables that equations read, and those among ``gives``."""
    found = {v for v in gives if not is_literal(v)}
    for eqn in eqns:
        found.update(v for v in eqn.invars if not is_literal(v))
    return found


def needed(eqns, gives):
    """The equations that ``gives`` depends on, and the variables used by them."""
    live = {v for v in gives if not is_literal(v)}
    kept = []
    for eqn in reversed(eqns):
        if eqn.effects or any(v in live for v in eqn.outvars):
            kept.append(eqn)
            live.update(v for v in eqn.invars if not is_literal(v))
    return kept[::-1], live


def split(closed, forward_outputs: int) -> tuple[list, list, list, dict]:
    """Cut where the gradients of the results come in.

    Args:
        closed: the traced program.
        forward_outputs: how many of its outputs belong to the forward part; the rest are gradients.

    Returns:
        tuple: forward equations, backward equations, the variables that cross, cotangent variables by index.
    """
    jaxpr = closed.jaxpr
    marks: dict[int, Any] = {}
    late: set = set()
    forward, backward = [], []
    for eqn in jaxpr.eqns:
        if eqn.primitive is _cotangent_p:
            marks[eqn.params["index"]] = eqn.outvars[0]
            late.update(eqn.outvars)
        elif any(not is_literal(v) and v in late for v in eqn.invars):
            late.update(eqn.outvars)
            backward.append(eqn)
        else:
            forward.append(eqn)
    backward, live = needed(backward, jaxpr.outvars[forward_outputs:])
    # What is made from nothing (zeros, ranges) is made again rather than kept.
    cheap = [
        eqn for eqn in forward if not any(not is_literal(v) for v in eqn.invars) and any(o in live for o in eqn.outvars)
    ]
    backward = cheap + backward
    free = {v for eqn in cheap for v in eqn.outvars}
    consts = set(jaxpr.constvars)
    crossing, seen = [], set()
    for source in (jaxpr.invars, *(eqn.outvars for eqn in forward)):
        for v in source:
            if v in live and v not in free and v not in seen and v not in consts:
                seen.add(v)
                crossing.append(v)
    return forward, backward, crossing, marks


def arranged(closed):
    """A traced program as suits the backend: on a CPU, with channels last and gradients of slices side by side."""
    if jax.default_backend() != "cpu":
        return closed
    closed = in_fast_forms(closed)
    return channels_last(closed) if convolves(closed.jaxpr.eqns) else closed


def options_for(eqns) -> dict | None:
    """XLA settings for a program."""
    return config.convolution_options(_work(eqns)) if convolves(eqns) else None


def _work(eqns) -> float:
    """Multiply-adds of the convolutions of a program."""
    total = 0.0
    for eqn in eqns:
        if eqn.primitive.name == "conv_general_dilated":
            kernel, out = eqn.invars[1].aval.shape, eqn.outvars[0].aval.shape
            total += math.prod(out) * math.prod(kernel) / kernel[eqn.params["dimension_numbers"].rhs_spec[0]]
        total += sum(_work(inner.eqns) for inner in programs(eqn))
    return total
