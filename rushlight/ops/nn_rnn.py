"""Owns the recurrent operators: whole stacks of RNN, LSTM and GRU layers as scans, and their single cells.

May import the door, nn_dropout, nn_linear and jax. A layer has a tangent rule of its own, in which the products with
the weights' tangents stand outside the scan, so that its transpose finds the weights' gradients in one product instead
of one per step (``benchmarks/recurrent.py`` measures both).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._tensor.tensor import Tensor, to_device
from ._op import Array, Number, op
from .creation import zeros
from .nn_dropout import _check
from .nn_linear import contract

sigmoid, tanh = jax.nn.sigmoid, jnp.tanh


def _times(x, weight):
    """``x @ weight.T`` over the last dimension."""
    return contract(x, weight, ((x.ndim - 1,), (1,)))


# Each cell is ``step(from_input, from_hidden, *state) -> (new state, saved)`` and its tangent, which is linear in
# everything but what was saved. What a product gives is split into gates along the last dimension.


def _tanh_step(gx, gh, h):
    new = tanh(gx + gh)
    return (new,), (1 - new * new,)


def _relu_step(gx, gh, h):
    total = gx + gh
    return (jnp.maximum(total, 0),), ((total > 0).astype(gx.dtype),)


def _simple_tangent(saved, tx, th, t):
    return (saved[0] * (tx + th),)


def _lstm_step(gx, gh, h, c):
    # sigmoid(x) is (tanh(x / 2) + 1) / 2: one function of all gates is computed once and at full width, where four of
    # their parts are computed again for each result that needs them (27 against 22 ms in ``benchmarks/recurrent.py``).
    total = gx + gh
    size = total.shape[-1] // 4
    half = np.repeat(np.array([0.5, 0.5, 1, 0.5], total.dtype), size)
    i, f, g, o = jnp.split(tanh(total * half) * half + (1 - half), 4, -1)
    new = f * c + i * g
    top = tanh(new)
    slopes = jnp.concatenate([g * i * (1 - i), c * f * (1 - f), i * (1 - g * g), top * o * (1 - o)], -1)
    return (o * top, new), (slopes, f, o * (1 - top * top))


def _lstm_tangent(saved, tx, th, t_h, t_c):
    slopes, f, out = saved
    a, b, c, d = jnp.split((tx + th) * slopes, 4, -1)
    new = f * t_c + a + b + c
    return out * new + d, new


def _gru_step(gx, gh, h):
    xr, xz, xn = jnp.split(gx, 3, -1)
    hr, hz, hn = jnp.split(gh, 3, -1)
    r, z = sigmoid(xr + hr), sigmoid(xz + hz)
    n = tanh(xn + r * hn)
    inner = (1 - z) * (1 - n * n)
    return (n + z * (h - n),), (r, z, inner, inner * hn * r * (1 - r), (h - n) * z * (1 - z))


def _gru_tangent(saved, tx, th, t_h):
    r, z, inner, by_r, by_z = saved
    xr, xz, xn = jnp.split(tx, 3, -1)
    hr, hz, hn = jnp.split(th, 3, -1)
    return (inner * (xn + r * hn) + by_r * (xr + hr) + by_z * (xz + hz) + z * t_h,)


_CELLS = {
    "RNN_TANH": (_tanh_step, _simple_tangent),
    "RNN_RELU": (_relu_step, _simple_tangent),
    "LSTM": (_lstm_step, _lstm_tangent),
    "GRU": (_gru_step, _gru_tangent),
}


# Sequences from which on a CPU takes them in two halves. Each half has its own chain of steps, so that two cores work
# on one each without waiting for the other after every product (``benchmarks/recurrent.py``: 13.5 against 16 ms).
_TWO_CHAINS = 16


def _scan(step, state, given, reverse):
    """``lax.scan`` over steps whose states and inputs have the sequences in their first dimension."""
    size = state[0].shape[0]
    if size < _TWO_CHAINS or size % 2 or jax.default_backend() != "cpu":
        return lax.scan(step, state, given, reverse=reverse)

    def halves(tree):
        return tuple(jax.tree.map(lambda a, at=at: a[at : at + size // 2], tree) for at in (0, size // 2))

    def joined(parts):
        return jax.tree.map(lambda *a: jnp.concatenate(a), *parts)

    def both(states, t):
        new, out = zip(*map(step, states, halves(t)))
        return new, joined(out)

    last, outs = lax.scan(both, halves(state), given, reverse=reverse)
    return joined(last), outs


def _by_hidden(w_hh, state) -> Any:
    """The product of every step: with the weight turned once for all, or as it is for a single sequence, which reads
    it row by row (64 steps of 256: 0.95 against 1.17 ms)."""
    if len(state[0]) == 1:
        return lambda h: _times(h, w_hh)
    turned = w_hh.T
    return lambda h: contract(h, turned, ((1,), (0,)))


def _advance(mode, gx, state, by_hidden, b_hh, w_hr, mask) -> Any:
    """One step: the new state, what its tangent needs, and the hidden state before its projection."""
    gh = by_hidden(state[0])
    if b_hh is not None:
        gh = gh + b_hh
    new, saved = _CELLS[mode][0](gx, gh, *state)
    raw = new[0]
    if w_hr is not None:
        new = (_times(raw, w_hr), *new[1:])
    if mask is not None:
        new = tuple(jnp.where(mask[:, None], a, b) for a, b in zip(new, state))
    return new, saved, raw


def _run_plain(mode, reverse, gates, state, w_hh, b_hh, w_hr, mask):
    """All steps of one layer in one direction: the hidden states, and the state at the end."""
    by_hidden = _by_hidden(w_hh, state)

    def step(state, t):
        new, _, _ = _advance(mode, t[0], state, by_hidden, b_hh, w_hr, t[1])
        return new, new[0]

    last, hidden = _scan(step, state, (gates, mask), reverse)
    return hidden, last


_run: Any = jax.custom_jvp(_run_plain, nondiff_argnums=(0, 1))


@_run.defjvp
def _run_jvp(mode, reverse, primals, tangents):
    gates, state, w_hh, b_hh, w_hr, mask = primals
    t_gates, t_state, t_w_hh, t_b_hh, t_w_hr, _ = tangents
    by_hidden = _by_hidden(w_hh, state)

    def step(state, t):
        new, saved, raw = _advance(mode, t[0], state, by_hidden, b_hh, w_hr, t[1])
        return new, (new[0], state[0], saved, None if w_hr is None else raw)

    last, (hidden, before, saved, raw) = _scan(step, state, (gates, mask), reverse)
    # What the weights' tangents add at every step, found at once.
    by_weight = _times(before, t_w_hh)
    if b_hh is not None:
        by_weight = by_weight + t_b_hh
    by_projection = None if w_hr is None else _times(raw, t_w_hr)
    together = mode != "GRU"
    if together:
        t_gates, by_weight = t_gates + by_weight, None

    def tangent(t_state, t):
        tx, th, tp, saved, m = t
        from_hidden = _times(t_state[0], w_hh)
        new = _CELLS[mode][1](saved, tx, from_hidden if together else th + from_hidden, *t_state)
        if w_hr is not None:
            new = (_times(new[0], w_hr) + tp, *new[1:])
        if m is not None:
            new = tuple(jnp.where(m[:, None], a, b) for a, b in zip(new, t_state))
        return new, new[0]

    t_last, t_hidden = _scan(tangent, t_state, (t_gates, by_weight, by_projection, saved, mask), reverse)
    return (hidden, last), (t_hidden, t_last)


def _layer(mode, reverse, x, state, weights, biases, projected, mask):
    """One layer in one direction, over ``x`` of shape (time, batch, features)."""
    w_ih, w_hh, *rest = weights
    b_ih, b_hh = (rest[0], rest[1]) if biases else (None, None)
    gates = _times(x, w_ih)
    if b_ih is not None and b_hh is not None:
        # Only the GRU scales what comes from the hidden state by itself. The others add both in each step, at no cost.
        gates, b_hh = (gates + b_ih, b_hh) if mode == "GRU" else (gates, b_ih + b_hh)
    return _run(mode, reverse, gates, state, w_hh, b_hh, rest[-1] if projected else None, mask)


@op(name="rnn", method=False)
def stack(
    input: Array, h: Array, c: Array | None, mask: Array | None, noise: list[Array], weights: list[Array],
    keep: Number, mode, layers, directions, biases, projected, batch_first,
):  # fmt: skip
    """Layers of recurrent cells, one above the other.

    Args:
        h, c: the states at the start, ``(layers * directions, batch, features)``.
        mask: ``(time, batch)``, False where a sequence is over.
        noise: zeros and ones for the dropout above each layer but the last; or nothing.
        weights: those of each layer and direction: ``w_ih, w_hh[, b_ih, b_hh][, w_hr]``.
        keep: the share of ones in ``noise``.

    Returns:
        tuple: the last layer's hidden states, and the states at the end.
    """
    x = jnp.swapaxes(input, 0, 1) if batch_first else input
    each = len(weights) // (layers * directions)
    ends: list = []
    for layer in range(layers):
        outs = []
        for direction in range(directions):
            i = layer * directions + direction
            state = (h[i],) if c is None else (h[i], c[i])
            hidden, last = _layer(
                mode, direction == 1, x, state, weights[i * each : (i + 1) * each], biases, projected, mask
            )
            outs.append(hidden)
            ends.append(last)
        x = outs[0] if directions == 1 else jnp.concatenate(outs, -1)
        if noise and layer < layers - 1:
            x = x * (noise[layer] / keep).astype(x.dtype)
    states = tuple(jnp.stack(parts) for parts in zip(*ends))
    return (jnp.swapaxes(x, 0, 1) if batch_first else x, *states)


@op(name="rnn_cell", method=False)
def cell(
    input: Array, h: Array, c: Array | None, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None, mode
):
    """One step of one cell, for a batch: the new state."""
    gx = _times(input, w_ih)
    if b_ih is not None:
        gx = gx + b_ih
    state = (h,) if c is None else (h, c)
    new, _, _ = _advance(mode, gx, state, _by_hidden(w_hh, state), b_hh, None, None)
    return new if len(new) > 1 else new[0]


@op(name="_pack_padded_sequence", method=False)
def take_rows(input: Array, rows: Array):
    """The rows of ``(time, batch, *)`` at flat positions ``time * batch_size + batch``."""
    return input.reshape(-1, *input.shape[2:])[rows]


@op(name="_pad_packed_sequence", method=False)
def spread_rows(data: Array, index: Array, mask: Array, value: Number):
    """Rows put where ``index`` says, with ``value`` where ``mask`` is False."""
    there = mask.reshape(*mask.shape, *(1 for _ in data.shape[1:]))
    return jnp.where(there, data[index], jnp.asarray(value, data.dtype))


def layout(batch_sizes, device):
    """Where the rows of a packed sequence lie in a padded one.

    Args:
        batch_sizes: how many sequences there are at each step, as a host array.

    Returns:
        tuple: row by (step, sequence), whether there is one, and flat position by row; the steps are rounded up, so
        that batches of nearly the same length share a compiled program.
    """
    steps = len(batch_sizes) if len(batch_sizes) < 8 else -(-len(batch_sizes) // 8) * 8
    width = int(batch_sizes[0])
    sizes = np.zeros(steps, np.int64)
    sizes[: len(batch_sizes)] = batch_sizes
    mask = np.arange(width)[None, :] < sizes[:, None]
    index = np.where(mask, (np.cumsum(sizes) - sizes)[:, None] + np.arange(width)[None, :], 0)
    return tuple(Tensor._of(to_device(a, device), device) for a in (index, mask, np.flatnonzero(mask)))


def _dropped(x, dropout, layers, size):
    """The noise above each layer but the last, drawn in the order in which torch draws it."""
    _check(dropout)
    shape = (*x.shape[:-1], size)
    noise = [zeros(shape, dtype=x.dtype, device=x.device) for _ in range(layers - 1)]
    return noise if dropout == 1 else [n.bernoulli_(1 - dropout) for n in noise]


def _recurrent(mode, name, args, kwargs):
    """One of torch's recurrent functions, for a padded or a packed sequence."""
    packed = isinstance(args[3], bool) is False
    names = ("data", "batch_sizes", "hx", "params", "has_biases", "num_layers", "dropout", "train", "bidirectional")
    if not packed:
        names = ("input", *names[2:], "batch_first")
    given = dict(zip(names, args))
    given.update(kwargs)
    missing = [n for n in names if n not in given]
    if missing or len(given) > len(names) or len(args) > len(names):
        raise TypeError(f"{name}() expects the arguments ({', '.join(names)}), but got {len(args) + len(kwargs)}")
    x, hx, weights, biases = given[names[0]], given["hx"], list(given["params"]), bool(given["has_biases"])
    layers, directions, batch_first = given["num_layers"], 1 + bool(given["bidirectional"]), given.get("batch_first")
    h, c = (hx[0], hx[1]) if mode == "LSTM" else (hx, None)
    if mode == "LSTM" and len(hx) != 2:
        raise RuntimeError("lstm expects two hidden states")
    projected = len(weights) // (layers * directions) == (5 if biases else 3)
    mask = rows = None
    flat = x
    if packed:
        index, mask, rows = layout(given["batch_sizes"]._host(), x.device)
        x = spread_rows(x, index, mask, 0)
    elif x._array().shape[1 if batch_first else 0] == 0:
        raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
    dropout = float(given["dropout"]) if given["train"] and layers > 1 else 0.0
    noise = []
    if dropout:
        shape = flat.transpose(0, 1) if batch_first else flat
        noise = _dropped(shape, dropout, layers, directions * h.shape[-1])
        if packed:
            noise = [spread_rows(n, index, mask, 0) for n in noise]
    keep = 1 - dropout or 1.0
    out, *ends = stack(
        x, h, c, mask, noise, weights, keep, mode, layers, directions, biases, projected, bool(batch_first)
    )
    return (take_rows(out, rows) if packed else out, *ends)


def _functions(mode, name, what):
    def run(*args, **kwargs):
        return _recurrent(mode, name, args, kwargs)

    run.__name__ = run.__qualname__ = name
    run.__doc__ = f"""Layers of {what} over a padded batch or a packed sequence.

    Call as ``(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first)`` or as
    ``(data, batch_sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional)``.

    Returns:
        tuple: the last layer's hidden states, and the states at the end.

    Raises:
        RuntimeError: no steps, or sizes that do not fit.
    """
    return run


rnn_tanh = _functions("RNN_TANH", "rnn_tanh", "Elman cells with tanh")
rnn_relu = _functions("RNN_RELU", "rnn_relu", "Elman cells with ReLU")
lstm = _functions("LSTM", "lstm", "long short-term memory cells (Hochreiter & Schmidhuber 1997)")
gru = _functions("GRU", "gru", "gated recurrent units (Cho et al. 2014)")


def _check_cell(input, states, w_ih, w_hh):
    """Refuse what torch's cells refuse.

    Raises:
        RuntimeError: sizes that do not fit.
    """
    if input.shape[1] != w_ih.shape[1]:
        raise RuntimeError(f"input has inconsistent input_size: got {input.shape[1]} expected {w_ih.shape[1]}")
    for i, state in enumerate(states):
        if input.shape[0] != state.shape[0]:
            raise RuntimeError(f"Input batch size {input.shape[0]} doesn't match hidden{i} batch size {state.shape[0]}")
        if state.shape[1] != w_hh.shape[1]:
            raise RuntimeError(
                f"hidden{i} has inconsistent hidden_size: got {state.shape[1]}, expected {w_hh.shape[1]}"
            )


def _cells(mode, name):
    def run(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
        if mode == "LSTM" and len(hx) != 2:
            raise RuntimeError("lstm_cell expects two hidden states")
        h, c = hx if mode == "LSTM" else (hx, None)
        _check_cell(input, (h,) if c is None else (h, c), w_ih, w_hh)
        return cell(input, h, c, w_ih, w_hh, b_ih, b_hh, mode)

    run.__name__ = run.__qualname__ = name
    run.__doc__ = """One step of a recurrent cell for a batch.

    Shape:
        input ``(N, in)``, state ``(N, hidden)``; the result is the new state.

    Raises:
        RuntimeError: the sizes do not fit.
    """
    return run


rnn_tanh_cell = _cells("RNN_TANH", "rnn_tanh_cell")
rnn_relu_cell = _cells("RNN_RELU", "rnn_relu_cell")
lstm_cell = _cells("LSTM", "lstm_cell")
gru_cell = _cells("GRU", "gru_cell")

__all__ = [
    "gru", "gru_cell", "lstm", "lstm_cell", "rnn_relu", "rnn_relu_cell", "rnn_tanh", "rnn_tanh_cell",
]  # fmt: skip
