"""Holds the layers without much arithmetic to torch: activations, dropout, tables, shapes, padding, distances."""

import pytest

pytest.importorskip("torch")

from parity._layers import New, check_form, check_trained, check_values
from parity._table import bo, check_error, f, ix, pos, val

M = f(3, 4)
KINKS = val([-4.0, -3.0, -1.0, -0.5, 0.25, 0.5, 1.0, 3.0, 6.0, 7.0])
IMAGE, VOLUME = f(2, 3, 6, 5), f(1, 2, 4, 3, 5)
IN = [New(), New(True), New(inplace=True)]

# name, ways to build it, inputs, dtypes
ACTIVATIONS = [
    ("Threshold", [New(0.5, 9.0), New(-1, 2, True)], [M], "dh"),
    ("ReLU", IN[:1], [M], "dsh"),
    ("Hardtanh", [New(), New(-2, 3), New(0.5, max_val=0.75)], [KINKS], "dh"),
    ("ReLU6", IN[:1], [KINKS], "dh"),
    ("Sigmoid", [New()], [M], "dh"),
    ("Tanh", [New()], [M], "dh"),
    ("SiLU", IN[:1], [M], "dh"),
    ("Mish", IN[:1], [M], "dh"),
    ("Hardswish", IN[:1], [KINKS], "dh"),
    ("ELU", [New(), New(1.7)], [KINKS], "dh"),
    ("CELU", [New(), New(0.5)], [KINKS], "dh"),
    ("SELU", IN[:1], [KINKS], "dh"),
    ("GLU", [New(), New(0), New(dim=1)], [f(2, 6)], "dh"),
    ("GELU", [New(), New("tanh")], [M], "dh"),
    ("Hardshrink", [New(), New(1.0)], [KINKS], "dh"),
    ("LeakyReLU", [New(), New(0.3)], [KINKS], "dh"),
    ("LogSigmoid", [New()], [KINKS], "dh"),
    ("Softplus", [New(), New(2, 3)], [KINKS], "dh"),
    ("Softshrink", [New(), New(0.1)], [KINKS], "dh"),
    ("Softsign", [New()], [M], "dh"),
    ("Tanhshrink", [New()], [M], "d"),
    ("Softmin", [New(-1), New(dim=0)], [M], "dh"),
    ("Softmax", [New(-1), New(dim=0)], [M], "dh"),
    ("Softmax2d", [New()], [IMAGE], "d"),
    ("LogSoftmax", [New(-1), New(dim=0)], [M], "dh"),
]
SHAPES = [
    ("Flatten", [New(), New(0), New(1, 2), New(start_dim=2, end_dim=-1)], [IMAGE], "ds"),
    ("Unflatten", [New(1, (1, 3)), New(-1, [5, 1]), New(0, (-1, 1, 2))], [IMAGE], "d"),
    ("Fold", [New((4, 5), (2, 3)), New((4, 5), (2, 3), 1, 0, 1)], [f(2, 12, 9)], "dh"),
    ("Unfold", [New(2), New((2, 3), 1, (1, 0), 2), New(2, dilation=2)], [IMAGE], "d"),
    ("PixelShuffle", [New(2), New(1)], [f(2, 8, 3, 2)], "d"),
    ("PixelUnshuffle", [New(2), New(1)], [f(2, 2, 4, 2)], "d"),
    ("ChannelShuffle", [New(2), New(3)], [f(2, 6, 3)], "d"),
    ("Upsample", [New(9), New((4, 7)), New(scale_factor=2), New(scale_factor=(2, 1.5), mode="bilinear")], [IMAGE], "d"),
    ("Upsample", [New(7, mode="linear", align_corners=True), New(None, 1.7, "linear", None, True)], [f(2, 3, 5)], "d"),
    ("UpsamplingNearest2d", [New((7, 4)), New(scale_factor=2)], [IMAGE], "d"),
    ("UpsamplingBilinear2d", [New((7, 4)), New(scale_factor=(2, 3))], [IMAGE], "d"),
    ("ConstantPad1d", [New(2, 1.5), New((1, -1), 0), New([1, 2], -3)], [f(2, 3, 5)], "ds"),
    ("ConstantPad2d", [New(1, 1.5), New((1, 0, 2, -1), 2)], [IMAGE], "d"),
    ("ConstantPad3d", [New(1, 1.5), New((1, 0, 2, -1, 0, 1), 2)], [VOLUME], "d"),
    ("ZeroPad1d", [New(2), New((1, 2))], [f(3, 5)], "d"),
    ("ZeroPad2d", [New(2), New((1, 2, 0, -1))], [IMAGE], "d"),
    ("ZeroPad3d", [New(1), New((1, 2, 0, -1, 1, 1))], [VOLUME], "d"),
    ("ReflectionPad1d", [New(2), New((1, 3))], [f(2, 3, 5)], "d"),
    ("ReflectionPad2d", [New(2), New((1, 3, 2, 0))], [IMAGE], "d"),
    ("ReflectionPad3d", [New(1), New((1, 2, 2, 0, 1, 1))], [VOLUME], "d"),
    ("ReplicationPad1d", [New(2), New((1, 7))], [f(2, 3, 5)], "d"),
    ("ReplicationPad2d", [New(2), New((1, 3, 7, 0))], [IMAGE], "d"),
    ("ReplicationPad3d", [New(1), New((1, 2, 5, 0, 1, 1))], [VOLUME], "d"),
    ("CircularPad1d", [New(2), New((1, 5))], [f(2, 3, 5)], "d"),
    ("CircularPad2d", [New(2), New((1, 3, 6, 0))], [IMAGE], "d"),
    ("CircularPad3d", [New(1), New((1, 2, 3, 0, 1, 1))], [VOLUME], "d"),
    ("PairwiseDistance", [New(), New(1.0, 0.1), New(3, keepdim=True)], [M, f(3, 4)], "d"),
    ("CosineSimilarity", [New(), New(0), New(dim=-1, eps=1e-3)], [M, f(3, 4)], "dh"),
]
RANDOM = [
    ("RReLU", [New(), New(0.1, 0.9), New(inplace=True)], [M], ""),
    ("Dropout", [New(), New(0.2), New(0.0), New(1.0)], [f(7, 9)], ""),
    ("Dropout1d", [New(), New(0.2)], [f(5, 7, 3)], ""),
    ("Dropout2d", [New(), New(0.2)], [f(5, 7, 2, 3)], ""),
    ("Dropout3d", [New(), New(0.2)], [f(5, 7, 1, 2, 3)], ""),
    ("AlphaDropout", [New(), New(0.2), New(p=1.0)], [f(7, 9)], ""),
    ("FeatureAlphaDropout", [New(), New(0.2)], [f(5, 7, 3)], ""),
]
TABLE = [
    New(5, 3), New(6, 3, padding_idx=1), New(6, 3, -1), New(5, 3, max_norm=1.0), New(5, 3, None, 1.0, 1.0),
    New(5, 3, scale_grad_by_freq=True), New(5, 3, dtype=lambda lib: lib.float64), New(5, 3, 0, _freeze=True),
    New(2, 2, _weight=lambda lib: lib.tensor([[1.0, 2.0], [3.0, 4.0]])), New(5, 3, device="cpu", sparse=False),
]  # fmt: skip
BAGS = [
    New(5, 3), New(5, 3, mode="sum"), New(5, 3, mode="max"), New(5, 3, 1.0, 1.0), New(6, 3, padding_idx=-2),
]  # fmt: skip
INPLACE = ["ReLU", "ReLU6", "SiLU", "Mish", "Hardswish", "Hardsigmoid", "SELU"]
FORM = [
    *((row[0], row[1]) for row in (*ACTIVATIONS, *SHAPES, *RANDOM)),
    *((name, IN) for name in INPLACE),
    ("ELU", [New(2.0, True)]),
    ("CELU", [New(2.0, True)]),
    ("LeakyReLU", [New(0.2, True)]),
    ("Hardtanh", [New(-1, 2, True)]),
    ("Dropout", [New(0.3, True)]),
    ("PReLU", [New(), New(3), New(2, 0.1), New(2, dtype=lambda lib: lib.bfloat16), New(1, device="cpu")]),
    ("Softmax", [New()]),
    ("Embedding", [*TABLE, New(5, 3, sparse=True)]),
    ("EmbeddingBag", [*BAGS, New(5, 3, sparse=True), New(5, 3, include_last_offset=True)]),
]


@pytest.mark.parity
@pytest.mark.parametrize(("name", "news"), FORM, ids=[row[0] for row in FORM])
def test_form(name, news):
    check_form(name, news)


@pytest.mark.parity
@pytest.mark.parametrize(("name", "news", "specs", "kinds"), [*ACTIVATIONS, *SHAPES])
def test_values(name, news, specs, kinds):
    check_values(name, news, specs, kinds)


@pytest.mark.parity
def test_hardsigmoid():
    # torch's multiplies by the float32 nearest to 1/6 in float64 too.
    check_values("Hardsigmoid", [New()], [KINKS], "d", (1e-6, 1e-8))


@pytest.mark.parity
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("name", "news", "specs", "_"), RANDOM, ids=[row[0] for row in RANDOM])
def test_random(name, news, specs, _, training):
    for i, new in enumerate(news):
        for dtype in ("float32", "bfloat16", "float64") if i == 0 else ("float32",):
            # An in-place layer may not write over a leaf.
            check_trained(name, new, specs, dtype, lambda lib, layer, x: layer(x * 1), training=training)


@pytest.mark.parity
@pytest.mark.parametrize("name", [*INPLACE[:5], "SELU", "ELU", "CELU", "LeakyReLU", "Hardtanh", "Dropout", "Dropout1d"])
def test_in_place(name):
    def call(lib, layer, x):
        given = x * 1
        out = layer(given)
        assert out is given
        return out

    check_trained(name, New(inplace=True), [f(3, 4)], call=call)


@pytest.mark.parity
@pytest.mark.parametrize("new", [New(), New(4), New(4, 0.1)])
def test_prelu(new):
    for dtype in ("float64", "float32", "bfloat16"):
        check_trained("PReLU", new, [f(3, 4, 2)], dtype)


@pytest.mark.parity
@pytest.mark.parametrize("new", TABLE, ids=repr)
def test_embedding(new):
    check_trained("Embedding", new, [ix(2 if "_weight" in new.kwargs else 5, 3, 4)])


@pytest.mark.parity
def test_embedding_kinds():
    check_trained("Embedding", TABLE[1], [ix(6, 7)], "bfloat16")
    check_trained("Embedding", TABLE[0], [ix(5, 2, 2, dtype="int32")], "float32")
    check_trained("EmbeddingBag", BAGS[0], [ix(5, 3, 2)], "bfloat16")


@pytest.mark.parity
@pytest.mark.parametrize("new", BAGS, ids=repr)
def test_embedding_bag(new):
    check_trained("EmbeddingBag", new, [ix(5, 3, 4)])
    if new.kwargs.get("mode") != "max":
        check_trained("EmbeddingBag", new, [ix(5, 9), val([0, 2, 2, 5], "int64")])


@pytest.mark.parity
def test_embedding_bag_options():
    offsets = val([0, 4, 7, 9], "int64")
    check_trained("EmbeddingBag", New(5, 3, include_last_offset=True), [ix(5, 9), offsets])
    scaled = New(5, 3, mode="sum")
    check_trained("EmbeddingBag", scaled, [ix(5, 3, 2), f(3, 2)], call=lambda lib, bag, i, w: bag(i, None, w))


@pytest.mark.parity
def test_embedding_bag_by_frequency():
    # With every index once, as torch's CPU divides by the count of another row where one repeats.
    check_trained("EmbeddingBag", New(5, 3, scale_grad_by_freq=True), [val([[0, 3], [4, 1]], "int64")])


def _pretrained(lib, layer, index, table):
    made = lib.nn.Embedding.from_pretrained(table.detach(), padding_idx=1)
    bags = lib.nn.EmbeddingBag.from_pretrained(table.detach(), freeze=False, mode="sum")
    assert not made.weight.requires_grad and bags.weight.requires_grad
    bags(index).sum().backward()
    return made(index), bags(index), bags.weight.grad


@pytest.mark.parity
def test_from_pretrained():
    check_trained("Identity", New(), [ix(4, 2, 3), f(4, 3)], call=_pretrained)


def _dropped(layer, *args):
    return lambda t, x: getattr(t.nn, layer)(*args)(x)


X3 = f(2, 4, 3)
ERRORS = [
    ("hardtanh bounds", lambda t: t.nn.Hardtanh(1, 1), []),
    ("hardtanh bounds 2", lambda t: t.nn.Hardtanh(min_val=3.0), []),
    ("gelu", lambda t, x: t.nn.GELU("none ")(x), [M]),
    ("glu odd", lambda t, x: t.nn.GLU()(x), [f(3, 5)]),
    ("softmax2d", lambda t, x: t.nn.Softmax2d()(x), [M]),
    ("softmax dim", lambda t, x: t.nn.Softmax(2)(x), [M]),
    ("softshrink", lambda t, x: t.nn.Softshrink(-1)(x), [M]),
    ("prelu channels", lambda t, x: t.nn.PReLU(3)(x), [f(2, 4)]),
    ("rrelu", lambda t, x: t.nn.RReLU(0.5, 0.1)(x), [M]),
    ("dropout p", lambda t: t.nn.Dropout(1.5), []),
    ("dropout p 2", lambda t: t.nn.AlphaDropout(-0.1), []),
    ("dropout1d", _dropped("Dropout1d"), [f(4)]),
    ("feature alpha", _dropped("FeatureAlphaDropout"), [f(4)]),
    ("unflatten type", lambda t: t.nn.Unflatten(0, 3), []),
    ("unflatten element", lambda t: t.nn.Unflatten(0, (2, 1.5)), []),
    ("embedding padding", lambda t: t.nn.Embedding(3, 2, 3), []),
    ("embedding padding 2", lambda t: t.nn.Embedding(3, 2, -4), []),
    ("embedding bag padding", lambda t: t.nn.EmbeddingBag(3, 2, padding_idx=3), []),
    ("embedding weight", lambda t: t.nn.Embedding(3, 2, _weight=t.zeros(2, 2)), []),
    ("embedding pretrained", lambda t: t.nn.Embedding.from_pretrained(t.zeros(2)), []),
    ("embedding index", lambda t, i: t.nn.Embedding(3, 2)(i), [val([0, 3], "int64")]),
    ("embedding negative", lambda t, i: t.nn.Embedding(3, 2)(i), [val([0, -1], "int64")]),
    ("embedding float", lambda t, x: t.nn.Embedding(3, 2)(x), [M]),
    ("bag dims", lambda t, i: t.nn.EmbeddingBag(3, 2)(i), [ix(3, 2, 2, 2)]),
    ("bag offsets", lambda t, i: t.nn.EmbeddingBag(3, 2)(i), [ix(3, 4)]),
    ("bag offsets 2d", lambda t, i: t.nn.EmbeddingBag(3, 2)(i, t.zeros(1, dtype=t.int64)), [ix(3, 2, 2)]),
    ("bag mode", lambda t, i: t.nn.EmbeddingBag(3, 2, mode="mode")(i), [ix(3, 2, 2)]),
    ("bag weights", lambda t, i, w: t.nn.EmbeddingBag(3, 2)(i, None, w), [ix(3, 2, 2), f(2, 2)]),
    ("circular dims", lambda t, x: t.nn.CircularPad2d(1)(x), [M]),
    ("circular wraps", lambda t, x: t.nn.CircularPad1d(6)(x), [f(1, 5)]),
    ("reflect too far", lambda t, x: t.nn.ReflectionPad1d(4)(x), [X3]),
    ("pixel shuffle", lambda t, x: t.nn.PixelShuffle(2)(x), [f(1, 3, 2, 2)]),
    ("pixel unshuffle", lambda t, x: t.nn.PixelUnshuffle(2)(x), [f(1, 3, 3, 2)]),
    ("channel shuffle", lambda t, x: t.nn.ChannelShuffle(2)(x), [f(1, 3, 3, 2)]),
    ("unfold size", lambda t, x: t.nn.Unfold(9)(x), [IMAGE]),
    ("fold blocks", lambda t, x: t.nn.Fold((4, 5), 2)(x), [f(2, 8, 3)]),
    ("upsample both", lambda t, x: t.nn.Upsample(3, 2)(x), [X3]),
    ("upsample none", lambda t, x: t.nn.Upsample()(x), [X3]),
    ("upsample corners", lambda t, x: t.nn.Upsample(3, align_corners=True)(x), [X3]),
    ("upsample mode", lambda t, x: t.nn.Upsample(3, mode="bilinear")(x), [X3]),
    ("cosine dim", lambda t, x: t.nn.CosineSimilarity(2)(x, x), [M]),
    ("unknown option", lambda t: t.nn.ReLU(False, True), []),
]  # fmt: skip


@pytest.mark.parity
@pytest.mark.parametrize(("name", "fn", "specs"), ERRORS, ids=[row[0] for row in ERRORS])
def test_errors(name, fn, specs):
    # This one names a class of the library.
    check_error(name, fn, specs, exact=name != "bag offsets 2d")


@pytest.mark.parity
def test_bool_and_positive_inputs():
    check_values("Flatten", [New()], [bo(2, 3, 2)], "s")
    check_values("ReLU", [New()], [pos(3)], "s")
