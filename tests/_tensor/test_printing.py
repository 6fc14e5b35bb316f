"""The printed form of tensors against texts taken from torch 2.13; needs no torch."""

import ml_dtypes
import numpy as np
import pytest

from rushlight import dtypes
from rushlight._tensor import printing
from rushlight._tensor.printing import tensor_repr


def show(values, dtype=dtypes.float32, **kw):
    return tensor_repr(np.asarray(values, dtype.np), dtype, **kw)


def arange(*shape, dtype=dtypes.float32):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype.np)


@pytest.fixture(autouse=True)
def default_options():
    with printing.printoptions(profile="default"):
        yield


GOLDEN = [
    (3.0, "float32", {}, "tensor(3.)"),
    (True, "bool", {}, "tensor(True)"),
    (1 + 2j, "complex64", {}, "tensor(1.+2.j)"),
    ([1, 2.5, -3], "float32", {}, "tensor([ 1.0000,  2.5000, -3.0000])"),
    ([1, 2, 3], "float32", {}, "tensor([1., 2., 3.])"),
    ([0, float("nan"), float("inf")], "float32", {}, "tensor([0., nan, inf])"),
    ([1.5, float("nan"), -float("inf")], "float32", {}, "tensor([1.5000,    nan,   -inf])"),
    ([1e-5, 1], "float32", {}, "tensor([1.0000e-05, 1.0000e+00])"),
    ([1e9, 0], "float32", {}, "tensor([1.0000e+09, 0.0000e+00])"),
    ([1, 2], "int32", {}, "tensor([1, 2], dtype=torch.int32)"),
    ([1, -20], "int64", {}, "tensor([  1, -20])"),
    ([True, False], "bool", {}, "tensor([ True, False])"),
    ([0.5], "float64", {}, "tensor([0.5000], dtype=torch.float64)"),
    ([0.1], "bfloat16", {}, "tensor([0.1001], dtype=torch.bfloat16)"),
    ([1 - 2.5j, 0.0 - 0.5j], "complex64", {}, "tensor([1.-2.5000j, 0.-0.5000j])"),
    ([], "float32", {}, "tensor([])"),
    ([], "int64", {}, "tensor([], dtype=torch.int64)"),
    (np.zeros((0, 3)), "float32", {}, "tensor([], size=(0, 3))"),
    (np.zeros((0, 3)), "bool", {}, "tensor([], size=(0, 3), dtype=torch.bool)"),
    ([1.0], "float32", {"requires_grad": True}, "tensor([1.], requires_grad=True)"),
    (1.0, "float32", {"grad_fn": "MulBackward0", "requires_grad": True}, "tensor(1., grad_fn=<MulBackward0>)"),
    ([1.0], "float32", {"device": "cuda:0"}, "tensor([1.], device='cuda:0')"),
    ([1.0], "float16", {"device": "cpu"}, "tensor([1.], dtype=torch.float16)"),
    ([1.0], "float32", {"default_dtype": dtypes.float64}, "tensor([1.], dtype=torch.float32)"),
    ([1j], "complex128", {"default_dtype": dtypes.float64}, "tensor([0.+1.j])"),
]


@pytest.mark.parametrize("values, dtype, kw, expected", GOLDEN)
def test_golden(values, dtype, kw, expected):
    assert show(values, dtypes.ALL[dtype], **kw) == expected


def test_meta_shows_the_shape_alone():
    text = tensor_repr(None, dtypes.float32, device="meta", is_meta=True, shape=(2, 3))
    assert text == "tensor(..., device='meta', size=(2, 3))"
    text = tensor_repr(None, dtypes.int64, device="meta", is_meta=True, shape=(2,), grad_fn="AddBackward0")
    assert text == "tensor(..., device='meta', size=(2,), dtype=torch.int64,\n       grad_fn=<AddBackward0>)"


def test_rows_align_and_long_rows_wrap():
    assert show(arange(2, 3)) == "tensor([[0., 1., 2.],\n        [3., 4., 5.]])"
    lines = show(arange(30)).split("\n")
    assert lines == [
        "tensor([ 0.,  1.,  2.,  3.,  4.,  5.,  6.,  7.,  8.,  9., 10., 11., 12., 13.,",
        "        14., 15., 16., 17., 18., 19., 20., 21., 22., 23., 24., 25., 26., 27.,",
        "        28., 29.])",
    ]
    assert show(arange(1, 2, 2, 1)).count("\n") == 4


def test_summary_keeps_the_edges():
    assert show(arange(1001), dtypes.int64) == "tensor([   0,    1,    2,  ...,  998,  999, 1000])"
    assert show(arange(40, 30), dtypes.int64).split("\n")[2:5] == [
        "        [  60,   61,   62,  ...,   87,   88,   89],",
        "        ...,",
        "        [1110, 1111, 1112,  ..., 1137, 1138, 1139],",
    ]


def test_summary_reads_only_the_edges():
    class Watched:
        shape = (1000, 1000)

        def __getitem__(self, key):
            self.read = np.broadcast_shapes(*(k.shape for k in key))
            return np.ones(self.read, np.float32)

    watched = Watched()
    assert "..." in tensor_repr(watched, dtypes.float32)
    assert watched.read == (6, 6)


def test_prefix_sets_the_indent():
    assert show(arange(2, 2), prefix="Image(") == "Image([[0., 1.],\n       [2., 3.]])"


def test_options_and_profiles():
    with printing.printoptions(precision=2, sci_mode=True):
        assert show([1.0, 2.5]) == "tensor([1.00e+00, 2.50e+00])"
    with printing.printoptions(profile="short"):
        assert show([1.12345]) == "tensor([1.12])"
    with printing.printoptions(profile="full"):
        assert "..." not in show(arange(1001))
    with printing.printoptions(edgeitems=0, threshold=3):
        assert show(arange(2, 5)) == "tensor([...], size=(2, 5))"
    assert printing.get_printoptions() == {
        "precision": 4,
        "threshold": 1000,
        "edgeitems": 3,
        "linewidth": 80,
        "sci_mode": None,
    }
    assert show([1.12345]) == "tensor([1.1235])"


def test_options_come_back_after_an_error():
    with pytest.raises(KeyError), printing.printoptions(precision=1):
        raise KeyError
    with pytest.raises(ValueError, match="profile must be one of default, short, full, received 'tiny'"):
        printing.set_printoptions(profile="tiny")
    assert printing.PRINT_OPTS.precision == 4


def test_float8_without_a_zero():
    values = np.array([1, 2.0**-127], ml_dtypes.float8_e8m0fnu)
    assert tensor_repr(values, dtypes.float8_e8m0fnu) == "tensor([1., 0.], dtype=torch.float8_e8m0fnu)"
