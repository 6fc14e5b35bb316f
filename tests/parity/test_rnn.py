"""Recurrent layers, cells and packed sequences, run in both libraries with one seed: values, gradients, errors, names."""

import pytest
from module_programs import run

import rushlight

torch = pytest.importorskip("torch")
from parity._table import compare  # noqa: E402

pytestmark = pytest.mark.parity

LAYERS = {
    "RNN": ("RNN", {"dtype": "float64"}),
    "RNN relu, two layers": ("RNN", {"nonlinearity": "relu", "num_layers": 2}),
    "LSTM": ("LSTM", {}),
    "LSTM projected, both ways": ("LSTM", {"proj_size": 3, "bidirectional": True, "dtype": "float64"}),
    "LSTM with dropout": ("LSTM", {"num_layers": 2, "dropout": 0.5, "batch_first": True}),
    "GRU": ("GRU", {"bias": False}),
    "GRU dropping all, both ways": (
        "GRU",
        {"num_layers": 2, "dropout": 1.0, "bidirectional": True, "dtype": "float64"},
    ),
}


def tensors(value):
    """All tensors in nested tuples."""
    if value is None:
        return []
    if isinstance(value, (torch.Tensor, rushlight.Tensor)):
        return [value]
    return [leaf for part in value for leaf in tensors(part)]


def forward(t, kind, options, lengths, given_state):
    """A layer from one seed, its outputs for one input, and all gradients."""
    options = dict(options)
    dtype = getattr(t, options.pop("dtype", "float32"))
    t.manual_seed(3)
    layer = getattr(t.nn, kind)(4, 5, dtype=dtype, **options)
    shape = (3, 4, 4) if layer.batch_first else (4, 3, 4)
    x = t.randn(shape, dtype=dtype).requires_grad_()
    state = None
    if given_state:
        count = layer.num_layers * (1 + layer.bidirectional)
        state = t.randn(count, 3, layer.proj_size or 5, dtype=dtype, requires_grad=True)
        if kind == "LSTM":
            state = state, t.randn(count, 3, 5, dtype=dtype, requires_grad=True)
    inputs = x
    if lengths:
        inputs = t.nn.utils.rnn.pack_padded_sequence(x, lengths, layer.batch_first, enforce_sorted=False)
    outs = tensors(layer(inputs, state))
    roots = [out for out in outs if out.requires_grad]
    sum((out * out).sum() * (i + 1) for i, out in enumerate(roots)).backward()
    leaves = [x, *tensors(state), *layer.parameters()]
    return layer, outs, [leaf.grad for leaf in leaves]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("lengths", [None, [2, 4, 1]], ids=["padded", "packed"])
def test_layer(name, lengths):
    kind, options = LAYERS[name]
    given = lengths is None
    layer, outs, grads = forward(rushlight, kind, options, lengths, given)
    layer_, outs_, grads_ = forward(torch, kind, options, lengths, given)
    assert repr(layer) == repr(layer_)
    assert list(layer.state_dict()) == list(layer_.state_dict())
    for p, q in zip(layer.parameters(), layer_.parameters()):
        assert p.tolist() == q.tolist()
    assert len(outs) == len(outs_) and len(grads) == len(grads_)
    run_dtype = options.get("dtype", "float32")
    tolerance = (1e-9, 1e-11) if run_dtype == "float64" else (1e-4, 2e-6)
    for i, (a, b) in enumerate(zip(outs, outs_)):
        compare(f"{name}: output {i}", a, b, run_dtype, tolerance)
    for i, (a, b) in enumerate(zip(grads, grads_)):
        compare(f"{name}: gradient {i}", a, b, run_dtype, tolerance)


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
def test_cell(kind):
    def step(t):
        t.manual_seed(0)
        cell = getattr(t.nn, kind)(3, 4, dtype=t.float64)
        x = t.randn(2, 3, dtype=t.float64)
        out = cell(x)
        out = cell(x, out)
        alone = cell(x[0])
        outs = [*tensors(out), *tensors(alone)]
        sum((o * o).sum() for o in outs).backward()
        return cell, outs, [p.grad for p in cell.parameters()]

    ours, theirs = step(rushlight), step(torch)
    assert repr(ours[0]) == repr(theirs[0])
    for group, group_ in zip(ours[1:], theirs[1:]):
        for a, b in zip(group, group_):
            compare(kind, a, b, "float64")


def messages(t, log):
    nn, x = t.nn, t.zeros(3, 2, 4)
    for kind in ("RNN", "LSTM", "GRU"):
        make = getattr(nn, kind)
        layer = make(4, 5)
        for bad in (t.zeros(4), t.zeros(3, 2, 3), t.zeros(3, 2, 4, dtype=t.float64), t.zeros(0, 2, 4)):
            log.tried(lambda layer=layer, bad=bad: layer(bad))
        states = [t.zeros(1, 3, 5), t.zeros(2, 5)]
        for state in states:
            given = (state, state) if kind == "LSTM" else state
            log.tried(lambda layer=layer, given=given: layer(x, given))
            log.tried(lambda layer=layer, given=given: layer(x[0], given))
        log.tried(lambda make=make: make(0, 5))
        log.tried(lambda make=make: make(4, 0))
        log.tried(lambda make=make: make(4, 5, 0))
        log.tried(lambda make=make: make(4.0, 5))
        log.tried(lambda make=make: make(4, 5, bias=1))
        log.tried(lambda make=make: make(4, 5, batch_first=1))
        log.tried(lambda make=make: make(4, 5, dropout=2))
        log.tried(lambda make=make: make(4, 5, dropout=0.5))
        log.tried(lambda make=make: make(4, 5, proj_size=5))
        log.tried(lambda make=make: make(4, 5, proj_size=-1))
    log.tried(lambda: nn.RNN(4, 5, nonlinearity="sigmoid"))
    log.tried(lambda: nn.RNNBase("LSTN", 4, 5))
    log.add(nn.RNN(4, 5, 2, "relu", False), nn.LSTM(4, 5, proj_size=2, bidirectional=True, batch_first=True))


def cell_messages(t, log):
    nn, x = t.nn, t.zeros(2, 4)
    cells = nn.RNNCell(4, 5), nn.LSTMCell(4, 5), nn.GRUCell(4, 5, bias=False), nn.RNNCell(4, 5, nonlinearity="relu")
    log.add(*cells, nn.RNNCell(4, 5, nonlinearity="none"))
    for cell in cells:
        log.tried(lambda cell=cell: cell(t.zeros(2, 2, 4)))
        log.tried(lambda cell=cell: cell(t.zeros(2, 3)))
        for shape in ((3, 5), (2, 6), (2, 2, 5)):
            state = t.zeros(shape)
            pair = (state, state) if isinstance(cell, nn.LSTMCell) else state
            log.tried(lambda cell=cell, pair=pair: cell(x, pair))
    log.tried(lambda: cells[1](x, (t.zeros(2, 5),)))
    log.tried(lambda: nn.RNNCell(4, 5, nonlinearity="none")(x))


def packing(t, log):
    r = t.nn.utils.rnn
    x = t.arange(24.0).reshape(3, 2, 4)
    for lengths in ([3, 3, 3], [2, 3], [3, 0], t.tensor([[3, 2]]), [3, 1], t.tensor([2, 2]), [2.5, 1]):
        log.tried(lambda lengths=lengths: r.pack_padded_sequence(x, lengths))
    log.tried(lambda: r.pack_padded_sequence(t.zeros(0, 2, 4), [3, 2]))
    packed = r.pack_padded_sequence(x, [1, 3], enforce_sorted=False)
    log.add(packed, repr(packed), packed.double().data, packed.to(t.float64).sorted_indices)
    log.add(packed.to(t.float32) is packed, packed.cpu() is packed, packed.is_cuda, type(packed).__mro__[1].__name__)
    for options in ({}, {"batch_first": True}, {"padding_value": -1.0, "total_length": 5}, {"total_length": 2}):
        log.tried(lambda options=options: r.pad_packed_sequence(packed, **options))
    log.tried(lambda: r.PackedSequence(x))
    log.tried(lambda: r.invert_permutation(None))
    parts = [t.tensor([1, 2]), t.tensor([3, 4, 5]), t.tensor([6])]
    for options in ({}, {"batch_first": True}, {"padding_value": 9, "padding_side": "left"}, {"padding_side": "up"}):
        log.tried(lambda options=options: r.pad_sequence(parts, **options))
    log.tried(lambda: r.pad_sequence([]))
    log.tried(lambda: r.pad_sequence(3))
    log.tried(lambda: r.pad_sequence([1, 2]))
    log.tried(lambda: r.pad_sequence([t.ones(2, 3), t.ones(3, 2)]))
    log.tried(lambda: r.pack_sequence(parts))
    both = r.pack_sequence(parts, enforce_sorted=False)
    log.add(both, r.unpack_sequence(both))
    log.add(r.unpad_sequence(r.pad_sequence(parts, batch_first=True), t.tensor([2, 3, 1]), batch_first=True))
    a, b = t.ones(2, 2, requires_grad=True), t.ones(3, 2, requires_grad=True)
    padded = r.pad_sequence([a, b])
    (padded * t.arange(12.0).reshape(3, 2, 2)).sum().backward()
    log.add(padded, a.grad, b.grad)
    out, (h, _) = t.nn.LSTM(4, 5)(packed)
    log.add(out.data.shape, out.batch_sizes, out.unsorted_indices, h.shape)
    log.tried(lambda: t.nn.GRU(4, 5)(r.pack_padded_sequence(x, [3, 1]), t.zeros(1, 3, 5)))


@pytest.mark.parametrize("program", [messages, cell_messages, packing], ids=lambda p: p.__name__)
def test_program(program):
    ours, theirs = run(program, rushlight), run(program, torch)
    for i, (a, b) in enumerate(zip(ours, theirs)):
        assert a == b, f"report {i}: {a} is not {b}"
    assert len(ours) == len(theirs)
