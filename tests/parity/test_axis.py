"""Second names of keywords, numpy's above all: which functions take them, and what happens when both names come."""

import inspect
import pickle
import types

import numpy as np
import pytest
from parity._table import flat, plain

import rushlight

torch = pytest.importorskip("torch")


def square(lib):
    return lib.tensor([[1.0, 4.0, 2.0], [0.5, 3.0, 9.0], [7.0, 6.0, 8.0]])


def index(lib):
    return lib.tensor([[0, 2, 1], [1, 0, 0], [2, 2, 0]])


def order(lib):
    return lib.tensor([0, 2, 1])


def row(lib):
    return lib.tensor([1.0, 2.0, 3.0])


BOTH = (
    "all amax amin aminmax any argmax argmin argsort count_nonzero cummax cummin cumprod cumsum diff log_softmax "
    "logcumsumexp logsumexp max mean median min mode nanmean nanmedian nansum prod softmax sort squeeze std sum "
    "unbind unsqueeze var"
)
FUNCTIONS = (
    "cumulative_trapezoid fft.fft fft.fftn fft.fftshift fft.hfft fft.ifft fft.ifftshift fft.ihfft fft.irfft fft.rfft "
    "linalg.norm linalg.vector_norm special.log_softmax special.logsumexp special.softmax squeeze_copy std_mean "
    "trapezoid trapz unbind_copy unsqueeze_copy var_mean"
)
METHODS = "cumprod_ cumsum_ size squeeze_ stride unsqueeze_"
COUNTED = "chunk kthvalue repeat_interleave tensor_split topk unsafe_chunk"
KEEPDIM = (
    "amax argmax kthvalue linalg.norm linalg.vector_norm logsumexp max mean median mode nanmedian prod quantile std "
    "std_mean sum var var_mean"
)
OTHER = "add allclose div equal fmod matmul maximum remainder floor_divide"

# Forms: f for torch.name(x, ...), m for x.name(...). After the name: arguments, then keywords besides axis=0.
AXIS = [
    *[(name, "fm", (), {}) for name in BOTH.split()],
    *[(name, "f", (), {}) for name in FUNCTIONS.split()],
    *[(name, "m", (), {}) for name in METHODS.split()],
    *[(name, "fm", (2,), {}) for name in COUNTED.split()],
    ("cosine_similarity", "f", (square,), {}),
    ("cross", "fm", (square,), {}),
    ("gather", "fm", (), {"index": index}),
    ("index_add", "fm", (), {"index": order, "source": square}),
    ("index_add_", "m", (), {"index": order, "source": square}),
    ("index_copy", "fm", (), {"index": order, "source": square}),
    ("index_fill", "fm", (), {"index": order, "value": 5.0}),
    ("index_fill_", "m", (), {"index": order, "value": 5.0}),
    ("index_reduce", "fm", (), {"index": order, "source": square, "reduce": "amax"}),
    ("index_select", "fm", (), {"index": order}),
    ("linalg.cross", "f", (square,), {}),
    ("linalg.vecdot", "f", (square,), {}),
    ("nanquantile", "fm", (0.5,), {}),
    ("narrow", "fm", (), {"start": 1, "length": 2}),
    ("narrow_copy", "fm", (), {"start": 1, "length": 2}),
    ("quantile", "fm", (0.5,), {}),
    ("renorm", "fm", (2.0,), {"maxnorm": 1.0}),
    ("renorm_", "m", (2.0,), {"maxnorm": 1.0}),
    ("scatter", "fm", (), {"index": index, "src": square}),
    ("scatter_", "m", (), {"index": index, "src": square}),
    ("scatter_add", "fm", (), {"index": index, "src": square}),
    ("scatter_reduce", "fm", (), {"index": index, "src": square, "reduce": "sum"}),
    ("select", "fm", (), {"index": 1}),
    ("select_copy", "f", (), {"index": 1}),
    ("select_scatter", "fm", (row,), {"index": 1}),
    ("slice_scatter", "fm", (square,), {}),
    ("split_copy", "f", (2,), {}),
    ("split_with_sizes", "fm", ([1, 2],), {}),
    ("take_along_dim", "fm", (index,), {}),
    ("unflatten", "f", (), {"sizes": (3, 1)}),
    ("unsafe_split", "fm", (2,), {}),
]  # fmt: skip
CASES = [(name, form, args, kwargs) for name, forms, args, kwargs in AXIS for form in forms]
IDS = [f"{name}-{'method' if form == 'm' else 'function'}" for name, form, _, _ in CASES]


def reach(lib, path):
    for part in path.split("."):
        lib = getattr(lib, part)
    return lib


def call(lib, case, **more):
    name, form, args, kwargs = case
    x = square(lib)
    args = [a(lib) if callable(a) else a for a in args]
    kwargs = {key: a(lib) if callable(a) else a for key, a in kwargs.items()}
    function = getattr(x, name) if form == "m" else reach(lib, name)
    return function(*([] if form == "m" else [x]), *args, **kwargs, **more)


def same(got, expected):
    got, structure = flat(got)
    expected, wanted = flat(expected)
    assert structure == wanted
    for a, b in zip(got, expected, strict=True):
        if isinstance(b, torch.Tensor):
            np.testing.assert_allclose(plain(a), plain(b), 2e-5, 2e-6)
        else:
            assert a == b


@pytest.mark.filterwarnings("ignore:index_reduce")
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_axis_is_dim(case):
    same(call(rushlight, case, axis=0), call(torch, case, axis=0))


@pytest.mark.filterwarnings("ignore:index_reduce")
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_both_names_are_refused(case):
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'axis'|invalid combination of arguments"):
        call(torch, case, dim=0, axis=1)
    with pytest.raises(TypeError, match=r"\w+\(\) got an unexpected keyword argument 'axis'"):
        call(rushlight, case, dim=0, axis=1)


@pytest.mark.parametrize("name", KEEPDIM.split())
def test_keepdims_is_keepdim(name):
    args = {"kthvalue": (2,), "quantile": (0.5,)}.get(name, ())
    case = (name, "f", args, {})
    same(call(rushlight, case, axis=1, keepdims=True), call(torch, case, axis=1, keepdims=True))
    for lib in (torch, rushlight):
        with pytest.raises(TypeError, match=r"unexpected keyword argument 'keepdims'|invalid combination"):
            call(lib, case, dim=1, keepdim=True, keepdims=True)


@pytest.mark.parametrize("alias", ["x", "a", "x1"])
@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("exp", {}), ("softmax", {"axis": 0}), ("clamp", {"min": 2.0}), ("reshape", {"shape": (9,)}),
        ("permute", {"dims": (1, 0)}), ("zeros_like", {}), ("linalg.cholesky_ex", {}), ("fft.fft", {}), ("det", {}),
        ("roll", {"shifts": 1}), ("flip", {"dims": [0]}), ("view_copy", {"size": (9,)}), ("t", {}), ("pow", {"exponent": 2}),
        ("nn.functional.avg_pool2d", {"kernel_size": 3}), ("numel", {}), ("special.softmax", {"dim": 1}),
    ],
)  # fmt: skip
def test_the_first_argument_by_name(name, kwargs, alias):
    def view(lib):
        x = square(lib)[None, None] if name.endswith("pool2d") else square(lib)
        return {alias: x @ x.mT if "cholesky" in name else x}

    same(reach(rushlight, name)(**view(rushlight), **kwargs), reach(torch, name)(**view(torch), **kwargs))
    for lib in (torch, rushlight):
        with pytest.raises(TypeError):
            reach(lib, name)(square(lib), **view(lib), **kwargs)


@pytest.mark.parametrize("name", OTHER.split())
def test_x2_is_other(name):
    for form in (f for f in "fm" if hasattr(torch.Tensor, name)):
        case = (name, form, (), {"x2": square})
        same(call(rushlight, case), call(torch, case))


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("tensor_split", {"sections": 2}), ("tensor_split", {"indices": [1]}), ("hsplit", {"sections": 3}),
        ("vsplit", {"indices": [1]}), ("cholesky_solve", {"input2": square}), ("heaviside", {"values": square}),
        ("constant_pad_nd", {"pad": [1, 1]}), ("linalg.lstsq", {"b": square}), ("swapaxes", {"axis0": 0, "axis1": 1}),
        ("unsafe_split", {"split_size": 2}), ("linalg.tensorsolve", {"other": row}), ("orgqr", {"input2": row}),
        ("ormqr", {"input2": row, "input3": square}),
    ],
)  # fmt: skip
def test_names_of_single_functions(name, kwargs):
    case = (name, "f", (), kwargs)
    same(call(rushlight, case), call(torch, case))


def test_dtypes_by_name():
    for lib in (torch, rushlight):
        assert lib.promote_types(type1=lib.float32, type2=lib.int8) is lib.float32
        assert lib.can_cast(from_=lib.float32, to=lib.int8) is False


@pytest.mark.parametrize("case", [
    ("split", "f", (2,), {}), ("split", "m", (2,), {}), ("norm", "f", (), {}), ("norm", "m", (), {}),
    ("unique", "f", (), {}), ("unique", "m", (), {}), ("unique_consecutive", "m", (), {}),
    ("unflatten", "m", (), {"sizes": (3, 1)}), ("nn.functional.softmax", "f", (), {}),
    ("nn.functional.normalize", "f", (), {}), ("roll", "f", (1,), {}), ("flip", "f", (), {}),
])  # fmt: skip
def test_refused_where_torch_refuses(case):
    for lib in (torch, rushlight):
        with pytest.raises(TypeError):
            call(lib, case, axis=0)


def test_every_public_function_with_a_dim():
    """Whatever function of torch's C++ has ``dim`` here takes ``axis`` too."""
    for path in ("", "linalg", "fft", "special"):
        here, there = (reach(lib, path) if path else lib for lib in (rushlight, torch))
        for name in sorted(set(dir(here)) & set(dir(there))):
            function = getattr(here, name)
            if isinstance(function, types.FunctionType) and not isinstance(getattr(there, name), types.FunctionType):
                parameters = inspect.signature(function).parameters
                if "dim" in parameters and "axis" not in parameters:
                    assert "axis" in getattr(function, "synonyms", ()), f"{path}.{name}"


def test_functions_are_pickled_by_name():
    for path in ("softmax", "cat", "linalg.norm", "fft.fft", "nn.functional.conv2d", "special.softmax"):
        function = reach(rushlight, path)
        assert pickle.loads(pickle.dumps(function)) is function
        assert "dim" in inspect.signature(function).parameters or path.endswith("conv2d")
