"""Owns giving a traced program the memory order that convolutions want: channels last from one to the next.

May import held values, the forms of convolutions and jax. PyTorch's order is channels first, which costs a transposed
copy around every convolution; here every value may be held with its dimensions permuted, and what lies between
convolutions follows them.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.extend import core as jex

from ._convolutions import convolution
from ._orders import Held, identity


def _names(text: str) -> frozenset:
    return frozenset(text.split())


# One result, computed element by element from operands of one shape (scalars apart).
_ELEMENTWISE = _names(
    """abs acos acosh add add_any and asin asinh atan atan2 atanh cbrt ceil clamp convert_element_type copy copy_p cos
    cosh digamma div eq erf erf_inv erfc exp exp2 expm1 floor ge gt integer_pow is_finite le lgamma log log1p logistic
    lt max min mul ne neg nextafter not or pow real reduce_precision rem round rsqrt select_n sign sin sinh sqrt square
    stop_gradient sub tan tanh xor"""
)
_REDUCTIONS = _names("reduce_sum reduce_max reduce_min reduce_prod reduce_and reduce_or reduce_xor")
_WINDOWS = _names(
    """reduce_window reduce_window_sum reduce_window_max reduce_window_min select_and_scatter_add
    select_and_gather_add"""
)
_CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "custom_jvp_call": "call_jaxpr",
          "custom_vjp_call": "call_jaxpr"}  # fmt: skip


def channels_last(closed):
    """The same program with its convolutions, and what lies between them, in channels-last order.

    Args:
        closed: a closed jaxpr.

    Returns:
        ClosedJaxpr: with the same inputs and outputs.
    """
    given = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype, weak_type=v.aval.weak_type) for v in closed.jaxpr.invars]

    def run(*arrays):
        held = _run(closed.jaxpr, closed.consts, [Held(a, identity(a.ndim)) for a in arrays])
        return [h.plain for h in held]

    return jax.make_jaxpr(run)(*given)


def in_order(function):
    """A function that computes the same as another, on a CPU ``channels_last``."""

    def run(*arrays):
        if jax.default_backend() != "cpu":
            return function(*arrays)
        closed, shapes = jax.make_jaxpr(function, return_shape=True)(*arrays)
        return jax.tree.unflatten(jax.tree.structure(shapes), jex.jaxpr_as_fun(channels_last(closed))(*arrays))

    run.__name__ = run.__qualname__ = function.__name__
    return run


def _run(jaxpr, consts, args) -> list:
    env: dict = {}

    def read(atom: Any) -> Held:
        if isinstance(atom, jex.Literal):
            return Held(atom.val, identity(np.ndim(atom.val)), True)
        return env[atom]

    for var, value in zip(jaxpr.constvars, consts):
        env[var] = Held(value, identity(value.ndim))
    env.update(zip(jaxpr.invars, args))
    for eqn in jaxpr.eqns:
        values = [read(a) for a in eqn.invars]
        for var, out in zip(eqn.outvars, _step(eqn, values)):
            env[var] = out
    return [read(a) for a in jaxpr.outvars]


def _step(eqn, values) -> list:
    name, params = eqn.primitive.name, eqn.params
    if name in _CALLS:
        inner = params[_CALLS[name]]
        jaxpr, consts = getattr(inner, "jaxpr", inner), getattr(inner, "consts", ())
        return _run(jaxpr, consts, values)
    if name == "conv_general_dilated":
        return [convolution(eqn, *values)]
    inside = {key: new for key, value in params.items() if (new := _inside(value)) is not None}
    if inside:
        return [Held(a, identity(a.ndim)) for a in bind(eqn, [v.plain for v in values], **inside)]
    if name == "rev":
        return _reverse(eqn, values)
    if any(v.moved for v in values):
        rule = _RULES.get(name)
        out = rule(eqn, values) if rule is not None else None
        if out is not None:
            return out
    return _plain(eqn, values)


def _inside(value) -> Any:
    """The programs of a loop or a choice in their own good order; None for what is none, or has no convolution."""
    if isinstance(value, tuple):
        found = [_inside(one) for one in value]
        return tuple(new or old for new, old in zip(found, value)) if any(found) else None
    if not isinstance(value, jex.ClosedJaxpr) or not convolves(value.jaxpr.eqns):
        return None
    return channels_last(value)


def convolves(eqns) -> bool:
    """Whether there is a convolution among equations, or in the programs that they call."""
    return any(e.primitive.name == "conv_general_dilated" or any(convolves(p.eqns) for p in programs(e)) for e in eqns)


def programs(eqn) -> list:
    """The programs that an equation calls."""
    given = [v for value in eqn.params.values() for v in (value if isinstance(value, tuple) else (value,))]
    found = [getattr(value, "jaxpr", value) for value in given]
    return [inner for inner in found if hasattr(inner, "eqns")]


def bind(eqn, arrays, **changed) -> list:
    """Run an equation on arrays."""
    with eqn.ctx.manager:
        out = eqn.primitive.bind(*arrays, **eqn.primitive.get_bind_params({**eqn.params, **changed}))
    return list(out) if eqn.primitive.multiple_results else [out]


def _plain(eqn, values) -> list:
    name = eqn.primitive.name
    if name == "broadcast_in_dim":
        free = values[0].size < math.prod(eqn.params["shape"])
    else:
        free = name == "iota" or (name in _ELEMENTWISE and not any(v.size for v in values))
    return [Held(a, identity(a.ndim), free) for a in bind(eqn, [v.plain for v in values])]


def _order(values, ndim: int) -> tuple:
    """The order in which the fewest elements of the operands have to be moved."""
    full = [v for v in values if v.ndim == ndim]
    choices = [identity(ndim), *(v.first for v in full if v.moved)]
    return min(choices, key=lambda order: sum(v.size for v in full if order not in v.orders))


# -- rules ------------------------------------------------------------------------------------------------------------


def _elementwise(eqn, values) -> list:
    shape = eqn.outvars[0].aval.shape
    order = _order(values, len(shape))
    arrays = [v.get(order) if v.ndim == len(shape) else v.plain for v in values]
    return [Held(out, order) for out in bind(eqn, arrays, **({"sharding": None} if "sharding" in eqn.params else {}))]


def _reduce(eqn, values) -> list:
    (value,) = values
    order, axes = value.first, eqn.params["axes"]
    places = tuple(sorted(order.index(a) for a in axes))
    (out,) = bind(eqn, [value.get(order)], axes=places)
    return [Held(out, _closed_up([d for d in order if d not in axes]))]


def _closed_up(order) -> tuple:
    """An order of some of the dimensions, numbered anew."""
    rank = {d: i for i, d in enumerate(sorted(order))}
    return tuple(rank[d] for d in order)


def _arg_reduce(eqn, values) -> list:
    (value,) = values
    order, axes = value.first, eqn.params["axes"]
    (out,) = bind(eqn, [value.get(order)], axes=tuple(order.index(a) for a in axes))
    return [Held(out, _closed_up([d for d in order if d not in axes]))]


_PER_DIMENSION = (
    "window_dimensions", "window_strides", "padding", "base_dilation", "window_dilation", "padding_config",
    "start_indices", "limit_indices", "strides",
)  # fmt: skip


def _per_dimension(eqn, values) -> list:
    """Options that are given dimension by dimension."""
    order = _order(values, values[0].ndim)
    changed = {k: tuple(eqn.params[k][d] for d in order) for k in _PER_DIMENSION if eqn.params.get(k) is not None}
    arrays = [v.get(order) if v.ndim == len(order) else v.plain for v in values]
    return [Held(out, order) for out in bind(eqn, arrays, **changed)]


def _along(option):
    """An option that names one dimension, or several."""

    def rule(eqn, values) -> list:
        order = _order(values, values[0].ndim)
        dims = eqn.params[option]
        places = order.index(dims) if isinstance(dims, int) else tuple(order.index(d) for d in dims)
        return [Held(out, order) for out in bind(eqn, [v.get(order) for v in values], **{option: places})]

    return rule


_turned = _along("dimensions")


def _reverse(eqn, values) -> list:
    (out,) = _turned(eqn, values)
    out.source = values[0], tuple(eqn.params["dimensions"])
    return [out]


def _dynamic_slice(eqn, values) -> list | None:
    value, *starts = values
    if not value.moved:
        return None
    order = value.first
    sizes = tuple(eqn.params["slice_sizes"][d] for d in order)
    arrays = [value.get(order), *(starts[d].plain for d in order)]
    return [Held(out, order) for out in bind(eqn, arrays, slice_sizes=sizes)]


def _transpose(eqn, values) -> list:
    (value,) = values
    to = {d: i for i, d in enumerate(eqn.params["permutation"])}
    return [Held(value.orders[value.first], tuple(to[d] for d in value.first))]


def _broadcast(eqn, values) -> list | None:
    value, *rest = values
    shape, dims = eqn.params["shape"], eqn.params["broadcast_dimensions"]
    if rest or len(shape) != value.ndim or tuple(dims) != identity(value.ndim):
        return None
    order = value.first
    (out,) = bind(eqn, [value.get(order)], shape=tuple(shape[d] for d in order), sharding=None)
    return [Held(out, order)]


def _squeeze(eqn, values) -> list:
    (value,) = values
    order, dims = value.first, eqn.params["dimensions"]
    (out,) = bind(eqn, [value.get(order)], dimensions=tuple(order.index(d) for d in dims))
    return [Held(out, _closed_up([d for d in order if d not in dims]))]


def _groups(old, new) -> list | None:
    """How a reshape cuts and joins: pairs of dimension lists with equal products, as small as possible."""
    pairs: list = []
    i = j = 0
    while i < len(old) or j < len(new):
        a, b = [i], [j]
        if i >= len(old) or j >= len(new):
            return None
        p, q, i, j = old[i], new[j], i + 1, j + 1
        while p != q:
            if p < q and i < len(old):
                p, i = p * old[i], (a.append(i), i + 1)[1]
            elif q < p and j < len(new):
                q, j = q * new[j], (b.append(j), j + 1)[1]
            else:
                return None
        pairs.append((a, b))
    return pairs


def _reshape(eqn, values) -> list | None:
    """A reshape that cuts or joins dimensions: those to be joined are brought together first."""
    value = values[0]
    old, new = eqn.invars[0].aval.shape, eqn.params["new_sizes"]
    if eqn.params.get("dimensions") is not None or not math.prod(new):
        return None
    # Dimensions of size 1 lie anywhere: the old ones are left out, the new ones come first.
    kept, made = [d for d, n in enumerate(old) if n != 1], [d for d, n in enumerate(new) if n != 1]
    pairs = _groups([old[d] for d in kept], [new[d] for d in made])
    if pairs is None:
        return None
    joined = {kept[i]: ([kept[i] for i in a], [made[i] for i in b]) for a, b in pairs for i in a}
    before = [d for d, n in enumerate(old) if n == 1]
    after = [d for d, n in enumerate(new) if n == 1]
    for d in value.first:
        if old[d] != 1 and d not in before:
            members, outs = joined[d]
            before += members
            after += outs
    out = lax.reshape(value.get(tuple(before)), [new[d] for d in after])
    return [Held(out, tuple(after))]


def _barrier(eqn, values) -> list:
    outs = bind(eqn, [v.orders[v.first] for v in values])
    return [Held(out, v.first) for out, v in zip(outs, values)]


_RULES: dict[str, Any] = {
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    **dict.fromkeys(_REDUCTIONS, _reduce),
    **dict.fromkeys(_WINDOWS | {"pad", "slice"}, _per_dimension),
    **dict.fromkeys(("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp", "split"), _along("axis")),
    "argmax": _arg_reduce, "argmin": _arg_reduce, "concatenate": _along("dimension"),
    "dynamic_slice": _dynamic_slice, "transpose": _transpose, "broadcast_in_dim": _broadcast, "squeeze": _squeeze,
    "reshape": _reshape, "optimization_barrier": _barrier,
}  # fmt: skip
