"""Holds the loss layers to torch: values, gradients, reductions, forms and refusals."""

import itertools
import warnings

import pytest
from parity._layers import New, built, check_form, check_trained, check_values, weights
from parity._table import check, check_error, f, ix, pos, val

import rushlight

torch = pytest.importorskip("torch")

M, N, P = f(3, 4), f(3, 4), f(3, 4, low=0.05, high=0.95)
REDUCTIONS = [New(reduction=r) for r in ("none", "mean", "sum")]
SIGNS = val([[1.0, -1.0, 1.0, -1.0], [-1.0, -1.0, 1.0, 1.0], [1.0, 1.0, -1.0, 1.0]])
ROW_SIGNS = val([1.0, -1.0, -1.0])
HEAVY = weights(0.5, 1.0, 2.0, 0.1)
CLASSES = ix(4, 3)
LABELS = val([[3, 0, -1, 1], [0, -1, 2, 3], [1, 2, 3, 0]], "int64")


def with_options(*news):
    """The three reductions, and other options."""
    return [*REDUCTIONS, *news]


# name, ways to build it, inputs, dtypes
ROWS = [
    ("L1Loss", REDUCTIONS, [M, N], "dh"),
    ("MSELoss", REDUCTIONS, [M, N], "dh"),
    ("SmoothL1Loss", with_options(New(beta=0.3), New(beta=0)), [M, N], "dh"),
    ("HuberLoss", with_options(New(delta=0.3), New("sum", 2)), [M, N], "d"),
    ("NLLLoss", with_options(New(HEAVY), New(HEAVY, ignore_index=1), New(ignore_index=2)), [M, CLASSES], "dh"),
    ("NLLLoss", with_options(New(HEAVY, reduction="none")), [f(2, 4, 3, 2), ix(4, 2, 3, 2)], "d"),
    ("NLLLoss2d", [New()], [f(2, 4, 3, 2), ix(4, 2, 3, 2)], "d"),
    ("PoissonNLLLoss", with_options(New(False), New(True, True), New(eps=0.1, log_input=False)), [P, pos(3, 4)], "d"),
    ("GaussianNLLLoss", with_options(New(full=True), New(eps=0.5)), [M, N, pos(3, 4)], "d"),
    ("GaussianNLLLoss", [New(), New(full=True, reduction="sum")], [M, N, pos(3, 1)], "d"),
    ("KLDivLoss", with_options(New(reduction="batchmean"), New(log_target=True)), [M, P], "d"),
    ("BCELoss", with_options(New(weight=HEAVY)), [P, f(3, 4, low=0, high=1)], "dh"),
    ("BCEWithLogitsLoss", with_options(New(HEAVY), New(pos_weight=HEAVY)), [M, f(3, 4, low=0, high=1)], "dh"),
    ("HingeEmbeddingLoss", with_options(New(0.3)), [M, SIGNS], "d"),
    ("MultiLabelMarginLoss", REDUCTIONS, [M, LABELS], "d"),
    ("SoftMarginLoss", REDUCTIONS, [M, ix(2, 3, 4)], "d"),
    ("CrossEntropyLoss", with_options(New(HEAVY), New(ignore_index=1), New(label_smoothing=0.2)), [M, CLASSES], "dh"),
    ("CrossEntropyLoss", [New(HEAVY, None, 1, None, r, 0.1) for r in ("none", "mean", "sum")], [M, CLASSES], "d"),
    ("CrossEntropyLoss", with_options(New(HEAVY, label_smoothing=0.2)), [M, P], "d"),
    ("CrossEntropyLoss", with_options(New(HEAVY)), [f(2, 4, 3), ix(4, 2, 3)], "d"),
    ("CrossEntropyLoss", with_options(New(label_smoothing=0.3)), [f(4), val(2, "int64")], "d"),
    ("MultiLabelSoftMarginLoss", with_options(New(HEAVY)), [M, f(3, 4, low=0, high=1)], "d"),
    ("CosineEmbeddingLoss", with_options(New(0.3)), [M, N, ROW_SIGNS], "d"),
    ("CosineEmbeddingLoss", REDUCTIONS, [f(4), f(4), val(-1.0)], "d"),
    ("MarginRankingLoss", with_options(New(0.3)), [f(3), f(3), ROW_SIGNS], "d"),
    ("MultiMarginLoss", with_options(New(2), New(1, 0.3, HEAVY), New(2, weight=HEAVY)), [M, CLASSES], "d"),
    ("TripletMarginLoss", with_options(New(0.5, 1.0), New(swap=True), New(2.0, 3, 0.1, True)), [M, N, f(3, 4)], "d"),
    ("TripletMarginWithDistanceLoss", with_options(New(margin=3, swap=True)), [M, N, f(3, 4)], "d"),
]
LENGTHS = [val([6, 5, 4], "int64"), val([3, 1, 2], "int64")]
CTC = [New(), New(reduction="none"), New(reduction="sum"), New(0, zero_infinity=True)]
LINEAR = [
    New(4, 5), New(4, 5, bias=True, reduction="sum"), New(4, 5, weight=weights(1.0, 2.0, 0.5, 0.1, 3.0)),
    New(4, 5, reduction="none", ignore_index=2), New(4, 5, label_smoothing=0.2),
]  # fmt: skip
POSITIONS = [New(4, 5, out_features=(2,), bias=True), New(4, 5, out_features=(2,), reduction="none")]
FORM = [
    *((row[0], row[1]) for row in ROWS),
    ("CTCLoss", CTC),
    ("LinearCrossEntropyLoss", [*LINEAR, *POSITIONS, New(4, 5, dtype=lambda lib: lib.float64)]),
    ("L1Loss", [New(False), New(True, False), New(reduce=False)]),
    ("CrossEntropyLoss", [New(None, False), New(reduce=True)]),
    ("AdaptiveLogSoftmaxWithLoss", [New(8, 20, [5, 10]), New(9, 12, (3,), 2.0, True), New(64, 100, [10, 20, 50])]),
]


@pytest.mark.parity
@pytest.mark.parametrize(("name", "news"), FORM, ids=[row[0] for row in FORM])
def test_form(name, news):
    check_form(name, news)


@pytest.mark.parity
@pytest.mark.parametrize(("name", "news", "specs", "kinds"), ROWS, ids=[row[0] for row in ROWS])
def test_values(name, news, specs, kinds):
    check_values(name, news, specs, kinds)


@pytest.mark.parity
def test_own_distance():
    def run(t, *xs):
        distance = lambda a, b: (a - b).abs().sum(-1)  # noqa: E731
        return t.nn.TripletMarginWithDistanceLoss(distance_function=distance, reduction="none", swap=True)(*xs)

    check("own distance", run, [M, N, f(3, 4)])


@pytest.mark.parity
@pytest.mark.parametrize("lengths", [[6, 5, 4], [6, 3, 1]], ids=["fitting", "too short"])
@pytest.mark.parametrize("labels", [ix(5, 3, 3, low=1), val([[1, 1, 4], [2, 3, 3], [2, 2, 2]], "int64")])
def test_ctc(labels, lengths):
    # As one program, in which the lengths are not known.
    check_values("CTCLoss", CTC, [f(6, 3, 5, low=-3, high=0), labels, val(lengths, "int64"), LENGTHS[1]])


@pytest.mark.parity
def test_ctc_eager():
    new, x = New(reduction="none"), f(6, 3, 5, low=-3, high=0)
    check_trained("CTCLoss", new, [x, val([1, 1, 4, 3, 2, 2], "int64"), *LENGTHS])
    check_trained("CTCLoss", CTC[0], [x, ix(5, 3, 3, low=1), *LENGTHS], "float32")


@pytest.mark.parity
def test_ctc_forms():
    def tuples(t, layer, x, labels):
        return layer(x, labels, (6, 5, 4), (3, 0, 2))

    def single(t, layer, x, labels):
        return layer(x, labels, t.tensor(6), t.tensor(2))

    check_trained("CTCLoss", CTC[0], [f(6, 3, 5), ix(5, 3, 3, low=1)], call=tuples)
    check_trained("CTCLoss", CTC[1], [f(6, 5), ix(5, 2, low=1)], call=single)


@pytest.mark.parity
@pytest.mark.parametrize("new", LINEAR, ids=repr)
def test_linear_cross_entropy(new):
    check_trained("LinearCrossEntropyLoss", new, [f(3, 4), ix(5, 3)])


@pytest.mark.parity
def test_linear_cross_entropy_positions():
    for new in POSITIONS:
        check_trained("LinearCrossEntropyLoss", new, [f(3, 4), ix(5, 3, 2)])
    check_trained("LinearCrossEntropyLoss", LINEAR[0], [f(3, 4), f(3, 5, low=0, high=1)])
    check_trained("LinearCrossEntropyLoss", LINEAR[0], [f(4), val(3, "int64")])


@pytest.mark.parity
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_linear_cross_entropy_chunks(reduction):
    for options in ({"batch_chunk_size": 3}, {"chunking_method": "aspect_ratio:2"}):
        new = New(
            4, 9, bias=True, reduction=reduction, weight=weights(*range(1, 10)), ignore_index=2,
            options=lambda lib, options=options: lib.nn.LinearCrossEntropyOptions(**options),
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_trained("LinearCrossEntropyLoss", new, [f(8, 4), ix(9, 8)])


@pytest.mark.parity
@pytest.mark.parametrize("new", [New(8, 20, [5, 10]), New(9, 20, (3, 7), 2.0, True)], ids=repr)
def test_adaptive_as_a_program(new):
    name, width = "AdaptiveLogSoftmaxWithLoss", new.args[0]
    layers = {lib: built(lib, new, name).double() for lib in (torch, rushlight)}

    def run(t, x, target):
        layer = layers[t]
        output, loss = layer(x, target)
        return output, loss, layer.log_prob(x), layer.predict(x), layer(x[0], target[0]).output

    check(f"{name}({new!r})", run, [f(7, width), ix(20, 7)])


@pytest.mark.parity
def test_adaptive():
    new = New(8, 20, [5, 10])
    check_trained("AdaptiveLogSoftmaxWithLoss", new, [f(5, 8), val([1, 12, 19, 0, 3], "int64")])

    def predict(t, layer, x, target):
        return layer.predict(x), layer.predict(x[:1]), layer(x, target).loss

    # Only frequent classes: the clusters get no gradient.
    check_trained("AdaptiveLogSoftmaxWithLoss", new, [f(4, 8), ix(3, 4)], "float32", predict)


LP, LABEL = f(6, 3, 5), ix(5, 3, 3, low=1)
CE, TRIPLE = "CrossEntropyLoss", "TripletMarginLoss"


def loss(name, *args, **kwargs):
    """A row's expression."""
    return lambda t, *xs: getattr(t.nn, name)(*args, **kwargs)(*xs)


ERRORS = [
    ("reduction", loss("MSELoss", reduction="avg"), [M, N]),
    ("reduction 2", loss(CE, reduction="x"), [M, CLASSES]),
    ("mse sizes", loss("MSELoss"), [M, f(2, 4)]),
    ("ce batch", loss(CE), [M, ix(4, 2)]),
    ("ce class", loss(CE), [M, val([0, 4, 1], "int64")]),
    ("ce dtype", loss(CE), [M, ix(4, 3, dtype="int32")]),
    ("ce sizes", loss(CE), [f(2, 4, 3), ix(4, 2, 2)]),
    ("ce smoothing", loss(CE, label_smoothing=1.5), [M, CLASSES]),
    ("ce weight", lambda t, x, y: t.nn.CrossEntropyLoss(t.ones(3))(x, y), [M, CLASSES]),
    ("nll class", loss("NLLLoss"), [M, val([0, -1, 1], "int64")]),
    ("nll batch", loss("NLLLoss"), [M, ix(4, 2)]),
    ("bce range", loss("BCELoss"), [M, P]),
    ("bce sizes", loss("BCELoss"), [P, f(3)]),
    ("bce logits sizes", loss("BCEWithLogitsLoss"), [M, f(3)]),
    ("gaussian negative", loss("GaussianNLLLoss"), [M, N, f(3, 4, low=-2, high=-1)]),
    ("gaussian sizes", loss("GaussianNLLLoss"), [M, N, pos(2, 4)]),
    ("gaussian reduction", loss("GaussianNLLLoss", reduction="x"), [M, N, pos(3, 4)]),
    ("soft margin target", lambda t, x, y: t.nn.SoftMarginLoss()(x, y.requires_grad_()), [M, N]),
    ("smooth beta", loss("SmoothL1Loss", beta=-1), [M, N]),
    ("huber delta", loss("HuberLoss", delta=0), [M, N]),
    ("huber type", lambda t: t.nn.HuberLoss(delta="1"), []),
    ("cosine dims", loss("CosineEmbeddingLoss"), [M, N, val(1.0)]),
    ("cosine target", loss("CosineEmbeddingLoss"), [M, N, f(3, 1)]),
    ("ranking dims", loss("MarginRankingLoss"), [M, N, f(3)]),
    ("multi margin p", lambda t: t.nn.MultiMarginLoss(3), []),
    ("multi margin weight", lambda t: t.nn.MultiMarginLoss(weight=t.ones(2, 2)), []),
    ("triplet margin", lambda t: t.nn.TripletMarginLoss(0), []),
    ("triplet distance margin", lambda t: t.nn.TripletMarginWithDistanceLoss(margin=-1), []),
    ("triplet dims", loss(TRIPLE), [M, N, f(4)]),
    ("ctc blank", loss("CTCLoss", 7), [LP, LABEL, *LENGTHS]),
    ("ctc count", loss("CTCLoss"), [LP, LABEL, val([6, 5], "int64"), LENGTHS[1]]),
    ("ctc label count", loss("CTCLoss"), [LP, LABEL, LENGTHS[0], val([6, 5], "int64")]),
    ("ctc long", loss("CTCLoss"), [LP, LABEL, val([7, 5, 5], "int64"), LENGTHS[1]]),
    ("ctc negative", loss("CTCLoss"), [LP, LABEL, LENGTHS[0], val([-1, 5, 5], "int64")]),
    ("ctc labels", loss("CTCLoss"), [LP, LABEL, LENGTHS[0], val([4, 1, 1], "int64")]),
    ("ctc row", loss("CTCLoss"), [LP, ix(5, 5), *LENGTHS]),
    ("ctc float lengths", loss("CTCLoss"), [LP, LABEL, f(3), LENGTHS[1]]),
    ("ctc ints", loss("CTCLoss"), [ix(5, 6, 3, 5), LABEL, *LENGTHS]),
    ("linear ce dims", loss("LinearCrossEntropyLoss", 4, 5), [f(2, 3, 4), ix(5, 2)]),
    ("linear ce features", loss("LinearCrossEntropyLoss", 4, 5), [f(3, 3), ix(5, 3)]),
    ("linear ce single", loss("LinearCrossEntropyLoss", 4, 5, out_features=(2,)), [f(4), ix(5, 2)]),
    ("linear ce ignored", loss("LinearCrossEntropyLoss", 4, 5, ignore_index=1), [f(3, 4), P]),
    ("linear ce weight", lambda t: t.nn.LinearCrossEntropyLoss(4, 5, weight=t.ones(4)), []),
    ("linear ce smoothing", lambda t: t.nn.LinearCrossEntropyLoss(4, 5, label_smoothing=2), []),
    ("options policy", lambda t: t.nn.LinearCrossEntropyOptions(acc_policy="x"), []),
    ("options method", lambda t: t.nn.LinearCrossEntropyOptions(chunking_method="aspect_ratio:0"), []),
    ("options size", lambda t: t.nn.LinearCrossEntropyOptions(batch_chunk_size=0), []),
    ("options dtype", lambda t: t.nn.LinearCrossEntropyOptions(acc_dtype=t.int8), []),
    ("cutoffs", lambda t: t.nn.AdaptiveLogSoftmaxWithLoss(8, 20, []), []),
    ("cutoffs order", lambda t: t.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [10, 5]), []),
    ("cutoffs end", lambda t: t.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [5, 20]), []),
    ("adaptive target", loss("AdaptiveLogSoftmaxWithLoss", 8, 20, [5]), [f(2, 8), val([1, 20], "int64")]),
    ("adaptive batch", loss("AdaptiveLogSoftmaxWithLoss", 8, 20, [5]), [f(2, 8), val([1, 2, 3], "int64")]),
    ("adaptive dims", loss("AdaptiveLogSoftmaxWithLoss", 8, 20, [5]), [f(2, 2, 8), val([1, 2], "int64")]),
    ("adaptive single", loss("AdaptiveLogSoftmaxWithLoss", 8, 20, [5]), [f(2, 8), val(1, "int64")]),
    ("adaptive multi", loss("AdaptiveLogSoftmaxWithLoss", 8, 20, [5]), [f(2, 8), ix(5, 2, 2)]),
]  # fmt: skip


@pytest.mark.parity
@pytest.mark.parametrize(("name", "fn", "specs"), ERRORS, ids=[row[0] for row in ERRORS])
def test_errors(name, fn, specs):
    check_error(name, fn, specs)


@pytest.mark.parity
@pytest.mark.parametrize(
    ("average", "reduce"), [p for p in itertools.product((None, True, False), repeat=2) if p != (None, None)]
)
def test_older_options_warn(average, reduce):
    import torch

    import rushlight

    said = []
    for lib in (torch, rushlight):
        with pytest.warns(UserWarning) as caught:
            layer = lib.nn.MSELoss(average, reduce)
        said.append((str(caught[0].message), layer.reduction))
    assert said[0] == said[1]
