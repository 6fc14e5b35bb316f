"""Holds the names of ``nn.functional`` to torch's, and those functions that no layer calls."""

import inspect
import types
import warnings

import pytest
from parity._layers import New, check_trained
from parity._table import check, check_error, compare, f, val

import rushlight

torch = pytest.importorskip("torch")
F = torch.nn.functional

# Tools of torch's own that its namespace shows, and what rushlight has no use for.
TOOLS = {
    "assert_int_or_pair", "boolean_dispatch", "handle_torch_function", "has_torch_function",
    "has_torch_function_unary", "has_torch_function_variadic",
}  # fmt: skip
FUNCTIONS = [
    name for name in dir(F)
    if not name.startswith("_") and isinstance(getattr(F, name), (types.FunctionType, types.BuiltinFunctionType))
    and name not in TOOLS
]  # fmt: skip


@pytest.mark.parity
@pytest.mark.parametrize("name", FUNCTIONS)
def test_names_and_options(name):
    ours, theirs = getattr(rushlight.nn.functional, name), getattr(F, name)
    try:
        expected = inspect.signature(theirs).parameters
    except ValueError:
        # Written in C++, or dispatched on a flag: torch gives no signature.
        assert callable(ours)
        return
    if any(p.kind is p.VAR_POSITIONAL for p in expected.values()):
        assert callable(ours)
        return
    got = inspect.signature(ours).parameters
    assert list(got) == list(expected)
    for key, p in expected.items():
        if p.default is not p.empty and not isinstance(p.default, torch.dtype):
            assert got[key].default == p.default, f"{name}({key})"


# torch wants rows of 16 bytes.
OFFS, ENDS = val([2, 5], "int32"), val([2, 8], "int32")


@pytest.mark.parity
@pytest.mark.parametrize(
    "specs",
    [[f(5, 8), f(2, 8, 16), OFFS], [f(2, 3, 8), f(8, 8), ENDS], [f(3, 8), f(8, 8), ENDS], [f(2, 3, 8), f(2, 8, 8)]],
    ids=["rows", "columns", "inner", "stacks"],
)
def test_grouped_mm(specs):
    def run(t, a, b, offs=None):
        return t.nn.functional.grouped_mm(a, b, offs=offs)

    check("grouped_mm", run, specs, ("float32", "bfloat16"), (2e-2, 2e-2), eager=True)
    grads = []
    for lib in (torch, rushlight):
        a, b = (lib.ones(s.shape, requires_grad=True) for s in specs[:2])
        offs = lib.tensor(specs[2].shape, dtype=lib.int32) if len(specs) == 3 else None
        out = lib.nn.functional.grouped_mm(a, b, offs=offs)
        (out * out.detach()).sum().backward()
        grads.append((a.grad, b.grad))
    for got, expected in zip(grads[1], grads[0]):
        compare("gradient of grouped_mm", got, expected, "float32")


def _scaled(t, a, b, rows, columns):
    kinds, f8 = t.nn.functional.ScalingType, t.float8_e4m3fn
    a, b = a.to(f8), b.to(f8).t()
    one = t.tensor(2.0)
    return (
        t.nn.functional.scaled_mm(a, b, one, kinds.TensorWise, one, kinds.TensorWise, output_dtype=t.float32),
        t.nn.functional.scaled_mm(a, b, rows, kinds.RowWise, columns, kinds.RowWise, bias=t.ones(48).bfloat16()),
    )


@pytest.mark.parity
def test_scaled_mm():
    # Products of 8-bit floats are exact in float32, sums of them nearly.
    specs = [f(16, 32), f(48, 32), f(16, 1, low=0.5), f(1, 48, low=0.5)]
    check("scaled_mm", _scaled, specs, ("float32",), (1e-2, 1e-4), eager=True)


def test_what_is_refused():
    kinds = rushlight.nn.functional.ScalingType
    a = rushlight.ones(16, 16).to(rushlight.float8_e4m3fn)
    one = rushlight.ones(1)
    with pytest.raises(NotImplementedError, match=r"BlockWise1x32.*Scale by tensor"):
        rushlight.nn.functional.scaled_mm(a, a, one, kinds.BlockWise1x32, one, kinds.BlockWise1x32)
    with pytest.raises(NotImplementedError, match="grouped_mm"):
        rushlight.nn.functional.scaled_grouped_mm(a, a, one, kinds.RowWise, one, kinds.RowWise)
    with pytest.raises(ValueError, match="cannot be multiplied"):
        rushlight.nn.functional.scaled_mm(a, a[:8], one, kinds.TensorWise, one, kinds.TensorWise)


GROUPED = lambda **k: lambda t, *xs: t.nn.functional.grouped_mm(*xs, **{n: v(t) for n, v in k.items()})  # noqa: E731
ERRORS = [
    ("grouped no offsets", GROUPED(), [f(3, 8), f(2, 8, 8)]),
    ("grouped offsets", GROUPED(offs=lambda t: t.zeros(2).int()), [f(2, 3, 8), f(2, 8, 8)]),
    ("grouped inner", GROUPED(offs=lambda t: t.zeros(2).int()), [f(3, 4), f(2, 8, 8)]),
    ("grouped count", GROUPED(offs=lambda t: t.zeros(3).int()), [f(3, 8), f(2, 8, 8)]),
    ("grouped long", GROUPED(offs=lambda t: t.zeros(2).long()), [f(3, 8), f(2, 8, 8)]),
    ("grouped bias", GROUPED(offs=lambda t: t.zeros(2).int(), bias=lambda t: t.ones(8)), [f(3, 8), f(2, 8, 8)]),
    ("grouped dtype", GROUPED(offs=lambda t: t.zeros(2).int(), out_dtype=lambda t: t.bfloat16), [f(3, 8), f(2, 8, 8)]),
]  # fmt: skip


@pytest.mark.parity
@pytest.mark.parametrize(("name", "fn", "specs"), ERRORS, ids=[row[0] for row in ERRORS])
def test_errors(name, fn, specs):
    check_error(name, fn, specs)


@pytest.mark.parity
@pytest.mark.parametrize("options", [{}, {"tau": 0.5}, {"hard": True}, {"dim": 0, "hard": True}])
def test_gumbel_softmax(options):
    def call(t, layer, x):
        return t.nn.functional.gumbel_softmax(x, **options)

    check_trained("Identity", New(), [f(5, 4)], "float32", call)


@pytest.mark.parity
@pytest.mark.parametrize("name", ["upsample", "upsample_nearest", "upsample_bilinear"])
def test_older_names_warn(name):
    said = []
    for lib in (torch, rushlight):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            getattr(lib.nn.functional, name)(lib.ones(1, 1, 2, 2), scale_factor=2)
        said.append(str(caught[0].message))
    assert said[0] == said[1]


@pytest.mark.parity
@pytest.mark.parametrize(("name", "shape"), [("Softmax", (2, 2)), ("LogSoftmax", (3,)), ("Softmin", (2, 2, 2))])
def test_a_dimension_left_out_warns_at_the_call(name, shape):
    said = []
    for lib in (torch, rushlight):
        layer, x = getattr(lib.nn, name)(), lib.ones(*shape)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            out = layer(x)
        said.append((str(caught[0].message), out.tolist()))
    assert said[0] == said[1]
