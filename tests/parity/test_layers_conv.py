"""The convolution layers against PyTorch: initial values, results, gradients, printed forms, state dicts, refusals."""

import pytest
from parity._seeded import check_layer, check_refusal
from parity._table import f

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

ALL = ("float64", "float32", "bfloat16")
LAYERS = [
    ("Conv1d", lambda t, **k: t.nn.Conv1d(4, 6, 3, **k), [f(2, 4, 9)]),
    ("Conv1d options", lambda t, **k: t.nn.Conv1d(4, 6, (3,), stride=2, padding=(2,), dilation=2, groups=2, bias=False, **k), [f(2, 4, 9)]),
    ("Conv1d same", lambda t, **k: t.nn.Conv1d(2, 3, 4, padding="same", dilation=2, **k), [f(1, 2, 9)]),
    ("Conv1d reflect", lambda t, **k: t.nn.Conv1d(2, 3, 3, padding=2, padding_mode="reflect", **k), [f(1, 2, 6)]),
    ("Conv1d unbatched", lambda t, **k: t.nn.Conv1d(2, 3, 3, **k), [f(2, 6)]),
    ("Conv2d", lambda t, **k: t.nn.Conv2d(3, 4, 3, **k), [f(2, 3, 6, 5)]),
    ("Conv2d options", lambda t, **k: t.nn.Conv2d(4, 8, (3, 2), (2, 1), (1, 2), (1, 2), 4, **k), [f(1, 4, 7, 6)]),
    ("Conv2d depthwise", lambda t, **k: t.nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False, **k), [f(2, 4, 4, 4)]),
    ("Conv2d valid", lambda t, **k: t.nn.Conv2d(2, 3, 2, padding="valid", stride=2, **k), [f(1, 2, 5, 4)]),
    ("Conv2d same circular", lambda t, **k: t.nn.Conv2d(2, 3, (3, 2), padding="same", padding_mode="circular", **k), [f(1, 2, 5, 4)]),
    ("Conv2d replicate", lambda t, **k: t.nn.Conv2d(2, 3, 3, padding=(1, 2), padding_mode="replicate", stride=2, **k), [f(1, 2, 5, 4)]),
    ("Conv2d unbatched", lambda t, **k: t.nn.Conv2d(2, 3, 3, **k), [f(2, 5, 4)]),
    ("Conv3d", lambda t, **k: t.nn.Conv3d(2, 3, (2, 3, 1), stride=(1, 2, 1), **k), [f(1, 2, 3, 5, 2)]),
    ("Conv3d same", lambda t, **k: t.nn.Conv3d(2, 2, 2, padding="same", bias=False, **k), [f(1, 2, 2, 3, 2)]),
    ("Conv3d circular", lambda t, **k: t.nn.Conv3d(2, 2, 3, padding=1, padding_mode="circular", groups=2, **k), [f(1, 2, 2, 3, 2)]),
    ("ConvTranspose1d", lambda t, **k: t.nn.ConvTranspose1d(4, 6, 3, **k), [f(2, 4, 5)]),
    ("ConvTranspose1d options", lambda t, **k: t.nn.ConvTranspose1d(4, 6, 3, 3, 1, 2, 2, False, 2, **k), [f(2, 4, 5)]),
    ("ConvTranspose2d", lambda t, **k: t.nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1, **k), [f(2, 3, 3, 4)]),
    ("ConvTranspose2d options", lambda t, **k: t.nn.ConvTranspose2d(4, 4, (3, 2), (2, 1), (1, 0), (1, 0), groups=2, dilation=(1, 3), **k), [f(1, 4, 3, 3)]),
    ("ConvTranspose2d unbatched", lambda t, **k: t.nn.ConvTranspose2d(3, 2, 2, **k), [f(3, 3, 4)]),
    ("ConvTranspose3d", lambda t, **k: t.nn.ConvTranspose3d(2, 4, (2, 1, 2), stride=2, output_padding=(0, 1, 1), **k), [f(1, 2, 2, 3, 2)]),
]  # fmt: skip


@pytest.mark.parametrize("name, build, specs", LAYERS, ids=[r[0] for r in LAYERS])
def test_layer(name, build, specs):
    check_layer(name, build, specs, dtypes=ALL if name in ("Conv1d", "Conv2d", "ConvTranspose2d") else ("float64",))


def test_eager():
    build = lambda t, **k: t.nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect", **k)  # noqa: E731
    check_layer("Conv2d eager", build, [f(2, 3, 6, 5)], eager=True)


SIZES = [(1, (11,)), (1, (2, 4, 12)), (2, (7, 8)), (2, [1, 4, 8, 7])]


@pytest.mark.parametrize("dims, size", SIZES)
def test_output_size(dims, size):
    def call(lib):
        layer = getattr(lib.nn, f"ConvTranspose{dims}d")(2, 4, 3, stride=2)
        shape = (2, 2, 5) if dims == 1 else (1, 2, 3, 3)
        return tuple(layer(lib.zeros(shape), size).shape), layer._output_padding(
            lib.zeros(shape), size, layer.stride, layer.padding, layer.kernel_size, dims
        )

    import rushlight

    assert call(rushlight) == call(torch)


REFUSED = [
    ("groups 0", lambda t: t.nn.Conv1d(4, 6, 3, groups=0)),
    ("groups in", lambda t: t.nn.Conv2d(4, 6, 3, groups=3)),
    ("groups out", lambda t: t.nn.Conv2d(6, 4, 3, groups=3)),
    ("same strided", lambda t: t.nn.Conv2d(4, 6, 3, padding="same", stride=2)),
    ("transpose padding mode", lambda t: t.nn.ConvTranspose2d(4, 6, 3, padding_mode="reflect")),
    ("transpose mode later", lambda t: [m := t.nn.ConvTranspose2d(2, 2, 3), setattr(m, "padding_mode", "reflect"), m(t.zeros(1, 2, 3, 3))]),
    ("channels", lambda t: t.nn.Conv2d(4, 6, 3)(t.zeros(1, 3, 5, 5))),
    ("dims", lambda t: t.nn.Conv2d(4, 6, 3)(t.zeros(4, 5))),
    ("kernel", lambda t: t.nn.Conv2d(4, 6, 3)(t.zeros(1, 4, 2, 2))),
    ("dtype", lambda t: t.nn.Conv2d(4, 6, 3)(t.zeros(1, 4, 5, 5, dtype=t.float64))),
    ("transpose channels", lambda t: t.nn.ConvTranspose2d(4, 6, 3)(t.zeros(1, 3, 5, 5))),
    ("output size low", lambda t: t.nn.ConvTranspose1d(4, 6, 3, stride=2)(t.zeros(1, 4, 5), output_size=[10])),
    ("output size high", lambda t: t.nn.ConvTranspose1d(4, 6, 3, stride=2)(t.zeros(1, 4, 5), output_size=[13])),
    ("output size dims", lambda t: t.nn.ConvTranspose2d(4, 6, 3)(t.zeros(1, 4, 5, 5), output_size=[7, 7, 7])),
    ("output padding", lambda t: t.nn.ConvTranspose2d(4, 6, 3, output_padding=1)(t.zeros(1, 4, 5, 5))),
    ("lazy dims", lambda t: t.nn.LazyConv2d(6, 3)(t.zeros(4, 5))),
    ("lazy groups", lambda t: t.nn.LazyConv2d(6, 3, groups=2)(t.zeros(1, 3, 5, 5))),
    ("lazy transpose mode", lambda t: t.nn.LazyConvTranspose1d(6, 3, padding_mode="reflect")),
    ("stride length", lambda t: t.nn.Conv2d(4, 6, 3, stride=(1, 2, 3))(t.zeros(1, 4, 5, 5))),
    ("no kernel size", lambda t: t.nn.Conv2d(4, 6)),
]  # fmt: skip

# torch lists the choices of these as a set, in an order of its own each time.
UNORDERED = [
    ("padding name", lambda t: t.nn.Conv2d(4, 6, 3, padding="sane"), "Invalid padding string 'sane', should be one of {"),
    ("padding mode", lambda t: t.nn.Conv2d(4, 6, 3, padding_mode="x"), "padding_mode must be one of {"),
]  # fmt: skip


@pytest.mark.parametrize("name, function", REFUSED, ids=[r[0] for r in REFUSED])
def test_refused(name, function):
    check_refusal(name, function)


@pytest.mark.parametrize("name, function, start", UNORDERED, ids=[r[0] for r in UNORDERED])
def test_refused_with_choices(name, function, start):
    import rushlight

    for lib in (torch, rushlight):
        with pytest.raises(ValueError, match=f"^{start.replace('{', '[{]')}"):
            function(lib)
