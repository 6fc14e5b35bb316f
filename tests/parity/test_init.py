"""``torch.nn.init`` against PyTorch: every value, and where the generator stands afterwards."""

import math
import warnings

import numpy as np
import pytest
from parity._seeded import check_refusal
from parity._table import make, name_of, plain

import rushlight

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

# name, arguments after the tensor, shapes.
STREAMS = [
    ("uniform_", (), {}, [(3, 5), (40, 50), ()]),
    ("uniform_", (-0.3, 0.7), {}, [(7,)]),
    ("normal_", (), {}, [(3, 5), (40, 50), ()]),
    ("normal_", (1.5, 0.25), {}, [(19,)]),
    ("trunc_normal_", (), {}, [(3, 5), (60, 50)]),
    ("trunc_normal_", (), {"std": 0.02, "a": -0.03, "b": 0.01}, [(60, 50)]),
    ("trunc_normal_", (0.0, 1.0, 1.5, 2.5), {}, [(40, 50)]),
    ("trunc_normal_", (1.0, 2.0, -4.0, -2.5), {}, [(30, 20)]),
    ("xavier_uniform_", (), {}, [(3, 5), (4, 3, 2, 2)]),
    ("xavier_uniform_", (2.5,), {}, [(30, 50)]),
    ("xavier_normal_", (), {"gain": math.sqrt(2)}, [(3, 5), (4, 3, 2, 2)]),
    ("kaiming_uniform_", (), {}, [(3, 5), (4, 3, 2)]),
    ("kaiming_uniform_", (math.sqrt(5),), {"mode": "fan_out"}, [(3, 50)]),
    ("kaiming_uniform_", (), {"nonlinearity": "tanh"}, [(3, 5)]),
    ("kaiming_normal_", (), {"mode": "fan_out", "nonlinearity": "relu"}, [(4, 3, 2, 2), (8, 1)]),
    ("kaiming_normal_", (0.2, "FAN_IN"), {}, [(4, 3)]),
    ("sparse_", (0.1,), {}, [(3, 5), (20, 7)]),
    ("sparse_", (0.6,), {"std": 2.0}, [(10, 4)]),
]

FIXED = [
    ("constant_", (0.3,), [(3, 2), ()]),
    ("constant_", (-1,), [(3, 2)]),
    ("constant_", (math.inf,), [(2,)]),
    ("ones_", (), [(3, 2), (0,)]),
    ("zeros_", (), [(3, 2)]),
    ("eye_", (), [(3, 5), (5, 2), (3, 3)]),
    ("dirac_", (), [(3, 4, 3), (4, 2, 3, 2), (2, 2, 3, 1, 4)]),
    ("dirac_", (3,), [(6, 4, 3), (3, 2, 2, 5)]),
]


def drawn(lib, name, args, kwargs, shape, dtype, private):
    """The tensor, and where both generators stand afterwards."""
    lib.manual_seed(11)
    source = lib.Generator().manual_seed(5) if private else None
    tensor = lib.empty(shape, dtype=getattr(lib, dtype), requires_grad=True)
    out = getattr(lib.nn.init, name)(tensor, *args, generator=source, **kwargs)
    assert out is tensor and tensor.is_leaf and tensor.requires_grad
    states = [lib.get_rng_state(), *([] if source is None else [source.get_state()])]
    return plain(tensor), [s.numpy() for s in states]


@pytest.mark.parametrize("name, args, kwargs, shapes", STREAMS, ids=[f"{r[0]}{i}" for i, r in enumerate(STREAMS)])
def test_stream(name, args, kwargs, shapes):
    for i, shape in enumerate(shapes):
        for dtype in ("float32", "float64", "bfloat16", "float16"):
            private = i % 2 == 0 and dtype != "float64"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ours, theirs = (drawn(lib, name, args, kwargs, shape, dtype, private) for lib in (rushlight, torch))
            np.testing.assert_array_equal(ours[0], theirs[0], err_msg=f"{name} {shape} {dtype}")
            for a, b in zip(ours[1], theirs[1]):
                np.testing.assert_array_equal(a, b, err_msg=f"{name} {shape} {dtype}: generator")


@pytest.mark.parametrize("name, args, shapes", FIXED, ids=[f"{r[0]}{i}" for i, r in enumerate(FIXED)])
def test_fixed(name, args, shapes):
    for shape in shapes:
        for dtype in ("float32", "float64", "bfloat16", "int64"):
            if dtype == "int64" and args and args[0] != -1:
                continue
            made = [
                getattr(lib.nn.init, name)(lib.full(shape, 7, dtype=getattr(lib, dtype)), *args)
                for lib in (rushlight, torch)
            ]
            assert name_of(made[0].dtype) == dtype
            np.testing.assert_array_equal(plain(made[0]), plain(made[1]))


@pytest.mark.parametrize("shape", [(4, 6), (6, 4), (5, 5), (4, 3, 2), (1, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_orthogonal(shape, dtype):
    made = []
    for lib in (rushlight, torch):
        lib.manual_seed(3)
        made.append(plain(lib.nn.init.orthogonal_(lib.empty(shape, dtype=getattr(lib, dtype)), gain=1.5)))
        made.append(lib.get_rng_state().numpy())
    np.testing.assert_allclose(made[0], made[2], 0, 1e-6 if dtype == "float32" else 1e-14)
    np.testing.assert_array_equal(made[1], made[3])


def test_views_and_meta():
    for lib in (rushlight, torch):
        whole = lib.zeros(3, 4)
        lib.nn.init.ones_(whole[1])
        lib.nn.init.eye_(whole[:, 2:])
        assert whole.tolist() == [[0, 0, 1, 0], [1, 1, 0, 1], [0, 0, 0, 0]]
        for name, shape in (
            ("uniform_", (2, 2)),
            ("trunc_normal_", (2, 2)),
            ("dirac_", (2, 2, 2)),
            ("orthogonal_", (2, 2)),
            ("ones_", (2,)),
            ("eye_", (2, 2)),
        ):
            tensor = lib.empty(shape, device="meta")
            assert getattr(lib.nn.init, name)(tensor) is tensor
        assert lib.nn.init.sparse_(lib.empty(2, 2, device="meta"), 0.5).is_meta


def test_constant_by_tensor():
    for lib in (rushlight, torch):
        assert lib.nn.init.constant_(lib.empty(2), lib.tensor(3.0)).tolist() == [3.0, 3.0]


@pytest.mark.parametrize(
    "args",
    [
        ("linear",),
        ("conv_transpose3d",),
        ("sigmoid",),
        ("tanh",),
        ("relu",),
        ("leaky_relu",),
        ("leaky_relu", 0.2),
        ("leaky_relu", 1),
        ("selu",),
        ("relu", 3),
    ],
)
def test_gain(args):
    assert rushlight.nn.init.calculate_gain(*args) == torch.nn.init.calculate_gain(*args)


@pytest.mark.parametrize("name", [n for n in torch.nn.init.__all__ if not n.endswith("_") and n != "calculate_gain"])
def test_deprecated(name):
    args = {"sparse": (0.5,), "constant": (2.0,)}.get(name, ())
    shape = (2, 2, 3) if name == "dirac" else (2, 3)
    made = []
    for lib in (rushlight, torch):
        lib.manual_seed(0)
        with pytest.warns(FutureWarning) as caught:
            made.append((plain(getattr(lib.nn.init, name)(lib.empty(shape), *args)), str(caught[0].message)))
    np.testing.assert_allclose(made[0][0], made[1][0], 1e-6)
    assert made[0][1] == made[1][1]


def test_warnings():
    said = []
    for lib in (rushlight, torch):
        with pytest.warns(UserWarning) as caught:
            lib.nn.init.kaiming_uniform_(lib.empty(0, 2))
            lib.nn.init.kaiming_normal_(lib.empty(0, 2))
            lib.nn.init.trunc_normal_(lib.empty(2), mean=5.0)
        said.append([str(w.message) for w in caught])
    assert said[0] == said[1]


REFUSED = [
    ("gain name", lambda t: t.nn.init.calculate_gain("gelu")),
    ("gain slope", lambda t: t.nn.init.calculate_gain("leaky_relu", True)),
    ("gain slope text", lambda t: t.nn.init.calculate_gain("leaky_relu", "1")),
    ("eye dims", lambda t: t.nn.init.eye_(t.empty(2))),
    ("dirac dims", lambda t: t.nn.init.dirac_(t.empty(2, 2))),
    ("dirac groups", lambda t: t.nn.init.dirac_(t.empty(4, 2, 2), 3)),
    ("fan dims", lambda t: t.nn.init.xavier_uniform_(t.empty(2))),
    ("fan dims kaiming", lambda t: t.nn.init.kaiming_normal_(t.empty(2))),
    ("mode", lambda t: t.nn.init.kaiming_uniform_(t.empty(2, 2), mode="fan")),
    ("nonlinearity", lambda t: t.nn.init.kaiming_uniform_(t.empty(2, 2), nonlinearity="gelu")),
    ("orthogonal dims", lambda t: t.nn.init.orthogonal_(t.empty(2))),
    ("orthogonal half", lambda t: t.nn.init.orthogonal_(t.empty(2, 2, dtype=t.bfloat16))),
    ("sparse dims", lambda t: t.nn.init.sparse_(t.empty(2), 0.5)),
    ("std", lambda t: t.nn.init.normal_(t.empty(2), std=-1.0)),
    ("range", lambda t: t.nn.init.uniform_(t.empty(2), 1.0, 0.0)),
    ("integers", lambda t: t.nn.init.uniform_(t.empty(2, dtype=t.int64))),
    ("no tensor", lambda t: t.nn.init.uniform_([1.0])),
]


@pytest.mark.parametrize("name, function", REFUSED, ids=[r[0] for r in REFUSED])
def test_refused(name, function):
    check_refusal(name, function)


def test_same_generator_object():
    # One generator for several tensors goes on where it was.
    made = []
    for lib in (rushlight, torch):
        source = lib.Generator().manual_seed(2)
        tensors = [lib.empty(3, 4), lib.empty(5, 5)]
        for tensor in tensors:
            lib.nn.init.xavier_normal_(tensor, generator=source)
        made.append(np.concatenate([plain(t).ravel() for t in tensors]))
    np.testing.assert_array_equal(*made)


def test_gradients_are_not_recorded():
    p = make(rushlight, np.ones((2, 2)), "float32").requires_grad_()
    loss = (p * 2).sum()
    rushlight.nn.init.normal_(p)
    loss.backward()
    assert p.grad.tolist() == [[2, 2], [2, 2]] and p.grad_fn is None
