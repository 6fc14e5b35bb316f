"""rushlight's printed tensors against torch's, over dtypes, shapes, magnitudes and options."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rushlight import dtypes
from rushlight._tensor import printing

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

SHAPES = [
    (), (1,), (7,), (40,), (0,), (0, 3), (2, 0), (1, 1), (3, 4), (2, 3, 4), (1, 30), (2, 1, 2, 2), (2, 1, 1, 2, 3),
    (1001,), (1500, 2), (2, 1500), (11, 101), (8, 12, 13), (3, 2, 200), (7, 7, 7, 7), (1, 8, 1, 9, 30),
]  # fmt: skip
OPTIONS = [
    {},
    {"precision": 2},
    {"precision": 0},
    {"threshold": 5},
    {"threshold": 0, "edgeitems": 1},
    {"edgeitems": 0, "threshold": 10},
    {"linewidth": 40},
    {"linewidth": 5},
    {"profile": "short"},
    {"profile": "full"},
    {"sci_mode": True},
    {"sci_mode": False, "precision": 6},
]


def to_torch(array, dtype):
    kind = getattr(torch, dtype.name)
    array = np.ascontiguousarray(array).reshape(array.shape)
    if dtype.np.type.__module__.startswith("ml_dtypes") and dtype.np.type is not np.bool_:
        raw = {1: np.uint8, 2: np.int16}[dtype.itemsize]
        return torch.from_numpy(array.view(raw)).view(kind)
    return torch.from_numpy(array)


def values_of(shape, dtype, seed=0, spread=2.0):
    rng = np.random.default_rng(seed)
    if dtype.category == 0:
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.category == 1:
        top = np.iinfo(dtype.np).max
        return rng.integers(-100 if dtype.is_signed else 0, min(top, 30000), shape).astype(dtype.np)
    out = rng.normal(size=shape) * 10.0 ** rng.uniform(-spread, spread, shape)
    if dtype.is_complex:
        return (out + 1j * rng.normal(size=shape)).astype(dtype.np)
    if dtype is dtypes.float8_e8m0fnu:
        out = np.abs(out)
    with np.errstate(over="ignore"):
        return np.asarray(out).astype(dtype.np)


def check(array, dtype, **options):
    try:
        torch.set_printoptions(profile="default", **options)
        expected = repr(to_torch(array, dtype))
    finally:
        torch.set_printoptions(profile="default")
    with printing.printoptions(**options):
        assert printing.tensor_repr(array, dtype) == expected


@pytest.mark.parametrize("dtype", dtypes.ALL.values(), ids=str)
def test_every_dtype_and_shape(dtype):
    for seed, shape in enumerate(SHAPES):
        check(values_of(shape, dtype, seed), dtype)
        check(values_of(shape, dtype, seed, spread=0.2), dtype)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", ["float32", "complex64", "int64", "bool", "float8_e5m2"])
def test_every_option(options, name):
    dtype = dtypes.ALL[name]
    if "profile" in options:
        shapes = [(3, 4), (11, 101)]
    else:
        shapes = [(), (9,), (40,), (3, 4), (0, 2), (3, 8, 2), (11, 101)]
    for seed, shape in enumerate(shapes):
        array = values_of(shape, dtype, seed)
        torch.set_printoptions(**options)
        try:
            expected = repr(to_torch(array, dtype))
        finally:
            torch.set_printoptions(profile="default")
        with printing.printoptions(**options):
            assert printing.tensor_repr(array, dtype) == expected


AWKWARD = [
    [0.0], [-0.0], [0.0, -0.0], [float("nan")], [float("inf"), 1], [-float("inf"), 1.5], [float("nan")] * 3, [1e8],
    [1.1e8], [1e-4], [0.99e-4], [1, 1000], [1, 1001], [1.5, 1500], [1.5, 1501], [123456.0], [0.1, 100.5], [-1, 2],
    [1e38], [1e-45], [99999.99999], [0.99999999], [3, float("nan"), -200], [1e10, float("-inf"), 0],
]  # fmt: skip


@pytest.mark.parametrize("values", AWKWARD, ids=str)
@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e8m0fnu"])
def test_awkward_values(values, name):
    with np.errstate(all="ignore"):
        array = np.array(values).astype(dtypes.ALL[name].np)
    check(array, dtypes.ALL[name])
    check(array[:1].reshape(()), dtypes.ALL[name])


@pytest.mark.parametrize("real", [0.0, -0.0, 1.5, float("nan"), -float("inf"), 1e9])
@pytest.mark.parametrize("imag", [0.0, -0.0, -2.0, float("nan"), -float("inf"), 1e-6])
def test_complex_parts(real, imag):
    array = np.array([complex(real, imag), 1 - 1j], np.complex128)
    check(array, dtypes.complex128)
    check(array[:1].reshape(()), dtypes.complex128)


def test_integer_limits():
    for dtype in dtypes.ALL.values():
        if dtype.category == 1:
            info = np.iinfo(dtype.np)
            check(np.array([info.min, 0, info.max], dtype.np), dtype)


@pytest.mark.parametrize("default", ["float32", "float64", "bfloat16", "float16"])
def test_the_default_dtype_goes_without_saying(default):
    torch.set_default_dtype(getattr(torch, default))
    try:
        for dtype in dtypes.ALL.values():
            for shape in [(2,), (0,)]:
                array = values_of(shape, dtype)
                expected = repr(to_torch(array, dtype))
                assert printing.tensor_repr(array, dtype, default_dtype=dtypes.ALL[default]) == expected
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("length", range(1, 30))
def test_gradient_notes_wrap_as_torch_wraps_them(length):
    array = values_of((length,), dtypes.float64)
    leaf = to_torch(array, dtypes.float64).requires_grad_()
    assert printing.tensor_repr(array, dtypes.float64, requires_grad=True) == repr(leaf)
    out = leaf + 0
    assert printing.tensor_repr(array, dtypes.float64, requires_grad=True, grad_fn="AddBackward0") == repr(out)


@pytest.mark.parametrize("shape", [(), (0,), (2, 3), (1000, 1000), (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)])
@pytest.mark.parametrize("name", ["float32", "int64", "complex64"])
def test_meta(shape, name):
    theirs = torch.empty(shape, dtype=getattr(torch, name), device="meta")
    ours = printing.tensor_repr(None, dtypes.ALL[name], device="meta", is_meta=True, shape=shape)
    assert ours == repr(theirs)


def test_subclass_prefix():
    class Picture(torch.Tensor):
        pass

    array = values_of((30, 5), dtypes.float32)
    assert printing.tensor_repr(array, dtypes.float32, prefix="Picture(") == repr(
        torch.from_numpy(array).as_subclass(Picture)
    )


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_random_tensors(data):
    dtype = data.draw(st.sampled_from(list(dtypes.ALL.values())))
    shape = tuple(data.draw(st.lists(st.integers(0, 9), max_size=5)))
    options = {
        "precision": data.draw(st.integers(0, 8)),
        "threshold": data.draw(st.sampled_from([0, 1, 20, 1000])),
        "edgeitems": data.draw(st.integers(0, 4)),
        "linewidth": data.draw(st.integers(1, 130)),
        "sci_mode": data.draw(st.sampled_from([None, None, True, False])),
    }
    size = int(np.prod(shape)) * dtype.itemsize
    if data.draw(st.booleans()) or dtype.category == 0 or size > 4000:
        array = values_of(shape, dtype, data.draw(st.integers(0, 99)), data.draw(st.sampled_from([0.0, 1.0, 6.0])))
        if dtype.category == 2 and data.draw(st.booleans()):
            with np.errstate(all="ignore"):
                array = np.trunc(array.astype(np.float64)).astype(dtype.np)
                array = np.where(array == 0, np.ones((), dtype.np), array)
    else:
        # Any bit pattern: denormals, nan, inf and the extremes.
        seed = data.draw(st.integers(0, 2**32 - 1))
        array = np.frombuffer(np.random.default_rng(seed).bytes(size), dtype.np).reshape(shape).copy()
    check(array, dtype, **options)


def test_ml_dtypes_are_the_ones_torch_has():
    assert to_torch(np.array([0.1], ml_dtypes.bfloat16), dtypes.bfloat16).dtype is torch.bfloat16
