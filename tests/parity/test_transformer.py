"""Attention and transformers, run in both libraries with one seed: values, gradients, masks, errors, names."""

import pytest
from module_programs import run

import rushlight

torch = pytest.importorskip("torch")
from parity._table import compare  # noqa: E402

pytestmark = pytest.mark.parity
INF = float("inf")


def mha(t, options, call, train=False):
    """An attention layer from one seed, its results, and all gradients."""
    t.manual_seed(1)
    layer = t.nn.MultiheadAttention(8, 2, dtype=t.float64, **options).train(train)
    first = options.get("batch_first", False)

    def draw(length, features):
        return t.randn((3, length, features) if first else (length, 3, features), dtype=t.float64).requires_grad_()

    q = draw(4, 8)
    k = draw(5, options.get("kdim") or 8)
    v = draw(5, options.get("vdim") or 8)
    t.manual_seed(2)
    outs = [o for o in call(t, layer, q, k, v) if o is not None]
    sum((o * o).sum() for o in outs).backward()
    return layer, outs, [x.grad for x in (q, k, v, *layer.parameters())]


def padding(t, length=5):
    return t.tensor([[n >= keep for n in range(length)] for keep in (length, 3, 2)])


def causal(t, size=4):
    return t.nn.Transformer.generate_square_subsequent_mask(size, dtype=t.float64)


ATTENTION = {
    "self": ({}, lambda t, m, q, k, v: m(q, q, q)),
    "cross, batch first": ({"batch_first": True}, lambda t, m, q, k, v: m(q, k, v)),
    "one memory, no weights": ({"bias": False}, lambda t, m, q, k, v: m(q, k, k, need_weights=False)),
    "own sizes": ({"kdim": 3, "vdim": 5}, lambda t, m, q, k, v: m(q, k, v, average_attn_weights=False)),
    "bias and zero": (
        {"add_bias_kv": True, "add_zero_attn": True},
        lambda t, m, q, k, v: m(q, k, v, key_padding_mask=padding(t), attn_mask=t.zeros(4, 5) > 1),
    ),
    "padded, no weights": (
        {"batch_first": True},
        lambda t, m, q, k, v: m(q, k, v, key_padding_mask=padding(t), need_weights=False),
    ),
    "causal": ({}, lambda t, m, q, k, v: m(q, q, q, attn_mask=causal(t), need_weights=False, is_causal=True)),
    "causal with weights": ({}, lambda t, m, q, k, v: m(q, q, q, attn_mask=causal(t), is_causal=True)),
    "mask by head": ({}, lambda t, m, q, k, v: m(q, q, q, attn_mask=causal(t).repeat(6, 1, 1) * 0 + 0.5)),
    "unbatched": ({}, lambda t, m, q, k, v: m(q[:, 0], k[:, 0], v[:, 0], key_padding_mask=padding(t)[1])),
    "dropout": ({"dropout": 0.5}, lambda t, m, q, k, v: m(q, k, v)),
    "dropout, no weights": (
        {"dropout": 0.5, "batch_first": True},
        lambda t, m, q, k, v: m(q, q, q, need_weights=False),
    ),
}


def agree(name, ours, theirs, dtype="float64"):
    assert repr(ours[0]) == repr(theirs[0])
    assert list(ours[0].state_dict()) == list(theirs[0].state_dict())
    for (a, p), (_, q) in zip(ours[0].named_parameters(), theirs[0].named_parameters()):
        compare(f"{name}: {a}", p, q, dtype, (0, 0) if p.dtype is rushlight.float32 else (1e-15, 0))
    for part, (group, group_) in enumerate(zip(ours[1:], theirs[1:])):
        assert len(group) == len(group_)
        for i, (a, b) in enumerate(zip(group, group_)):
            if b is None:
                assert a is None
            else:
                compare(f"{name}: {part} {i}", a, b, dtype)


@pytest.mark.parametrize("name", ATTENTION)
def test_attention(name):
    options, call = ATTENTION[name]
    train = "dropout" in name
    agree(name, mha(rushlight, options, call, train), mha(torch, options, call, train))


def encoder_layer(t, **options):
    return t.nn.TransformerEncoderLayer(8, 2, 12, dtype=t.float64, **options)


def model(t, build, call, train):
    t.manual_seed(4)
    made = build(t).train(train)
    src, tgt = t.randn(3, 5, 8, dtype=t.float64), t.randn(3, 4, 8, dtype=t.float64)
    src.requires_grad_()
    t.manual_seed(5)
    out = call(t, made, src, tgt)
    if out.requires_grad:
        (out * out).sum().backward()
    return made, [out], [src.grad, *(p.grad for p in made.parameters())]


def without_grad(t, m, s, g):
    with t.no_grad():
        return m(s, src_key_padding_mask=padding(t))


def whole(t, m, s, g):
    return m(s, g, tgt_mask=causal(t), src_key_padding_mask=padding(t), memory_key_padding_mask=padding(t))


MODELS = {
    "layer": (lambda t: encoder_layer(t, batch_first=True), lambda t, m, s, g: m(s), False),
    "layer, dropout": (lambda t: encoder_layer(t, batch_first=True, dropout=0.3), lambda t, m, s, g: m(s), True),
    "layer, norm first": (
        lambda t: encoder_layer(t, norm_first=True, activation="gelu", bias=False, dropout=0.2),
        lambda t, m, s, g: m(s, src_mask=causal(t, 3), is_causal=True),
        True,
    ),
    "layer, module activation": (
        lambda t: encoder_layer(t, activation=t.nn.Tanh(), layer_norm_eps=1e-3),
        lambda t, m, s, g: m(s[0]),
        False,
    ),
    "encoder skipping padding": (
        lambda t: t.nn.TransformerEncoder(encoder_layer(t, batch_first=True), 2, t.nn.LayerNorm(8, dtype=t.float64)),
        without_grad,
        False,
    ),
    "encoder, causal": (
        lambda t: t.nn.TransformerEncoder(encoder_layer(t, batch_first=True), 2, enable_nested_tensor=False),
        lambda t, m, s, g: m(s, mask=causal(t, 5)),
        False,
    ),
    "decoder layer": (
        lambda t: t.nn.TransformerDecoderLayer(8, 2, 12, batch_first=True, norm_first=True, dtype=t.float64),
        lambda t, m, s, g: m(g, s, tgt_mask=causal(t), memory_key_padding_mask=padding(t)),
        False,
    ),
    "transformer": (
        lambda t: t.nn.Transformer(8, 2, 1, 2, 12, dropout=0.1, batch_first=True, dtype=t.float64),
        whole,
        True,
    ),
}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors", "ignore:enable_nested_tensor is True")
@pytest.mark.parametrize("name", MODELS)
def test_model(name):
    build, call, train = MODELS[name]
    agree(name, model(rushlight, build, call, train), model(torch, build, call, train))


def messages(t, log):
    nn, x = t.nn, t.zeros(4, 3, 8)
    for sizes in ((0, 1), (8, 0), (8, 3)):
        log.tried(lambda sizes=sizes: nn.MultiheadAttention(*sizes))
    m = nn.MultiheadAttention(8, 2)
    log.add(m, type(m))
    log.tried(lambda: m(t.zeros(8), x, x))
    log.tried(lambda: m(x, x[0], x))
    log.tried(lambda: m(x[0], x, x))
    log.tried(lambda: m(x, t.zeros(5, 3, 8), x))
    log.tried(lambda: m(t.zeros(4, 3, 6), x, x))
    log.tried(lambda: m(x, x, x, is_causal=True))
    log.tried(lambda: m(x, x, x, attn_mask=t.zeros(3, 3)))
    log.tried(lambda: m(x, x, x, attn_mask=t.zeros(3, 4, 4)))
    log.tried(lambda: m(x, x, x, attn_mask=t.zeros(4)))
    log.tried(lambda: m(x, x, x, attn_mask=t.zeros(4, 4, dtype=t.int64)))
    log.tried(lambda: m(x, x, x, key_padding_mask=t.zeros(3)))
    log.tried(lambda: m(x, x, x, key_padding_mask=t.zeros(3, 3)))
    log.tried(lambda: m(x, x, x, key_padding_mask=t.zeros(2, 4)))
    log.tried(lambda: m(x[0], x[0], x[0], attn_mask=t.zeros(1, 3, 3)))
    log.tried(lambda: m(x, x, x, key_padding_mask=t.zeros(3, 4) > 1, attn_mask=t.zeros(4, 4))[0].shape)
    log.tried(lambda: nn.MultiheadAttention(8, 2, kdim=3)(x, x, x))
    log.tried(lambda: nn.TransformerEncoderLayer(8, 2, activation="tanh"))
    log.tried(lambda: nn.Transformer(8, 2, 1, 1, 4)(t.zeros(2, 3, 8), t.zeros(2, 2, 8)))
    log.tried(lambda: nn.Transformer(8, 2, 1, 1, 4, batch_first=True)(t.zeros(2, 3, 8), t.zeros(3, 3, 8)))
    log.tried(lambda: nn.Transformer(8, 2, 1, 1, 4)(t.zeros(2, 3, 6), t.zeros(2, 3, 6)))
    log.add(nn.Transformer.generate_square_subsequent_mask(3), nn.TransformerDecoderLayer(8, 2, 4))
    for options in ({"norm_first": True}, {}, {"bias": False}, {"activation": t.tanh}):
        options = {"batch_first": bool(options), **options}
        log.tried(lambda options=options: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 4, **options), 1))
    odd = nn.TransformerEncoderLayer(9, 3, 4, batch_first=True)
    log.add(nn.TransformerEncoder(odd, 1), nn.TransformerEncoder(nn.Linear(2, 2), 1))
    log.add(t.backends.mha.get_fastpath_enabled())


def test_messages():
    ours, theirs = run(messages, rushlight), run(messages, torch)
    for i, (a, b) in enumerate(zip(ours, theirs)):
        assert a == b, f"report {i}: {a} is not {b}"
    assert len(ours) == len(theirs)
