"""Compares the fused, rounding and quantizable modules with PyTorch, and their names."""

import copy
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from parity._quantization import BOTH, both, draw, same_state  # noqa: E402

import rushlight  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:Please use quant_min and quant_max"),
    pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated:DeprecationWarning"),
]


# -- modules ----------------------------------------------------------------------------------------------------------


def fused(lib, dims, relu, bias):
    conv = getattr(lib.nn, f"Conv{dims}d")(4, 6, 3, stride=2, padding=1, groups=2, bias=bias)
    parts = [conv, getattr(lib.nn, f"BatchNorm{dims}d")(6)] + [lib.nn.ReLU()] * relu
    module = getattr(lib.ao.nn.intrinsic, f"ConvBn{'ReLU' * relu}{dims}d")(*parts)
    module.qconfig = lib.ao.quantization.get_default_qat_qconfig("x86")
    return getattr(lib.ao.nn.intrinsic.qat, type(module).__name__).from_float(module)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("slow", [False, True])
def test_conv_bn(dims, relu, slow):
    """Both ways to fold, both modes, and the plain module at the end."""
    modules = both(lambda lib: fused(lib, dims, relu, bias=dims != 2))
    assert str(modules[0]) == str(modules[1])
    x = draw(3, 4, *[5] * dims)
    for training in (True, True, False):
        found = []
        for lib, module in zip(BOTH, modules):
            module._enable_slow_path_for_better_numerical_stability = slow
            module.train(training).zero_grad()
            v = lib.tensor(x).requires_grad_()
            y = module(v)
            (y * y).sum().backward()
            grads = [p.grad for p in module.parameters() if p.grad is not None]
            found.append([a.detach().numpy() for a in (y, v.grad, *grads)])
        assert len(found[0]) == len(found[1])
        for wanted, ours in zip(*found):
            np.testing.assert_allclose(ours, wanted, rtol=2e-3, atol=2e-4)
    same_state(*modules, rtol=1e-4, atol=1e-5)
    plain = [module.to_float() for module in modules]
    assert str(plain[0]) == str(plain[1])
    outs = [module(lib.tensor(x)).detach().numpy() for lib, module in zip(BOTH, plain)]
    np.testing.assert_allclose(outs[1], outs[0], rtol=1e-3, atol=1e-4)


def from_float(path, build, qconfig="default_qat_qconfig"):
    def make(lib):
        module = build(lib)
        module.qconfig = getattr(lib.ao.quantization, qconfig)
        lib.ao.quantization.propagate_qconfig_(module)
        space, name = path.split(".")
        home = {"qat": lib.nn.qat, "fused": lib.nn.intrinsic.qat, "dynamic": lib.nn.qat.dynamic}[space]
        return getattr(home, name).from_float(module)

    return make


EMBEDDING = "default_embedding_qat_qconfig"
LAYERS = {
    "linear": (from_float("qat.Linear", lambda t: t.nn.Linear(5, 3)), draw(4, 5)),
    "dynamic linear": (from_float("dynamic.Linear", lambda t: t.nn.Linear(5, 3, bias=False), "default_dynamic_qat_qconfig"), draw(4, 5)),
    "conv1d": (from_float("qat.Conv1d", lambda t: t.nn.Conv1d(2, 3, 3, padding="same")), draw(4, 2, 6)),
    "conv2d": (from_float("qat.Conv2d", lambda t: t.nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular")), draw(4, 2, 6, 6)),
    "conv3d": (from_float("qat.Conv3d", lambda t: t.nn.Conv3d(2, 3, 2, bias=False)), draw(2, 2, 4, 4, 4)),
    "conv relu 1d": (from_float("fused.ConvReLU1d", lambda t: t.nn.intrinsic.ConvReLU1d(t.nn.Conv1d(2, 3, 3), t.nn.ReLU())), draw(4, 2, 6)),
    "conv relu 3d": (from_float("fused.ConvReLU3d", lambda t: t.nn.intrinsic.ConvReLU3d(t.nn.Conv3d(2, 3, 2), t.nn.ReLU())), draw(2, 2, 4, 4, 4)),
    "linear relu": (from_float("fused.LinearReLU", lambda t: t.nn.intrinsic.LinearReLU(t.nn.Linear(5, 3), t.nn.ReLU())), draw(4, 5)),
    "linear bn": (from_float("fused.LinearBn1d", lambda t: t.nn.intrinsic.LinearBn1d(t.nn.Linear(5, 3), t.nn.BatchNorm1d(3))), draw(4, 5)),
    "embedding": (from_float("qat.Embedding", lambda t: t.nn.Embedding(9, 4, padding_idx=2), EMBEDDING), np.array([[1, 2], [8, 1]])),
    "embedding bag": (from_float("qat.EmbeddingBag", lambda t: t.nn.EmbeddingBag(9, 4, mode="sum"), EMBEDDING), np.array([[1, 2], [8, 1]])),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    make, x = LAYERS[name]
    modules = both(make)
    assert str(modules[0]) == str(modules[1])
    found = []
    for lib, module in zip(BOTH, modules):
        y = module(lib.tensor(x))
        (y * y).sum().backward()
        found.append([a.detach().numpy() for a in (y, *(p.grad for p in module.parameters()))])
    for wanted, ours in zip(*found):
        np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=1e-5)
    same_state(*modules, rtol=1e-5)
    assert str(modules[0].to_float()) == str(modules[1].to_float())
    same_state(modules[0].to_float(), modules[1].to_float(), rtol=1e-5, atol=1e-6)
    copied = copy.deepcopy(modules[1])
    np.testing.assert_allclose(
        copied.eval()(rushlight.tensor(x)).detach().numpy(), modules[1].eval()(rushlight.tensor(x)).detach().numpy()
    )


@pytest.mark.parametrize("name", torch.ao.nn.intrinsic.__all__)
def test_containers_check_types(name):
    for lib in BOTH:
        container, nn = getattr(lib.ao.nn.intrinsic, name), lib.nn
        assert issubclass(container, nn.Sequential)
        if "Add" not in name:
            with pytest.raises(AssertionError, match="Incorrect types for input modules: Identity"):
                container(*[nn.Identity()] * (3 if "BnReLU" in name else 2))
    if "Add" in name:
        x, more = draw(1, 2, 4, 4), draw(1, 3, 4, 4, seed=1)
        outs = []
        for lib in both(lambda lib: lib):
            lib.manual_seed(3)
            rest = [lib.nn.ReLU()] if "ReLU" in name else []
            module = getattr(lib.ao.nn.intrinsic, name)(lib.nn.Conv2d(2, 3, 1), lib.add, *rest)
            outs.append(module(lib.tensor(x), lib.tensor(more)).detach().numpy())
        np.testing.assert_allclose(outs[1], outs[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "options", [{}, {"num_layers": 2}, {"bidirectional": True, "batch_first": True}, {"bias": False}]
)
@pytest.mark.parametrize("split", [False, True])
def test_quantizable_lstm(options, split):
    x = draw(4, 3, 5)

    def make(lib, training):
        plain = lib.nn.LSTM(5, 6, **options).train(training)
        plain.qconfig = (
            lib.ao.quantization.get_default_qat_qconfig("qnnpack") if training else lib.ao.quantization.default_qconfig
        )
        return plain, lib.nn.quantizable.LSTM.from_float(plain, split_gates=split)

    for training in (False, True):
        pairs = both(lambda lib, training=training: make(lib, training))
        assert str(pairs[0][1]) == str(pairs[1][1])
        results = []
        for lib, (plain, module) in zip(BOTH, pairs):
            out, (h, c) = module(lib.tensor(x))
            results.append([a.detach().numpy() for a in (out, h, c)])
            if not training:  # nothing is rounded, only watched
                np.testing.assert_allclose(results[-1][0], plain(lib.tensor(x))[0].detach().numpy(), atol=1e-5)
                again = module(lib.tensor(x), (lib.tensor(results[-1][1]), lib.tensor(results[-1][2])))
                results[-1].append(again[0].detach().numpy())
        # A value half-way between two levels may fall to either: one bit of a tanh decides.
        near = {"rtol": 2e-2, "atol": 4e-3} if training else {"rtol": 1e-4, "atol": 1e-5}
        for wanted, ours in zip(*results):
            np.testing.assert_allclose(ours, wanted, **near)
        same_state(pairs[0][1], pairs[1][1], **near)


@pytest.mark.parametrize(
    "options", [{}, {"batch_first": True}, {"kdim": 6, "vdim": 10, "bias": False}, {"add_bias_kv": True, "add_zero_attn": True}]
)  # fmt: skip
@pytest.mark.parametrize("masked", [False, True])
def test_quantizable_attention(options, masked):
    def make(lib):
        plain = lib.nn.MultiheadAttention(8, 2, **options)
        plain.qconfig = lib.ao.quantization.default_qconfig
        return lib.nn.quantizable.MultiheadAttention.from_float(plain)

    modules = both(make)
    assert str(modules[0]) == str(modules[1])
    q, k, v = draw(4, 3, 8), draw(5, 3, options.get("kdim", 8), seed=1), draw(5, 3, options.get("vdim", 8), seed=2)
    if options.get("batch_first"):
        q, k, v = (a.swapaxes(0, 1).copy() for a in (q, k, v))
    results = []
    for lib, module in zip(BOTH, modules):
        masks = {}
        if masked:
            padding = np.zeros((3, 5), bool)
            padding[0, 3:] = True
            masks = {
                "key_padding_mask": lib.tensor(padding),
                "attn_mask": lib.tensor(np.triu(np.ones((4, 5), bool), 2)),
            }
        for average in (True, False):
            out, weights = module(*map(lib.tensor, (q, k, v)), average_attn_weights=average, **masks)
            results.append((out.detach().numpy(), weights.detach().numpy()))
    for i in (0, 1):
        for wanted, ours in zip(results[i], results[2 + i]):
            np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=1e-5)
    same_state(*modules, rtol=1e-4, atol=1e-5)


def test_prepare_rebuilds_recurrent_and_attention():
    def make(lib):
        class Model(lib.nn.Module):
            def __init__(self):
                super().__init__()
                self.lstm, self.mha = lib.nn.LSTM(4, 4), lib.nn.MultiheadAttention(4, 2)

        model = Model().eval()
        model.qconfig = lib.ao.quantization.default_qconfig
        return lib.ao.quantization.prepare(model)

    theirs, ours = both(make)
    assert str(theirs) == str(ours)


@pytest.mark.parametrize(
    "space",
    ["nn.intrinsic", "nn.intrinsic.qat", "nn.qat", "nn.quantizable", "ao.nn.intrinsic", "ao.nn.intrinsic.quantized"],
)
def test_names_of_the_folders(space):
    theirs, ours = torch, rushlight
    for part in space.split("."):
        theirs, ours = getattr(theirs, part), getattr(ours, part)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lacking = [
            n
            for n in dir(theirs)
            if not n.startswith("_") and n not in ("types", "dynamic", "modules") and not hasattr(ours, n)
        ]
    assert lacking == [], lacking


def test_backend_names():
    theirs, ours = torch.backends.quantized, rushlight.backends.quantized
    assert sorted(ours.supported_engines) == sorted({"qnnpack", "onednn", "x86", "fbgemm"})
    held = ours.engine
    try:
        ours.engine = "qnnpack"
        assert ours.engine == "qnnpack"
    finally:
        ours.engine = held
    for lib in (theirs, ours):
        with pytest.raises(RuntimeError, match="foo is not a valid value for quantized engine"):
            lib.engine = "foo"
        with pytest.raises(RuntimeError, match="Assignment not supported"):
            lib.supported_engines = []


def test_descriptions():
    for name in ("qint8", "quint8", "qint32", "quint4x2", "quint2x4"):
        theirs, ours = getattr(torch, name), getattr(rushlight, name)
        assert str(theirs) == str(ours) and theirs.itemsize == ours.itemsize
        assert isinstance(ours, rushlight.dtype) and not ours.is_floating_point
        assert (torch.iinfo(theirs).min, torch.iinfo(theirs).max) == (
            rushlight.iinfo(ours).min,
            rushlight.iinfo(ours).max,
        )
        assert copy.deepcopy(ours) is ours
    for name in ("per_tensor_affine", "per_channel_symmetric", "per_channel_affine_float_qparams"):
        assert str(getattr(torch, name)) == str(getattr(rushlight, name))
        assert isinstance(getattr(rushlight, name), rushlight.qscheme)


def test_descriptions_in_files(tmp_path):
    names = ("qint8", "quint4x2", "per_tensor_affine", "per_channel_symmetric")
    torch.save([getattr(torch, n) for n in names], tmp_path / "theirs.pth")
    found = rushlight.load(tmp_path / "theirs.pth")
    assert all(one is getattr(rushlight, n) for one, n in zip(found, names))
    rushlight.save(found, tmp_path / "ours.pth")
    assert torch.load(tmp_path / "ours.pth") == [getattr(torch, n) for n in names]
