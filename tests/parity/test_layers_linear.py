"""The affine layers against PyTorch: initial values, results, gradients, printed forms, state dicts and refusals."""

import pytest
from parity._seeded import check_layer, check_refusal
from parity._table import f, ix

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

ALL = ("float64", "float32", "bfloat16")
LAYERS = [
    ("Linear", lambda t, **k: t.nn.Linear(5, 3, **k), [f(4, 5)]),
    ("Linear vector", lambda t, **k: t.nn.Linear(5, 3, **k), [f(5)]),
    ("Linear 4d", lambda t, **k: t.nn.Linear(3, 20, bias=False, **k), [f(2, 1, 3, 3)]),
    ("Linear one output", lambda t, **k: t.nn.Linear(17, 1, **k), [f(2, 17)]),
    ("Linear keywords", lambda t, **k: t.nn.Linear(in_features=2, out_features=2, bias=0, **k), [f(1, 2)]),
    ("Linear empty batch", lambda t, **k: t.nn.Linear(3, 2, **k), [f(0, 3)]),
    ("Linear no inputs", lambda t, **k: t.nn.Linear(0, 2, **k), [f(3, 0)]),
    ("Quantizable", lambda t, **k: t.nn.modules.linear.NonDynamicallyQuantizableLinear(3, 2, **k), [f(2, 3)]),
    ("Bilinear", lambda t, **k: t.nn.Bilinear(3, 4, 5, **k), [f(2, 3), f(2, 4)]),
    ("Bilinear no bias", lambda t, **k: t.nn.Bilinear(3, 4, 2, bias=False, **k), [f(2, 3, 3), f(2, 3, 4)]),
    (
        "Sequential",
        lambda t, **k: t.nn.Sequential(t.nn.Linear(4, 8, **k), t.nn.Tanh(), t.nn.Linear(8, 1, **k)),
        [f(3, 4)],
    ),
]


@pytest.mark.parametrize("name, build, specs", LAYERS, ids=[r[0] for r in LAYERS])
def test_layer(name, build, specs):
    check_layer(name, build, specs, dtypes=ALL if name in ("Linear", "Linear 4d") else ("float64",))


def test_identity():
    check_layer("Identity", lambda t: t.nn.Identity(54, unused=True), [f(2, 3)], typed=False)
    check_layer("Identity of integers", lambda t: t.nn.Identity(), [ix(5, 2)], typed=False, dtypes=("float32",))


def test_eager():
    check_layer("Linear eager", lambda t, **k: t.nn.Linear(5, 3, **k), [f(4, 5)], eager=True)


REFUSED = [
    ("no arguments", lambda t: t.nn.Linear()),
    ("unknown argument", lambda t: t.nn.Linear(2, 3, biass=True)),
    ("negative size", lambda t: t.nn.Linear(-1, 3)),
    ("integer dtype", lambda t: t.nn.Linear(2, 3, dtype=t.int64)),
    ("wrong width", lambda t: t.nn.Linear(5, 3)(t.zeros(2, 4))),
    ("wrong width, vector", lambda t: t.nn.Linear(5, 3)(t.zeros(4))),
    ("wrong dtype", lambda t: t.nn.Linear(5, 3)(t.zeros(2, 5, dtype=t.float64))),
    ("no input", lambda t: t.nn.Linear(5, 3)()),
    ("text", lambda t: t.nn.Linear(5, 3)("text")),
    ("two inputs", lambda t: t.nn.Linear(5, 3)(t.zeros(5), t.zeros(5))),
    ("bilinear sizes", lambda t: t.nn.Bilinear(0, 4, 5)),
    ("bilinear first", lambda t: t.nn.Bilinear(3, 4, 5)(t.zeros(2, 4), t.zeros(2, 4))),
    ("bilinear second", lambda t: t.nn.Bilinear(3, 4, 5)(t.zeros(2, 3), t.zeros(2, 3))),
    ("bilinear batches", lambda t: t.nn.Bilinear(3, 4, 5)(t.zeros(2, 3), t.zeros(1, 4))),
    ("bilinear dims", lambda t: t.nn.Bilinear(3, 4, 5)(t.zeros(2, 3), t.zeros(4))),
    ("lazy wrong width", lambda t: [m := t.nn.LazyLinear(3), m(t.zeros(2, 4)), m(t.zeros(2, 5))]),
    ("lazy shape", lambda t: t.nn.LazyLinear(3).weight.shape),
]


@pytest.mark.parametrize("name, function", REFUSED, ids=[r[0] for r in REFUSED])
def test_refused(name, function):
    check_refusal(name, function)
