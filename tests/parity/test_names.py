"""Names around the operators: copies of views, in-place functions, questions, constants, switches, old names."""

import warnings

import numpy as np
import pytest
from parity._table import check, check_error, f, ix, pos, val

import rushlight

torch = pytest.importorskip("torch")

M = f(3, 4)
ROWS = [
    ("view copies", lambda t, a: (t.t_copy(a), t.view_copy(a, (4, 3)), t.permute_copy(a, (1, 0)), t.unsqueeze_copy(a, 0),
                                  t.expand_copy(a[:1], (2, 4)), t.select_copy(a, 1, 2), t.slice_copy(a, 1, 1, 4, 2)), [M]),
    ("list copies", lambda t, a: (t.split_copy(a, 2), t.unbind_copy(a, 1), t.split_with_sizes_copy(a, [1, 2])), [M]),
    ("as_strided copies", lambda t, a: (t.as_strided_copy(a, (2, 2), (4, 1), 1), t.diagonal_copy(a), t.squeeze_copy(a[:1])), [M]),
    ("in place functions", lambda t, a: (t.sin_(a.clone()), t.abs_(a.clone()), t.fill_(a.clone(), 2.0), t.zero_(a.clone()),
                                         t.sigmoid_(a.clone()), t.nan_to_num_(a.clone()), t.square_(a.clone())), [M]),
    ("in place clamps", lambda t, a: (t.clamp_(a.clone(), -1, 1), t.clamp_min_(a.clone(), 0), t.clip_(a.clone(), max=0.5)), [M]),
    ("in place swaps", lambda t, a: (a.clone().swapdims_(0, 1), a.clone().swapaxes_(0, 1), a.clone().as_strided_((2, 2), (1, 2))), [M]),
    ("sum_to_size", lambda t, a: (a.sum_to_size(3, 1), a.sum_to_size(1, 4), a.sum_to_size(4)), [M]),
    ("norms", lambda t, a: (t.frobenius_norm(a, 1), t.nuclear_norm(a), t.norm_except_dim(a, 2, 0), t.renorm(a, 2, 0, 1.0)), [M]),
    ("normalizations", lambda t, a: t.native_layer_norm(a, (4,), None, None, 1e-5), [M]),
    ("shape as tensor", lambda t, a: t._shape_as_tensor(a), [M]),
    ("vander", lambda t, a: (t.vander(a.detach()), t.vander(a.detach(), 3, True)), [f(4)]),
    ("products by old names", lambda t, a, b: (t.spmm(a, b), t.functional.tensordot(a, b, 1)), [M, f(4, 2)]),
    ("functional", lambda t, a: (t.functional.norm(a, dim=1), t.functional.split(a, 2), t.functional.cdist(a, a)), [M]),
    ("ldexp frexp", lambda t, a: (t.ldexp(a, t.tensor([1, 2, 3, 0])), t.frexp(a)), [M]),
    ("polygamma", lambda t, a: (a.polygamma(1), t.polygamma(2, a), a.mvlgamma(1)), [pos(4)]),
    ("put take", lambda t, a, i: (a.put(i, a[0]), a.put(i, a[1], accumulate=True), a.take(i)), [M, val([0, 5, 7, 11], "int64")]),
    ("unravel", lambda t, i: t.unravel_index(i, (3, 4)), [ix(12, 5)]),
    ("nonzero_static", lambda t, a: t.nonzero_static((a > 0).float(), size=4), [M]),
    ("windows", lambda t: (t.hann_window(6), t.hamming_window(6, False), t.blackman_window(5), t.kaiser_window(7, True, 3.0),
                           t.bartlett_window(4), t.hamming_window(6, True, 0.6, 0.4), t.hann_window(0), t.hann_window(1)), []),
    ("signal windows", lambda t: (t.signal.windows.gaussian(5, std=0.8), t.signal.windows.exponential(6, tau=2.0),
                                  t.signal.windows.kaiser(4, sym=False), t.signal.windows.nuttall(6), t.signal.windows.cosine(5)), []),
    ("fft", lambda t, a: (t.fft.fft(a, 6), t.fft.rfftn(a, (2, 5)), t.fft.hfft2(a), t.fft.fftshift(a), t.fft.fftfreq(5, 0.1)), [M]),
    ("numpy's functions", lambda t, a: np.sqrt(a.detach()), [pos(3)]),
]  # fmt: skip


@pytest.mark.parametrize("name, fn, specs", ROWS, ids=[row[0] for row in ROWS])
def test_row(name, fn, specs):
    check(name, fn, specs, ["float64"] if specs else ["float32"], eager=name == "numpy's functions")


ERRORS = [
    ("frexp of integers", lambda t, i: t.frexp(i), [ix(3, 2)]),
    ("polygamma of a negative order", lambda t, a: t.polygamma(-1, a), [M]),
    ("mvlgamma of no dimension", lambda t, a: t.mvlgamma(a, 0), [M]),
    ("put with a wrong index", lambda t, a: a.put(t.tensor([0.0]), a[0, :1]), [M]),
    ("windows of a negative length", lambda t: t.hann_window(-1), []),
    ("fft without points", lambda t, a: t.fft.fft(a, 0), [M]),
    ("norm of integers", lambda t, i: t.norm(i), [ix(3, 2)]),
    ("renorm of a vector", lambda t, a: t.renorm(a[0], 2, 0, 1.0), [M]),
    ("resize of what requires grad", lambda t, a: a.requires_grad_().resize_(2, 2), [M]),
    ("istft of real numbers", lambda t, a: t.istft(a, 4), [M]),
    ("a number for a tensor", lambda t: t.maximum(1, 2), []),
    ("a number for the other tensor", lambda t, a: t.atan2(a, 2), [M]),
]


@pytest.mark.parametrize("name, fn, specs", ERRORS, ids=[row[0] for row in ERRORS])
def test_error(name, fn, specs):
    check_error(name, fn, specs)


@pytest.mark.parametrize("name", ["pi", "e", "inf", "newaxis"])
def test_constants(name):
    assert getattr(rushlight, name) == getattr(torch, name)


@pytest.mark.parametrize("shape, kind", [((), "float32"), ((2, 3), "int64"), ((2,), "complex64"), ((1,), "bool")])
def test_questions(shape, kind):
    a, b = (lib.ones(shape, dtype=getattr(lib, kind)) for lib in (rushlight, torch))
    for name in (
        "is_floating_point",
        "is_complex",
        "is_signed",
        "is_conj",
        "is_neg",
        "is_inference",
        "numel",
        "get_device",
    ):
        assert getattr(rushlight, name)(a) == getattr(torch, name)(b), name
    for name in ("is_distributed", "dense_dim", "dim_order", "element_size"):
        assert getattr(a, name)() == getattr(b, name)(), name
    for name in (
        "itemsize",
        "nbytes",
        "is_cuda",
        "is_cpu",
        "is_meta",
        "is_sparse",
        "is_quantized",
        "name",
        "ndim",
    ):
        assert getattr(a, name) == getattr(b, name), name
    assert rushlight.typename(a) == torch.typename(b)
    assert rushlight.is_same_size(a, a)
    if len(shape) == 2:
        assert a.mT.shape == b.mT.shape
        assert a.mH.shape == b.mH.shape


def test_named_results_are_found_by_name():
    sorted_ = rushlight.sort(rushlight.tensor([2, 1]))
    assert type(sorted_) is rushlight.return_types.sort
    assert str(rushlight.return_types.sort) == str(torch.return_types.sort)


def test_switches_are_remembered():
    for lib in (rushlight, torch):
        before = lib.get_float32_matmul_precision()
        lib.set_float32_matmul_precision("high")
        assert lib.get_float32_matmul_precision() == "high"
        lib.set_float32_matmul_precision(before)
        lib.use_deterministic_algorithms(True, warn_only=True)
        assert lib.are_deterministic_algorithms_enabled()
        assert lib.is_deterministic_algorithms_warn_only_enabled()
        assert lib.get_deterministic_debug_mode() == 1
        lib.use_deterministic_algorithms(False)
        lib.set_anomaly_enabled(True)
        assert lib.is_anomaly_enabled()
        lib.set_anomaly_enabled(False)
        assert lib.get_num_threads() >= 1
        with pytest.warns(UserWarning, match="low is not one of 'highest', 'high', or 'medium'"):
            lib.set_float32_matmul_precision("low")


def test_threads_cannot_be_changed_and_say_so():
    with pytest.warns(UserWarning, match="XLA keeps"):
        rushlight.set_num_threads(rushlight.get_num_threads() + 1)


def test_accelerator():
    assert rushlight.accelerator.is_available() == (rushlight.accelerator.device_count() > 0)
    assert (rushlight.accelerator.current_accelerator() is None) == (not rushlight.accelerator.is_available())


def test_elements_by_python_functions():
    for lib in (rushlight, torch):
        x = lib.tensor([1.0, 2.0])
        assert x.apply_(lambda v: v + 1).tolist() == [2, 3]
        assert x.map_(lib.tensor([10.0, 20.0]), lambda a, b: a * b).tolist() == [20, 60]


@pytest.mark.parametrize("name", ["eig", "symeig", "lstsq", "solve"])
def test_removed_functions_say_so(name):
    a, b = rushlight.ones(2, 2), torch.ones(2, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for lib, x in ((rushlight, a), (torch, b)):
            with pytest.raises(RuntimeError, match=r"deprecated since version 1\.9 and is now removed"):
                getattr(lib, name)(*([x, x] if name in ("lstsq", "solve") else [x]))


def test_layouts_are_refused():
    with pytest.raises(NotImplementedError, match="use dense tensors"):
        rushlight.ones(2).to_sparse()
