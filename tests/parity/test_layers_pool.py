"""Holds the pooling layers to torch: values, indices, gradients, forms and refusals."""

import pytest

pytest.importorskip("torch")

from parity._layers import New, check_form, check_trained, check_values
from parity._table import check, check_error, f, ix, pos, val

LINE, IMAGE, VOLUME = f(2, 3, 9), f(2, 3, 7, 8), f(1, 2, 5, 6, 4)
INF = float("inf")

# name, ways to build it, inputs, dtypes
ROWS = [
    ("MaxPool1d", [New(2), New(3, 2, 1), New(2, 1, 0, 2), New((3,), ceil_mode=True)], [LINE], "dh"),
    ("MaxPool1d", [New(3, 2, 1, return_indices=True)], [f(3, 9)], "d"),
    ("MaxPool2d", [New(2), New(3, 2, 1), New((2, 3), stride=(1, 2), dilation=2)], [IMAGE], "dh"),
    ("MaxPool2d", [New(3, 2, 1, return_indices=True), New(2, ceil_mode=True, return_indices=True)], [IMAGE], "d"),
    ("MaxPool3d", [New(2), New((1, 2, 3), 1), New(2, 2, 1, 1, True, True)], [VOLUME], "d"),
    ("AvgPool1d", [New(2), New(3, 2, 1, True, False), New([4], padding=2)], [LINE], "dh"),
    ("AvgPool2d", [New(2), New(3, 2, 1), New((2, 3), 1, (1, 0), True, False, 5)], [IMAGE], "dh"),
    ("AvgPool3d", [New(2), New((1, 2, 3), 1), New(3, 2, 1, True, False), New(2, divisor_override=3)], [VOLUME], "d"),
    ("LPPool1d", [New(2, 3), New(3, 2, 1), New(1.5, 2, ceil_mode=True)], [pos(2, 3, 9)], "d"),
    ("LPPool2d", [New(2, 3), New(3, (2, 1), 2), New(1, 3, 2, True)], [pos(2, 3, 7, 8)], "d"),
    ("LPPool2d", [New(INF, 2)], [IMAGE], "d"),
    ("LPPool3d", [New(2, 2), New(3, (2, 1, 2), 2)], [pos(1, 2, 5, 6, 4)], "d"),
    ("AdaptiveAvgPool1d", [New(3), New(1), New(12)], [LINE], "dh"),
    ("AdaptiveAvgPool2d", [New(1), New((3, 5)), New((None, 4)), New(7)], [IMAGE], "dh"),
    ("AdaptiveAvgPool3d", [New(1), New((2, 3, 4)), New((None, 2, None))], [VOLUME], "d"),
    ("AdaptiveMaxPool1d", [New(3), New(12, return_indices=True)], [LINE], "d"),
    ("AdaptiveMaxPool2d", [New(1), New((3, 5), True), New((None, 4))], [IMAGE], "d"),
    ("AdaptiveMaxPool3d", [New(1), New((2, 3, 4), True)], [VOLUME], "d"),
]
# A pooling and what undoes it.
UNPOOL = [
    ("MaxUnpool1d", New(2), LINE), ("MaxUnpool1d", New(3, 2, 1), LINE),
    ("MaxUnpool2d", New(2), IMAGE), ("MaxUnpool2d", New((2, 4), 2), IMAGE),
    ("MaxUnpool3d", New(2), VOLUME),
]  # fmt: skip
SAMPLES = {"_random_samples": lambda lib: lib.tensor([[[0.1, 0.7], [0.5, 0.2], [0.9, 0.0]]] * 2, dtype=lib.float64)}
FRACTIONAL = [
    ("FractionalMaxPool2d", New(2, 3), IMAGE), ("FractionalMaxPool2d", New((2, 3), (4, 2), return_indices=True), IMAGE),
    ("FractionalMaxPool2d", New(3, output_ratio=(0.5, 0.6)), IMAGE), ("FractionalMaxPool2d", New(2, 1), f(3, 7, 8)),
    ("FractionalMaxPool2d", New(2, 5, **SAMPLES), IMAGE),
    ("FractionalMaxPool3d", New(2, 2), VOLUME), ("FractionalMaxPool3d", New((1, 2, 2), (3, 2, 1), None, True), VOLUME),
    ("FractionalMaxPool3d", New(2, output_ratio=0.5), VOLUME),
]  # fmt: skip
FORM = [(row[0], row[1]) for row in ROWS] + [(name, [new]) for name, new, _ in (*UNPOOL, *FRACTIONAL)]


@pytest.mark.parity
@pytest.mark.parametrize(("name", "news"), FORM, ids=[row[0] for row in FORM])
def test_form(name, news):
    check_form(name, news)


@pytest.mark.parity
@pytest.mark.parametrize(("name", "news", "specs", "kinds"), ROWS, ids=[row[0] for row in ROWS])
def test_values(name, news, specs, kinds):
    check_values(name, news, specs, kinds)


@pytest.mark.parity
@pytest.mark.parametrize(("name", "new", "spec"), UNPOOL, ids=[row[0] for row in UNPOOL])
def test_unpool(name, new, spec):
    def run(t, x):
        values, where = New(*new.args, return_indices=True)(t, name.replace("Unp", "P"))(x)
        layer = new(t, name)
        return layer(values, where), layer(values, where, output_size=x.shape), layer(values, where, x.shape[2:])

    check(f"{name}({new!r})", run, [spec])


@pytest.mark.parity
@pytest.mark.parametrize(("name", "new", "spec"), FRACTIONAL, ids=[f"{n}({c!r})" for n, c, _ in FRACTIONAL])
def test_fractional(name, new, spec):
    check_trained(name, new, [spec])
    if not new.kwargs.get("_random_samples"):
        check_trained(name, new, [spec], "float32")


X2, X3 = f(3, 4), f(2, 3, 5)
ERRORS = [
    ("max no fit", lambda t, x: t.nn.MaxPool2d(9)(x), [IMAGE]),
    ("max padding", lambda t, x: t.nn.MaxPool2d(2, padding=2)(x), [IMAGE]),
    ("max padding 1d", lambda t, x: t.nn.MaxPool1d(2, padding=2)(x), [LINE]),
    ("max dims", lambda t, x: t.nn.MaxPool2d(2)(x), [X2]),
    ("max sizes", lambda t, x: t.nn.MaxPool2d((2, 2, 2))(x), [IMAGE]),
    ("max stride", lambda t, x: t.nn.MaxPool2d(2, 0)(x), [IMAGE]),
    ("avg no fit", lambda t, x: t.nn.AvgPool2d(9)(x), [IMAGE]),
    ("avg dims", lambda t, x: t.nn.AvgPool1d(2)(x), [f(5)]),
    ("avg divisor", lambda t, x: t.nn.AvgPool2d(2, divisor_override=0)(x), [IMAGE]),
    ("avg padding", lambda t, x: t.nn.AvgPool2d(2, padding=2)(x), [IMAGE]),
    ("avg no kernel", lambda t: t.nn.AvgPool2d(), []),
    ("adaptive sizes", lambda t, x: t.nn.AdaptiveAvgPool2d((1, 2, 3))(x), [IMAGE]),
    ("adaptive negative", lambda t, x: t.nn.AdaptiveAvgPool2d(-1)(x), [IMAGE]),
    ("fractional nothing", lambda t: t.nn.FractionalMaxPool2d(2), []),
    ("fractional nothing 3d", lambda t: t.nn.FractionalMaxPool3d(2), []),
    ("fractional both", lambda t: t.nn.FractionalMaxPool2d(2, 3, 0.5), []),
    ("fractional ratio", lambda t: t.nn.FractionalMaxPool2d(2, output_ratio=1.5), []),
    ("fractional kernel", lambda t: t.nn.FractionalMaxPool3d(0, 2), []),
    ("fractional no fit", lambda t, x: t.nn.FractionalMaxPool2d(2, 7)(x), [IMAGE]),
    ("fractional no fit 3d", lambda t, x: t.nn.FractionalMaxPool3d(2, 4)(x), [VOLUME]),
    ("fractional samples", lambda t, x: t.nn.FractionalMaxPool2d(2, 3, _random_samples=t.zeros(2, 2, 2))(x), [IMAGE]),
    ("unpool size", lambda t, x, i: t.nn.MaxUnpool1d(2)(x, i, output_size=(13,)), [X3, ix(5, 2, 3, 5)]),
    ("unpool indices", lambda t, x, i: t.nn.MaxUnpool1d(2)(x, i), [X3, ix(5, 2, 3, 4)]),
    ("unpool index", lambda t, x, i: t.nn.MaxUnpool1d(2)(x, i), [X3, val([[[1, 2, 3, 4, 10]] * 3] * 2, "int64")]),
    ("unpool float", lambda t, x: t.nn.MaxUnpool1d(2)(x, x), [X3]),
    ("unpool dims", lambda t, x, i: t.nn.MaxUnpool2d(2)(x, i), [X2, ix(2, 3, 4)]),
    ("unpool sizes", lambda t, x, i: t.nn.MaxUnpool1d(2)(x, i, output_size=(9, 9)), [X3, ix(5, 2, 3, 5)]),
]  # fmt: skip


@pytest.mark.parity
@pytest.mark.parametrize(("name", "fn", "specs"), ERRORS, ids=[row[0] for row in ERRORS])
def test_errors(name, fn, specs):
    check_error(name, fn, specs)
