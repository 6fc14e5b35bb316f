"""Compares quantization-aware training with PyTorch: grids, observers, fused modules, and whole prepared models."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from parity._quantization import BOTH, array, both, draw, given, same_state  # noqa: E402

import rushlight  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:Please use quant_min and quant_max"),
    pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated:DeprecationWarning"),
]


# -- operators --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("seed", range(6))
def test_fake_quantize(dtype, seed):
    x = draw(4, 5, seed=seed, scale=10.0 ** (seed - 3))
    x[0, 0], x[1, 1] = np.nan, np.inf
    rng = np.random.default_rng(seed)
    step, zero = float(np.float32(10 ** rng.uniform(-3, 0))), int(rng.integers(-20, 50))
    scales, wholes = (10 ** rng.uniform(-2, 1, 5)).astype(np.float32), rng.integers(-5, 5, 5).astype(np.int32)
    floats = rng.uniform(-5, 5, 5).astype(np.float32)
    for call in (
        lambda lib, v: lib.fake_quantize_per_tensor_affine(v, step, zero, -128, 127),
        lambda lib, v: lib.fake_quantize_per_tensor_affine(v, lib.tensor([step]), lib.tensor([zero], dtype=lib.int32), -128, 127),
        lambda lib, v: lib.fake_quantize_per_channel_affine(v[2:], lib.tensor(scales), lib.tensor(wholes), 1, -128, 127),
        lambda lib, v: lib.fake_quantize_per_channel_affine(v[2:], lib.tensor(scales), lib.tensor(floats), 1, 0, 255),
    ):  # fmt: skip
        found = []
        for lib in BOTH:
            v = lib.tensor(x).to(getattr(lib, dtype)).requires_grad_()
            y = call(lib, v)
            (y.double() * 3).sum().backward()
            assert str(y.dtype) == f"torch.{dtype}"
            found.append((y.detach().double().numpy(), v.grad.double().numpy()))
        np.testing.assert_array_equal(found[1][0], found[0][0])
        np.testing.assert_array_equal(found[1][1], found[0][1])


@pytest.mark.parametrize(
    "name, args",
    [
        ("fake_quantize_per_tensor_affine", lambda t: (t.ones(3), 0.1, 0, 10, 5)),
        ("fake_quantize_per_tensor_affine", lambda t: (t.ones(3), 0.1, 200, -128, 127)),
        ("fake_quantize_per_tensor_affine", lambda t: (t.ones(3, dtype=t.int32), 0.1, 0, -128, 127)),
        ("fake_quantize_per_channel_affine", lambda t: (t.ones(3, 4), t.ones(2), t.zeros(2, dtype=t.int32), 0, 0, 255)),
        ("fake_quantize_per_channel_affine", lambda t: (t.ones(3, 4), t.ones(3), t.zeros(2, dtype=t.int32), 0, 0, 255)),
        ("fake_quantize_per_channel_affine", lambda t: (t.ones(3, 4), t.ones(3), t.zeros(3, dtype=t.int64), 0, 0, 255)),
        ("fake_quantize_per_channel_affine", lambda t: (t.ones(3, 4), t.ones(3).double(), t.zeros(3, dtype=t.int32), 0, 0, 255)),
        ("fake_quantize_per_channel_affine", lambda t: (t.ones(3, 4), t.ones(3), t.zeros(3, dtype=t.int32), 5, 0, 255)),
        ("fake_quantize_per_channel_affine", lambda t: (t.ones(3, 4), t.ones(3), t.zeros(3, dtype=t.int32), 0, 9, 5)),
    ],
)  # fmt: skip
def test_fake_quantize_refuses(name, args):
    with pytest.raises(Exception) as theirs:
        getattr(torch, name)(*args(torch))
    with pytest.raises(type(theirs.value)):
        getattr(rushlight, name)(*args(rushlight))


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("by_channel", [False, True])
@pytest.mark.parametrize("levels", [(0, 255), (-128, 127), (-127, 127)])
def test_fused_moving_average(symmetric, by_channel, levels):
    for kind in ("mixed", "positive", "negative", "tiny", "never observed"):
        state = {
            lib: [*(lib.tensor([]) if by_channel else lib.tensor(float(v)) for v in ("inf", "-inf")), lib.ones(1), lib.zeros(1, dtype=lib.int32)]
            for lib in BOTH
        }  # fmt: skip
        for turn in range(3):
            x = draw(4, 3, 5, seed=turn, scale=1e-6 if kind == "tiny" else 10.0 ** (turn - 1))
            x = {"positive": np.abs(x), "negative": -np.abs(x)}.get(kind, x)
            found = []
            for lib in BOTH:
                v, on = lib.tensor(x).requires_grad_(), lib.tensor([1])
                watching = lib.tensor([int(turn < 2 and kind != "never observed")])
                y = lib.fused_moving_avg_obs_fake_quant(
                    v, watching, on, *state[lib], 0.1, *levels, 0, by_channel, symmetric
                )
                y.sum().backward()
                found.append([array(a) for a in (y, v.grad, *state[lib])])
            for theirs, ours in zip(*found):
                assert theirs.shape == ours.shape and theirs.dtype == ours.dtype
                np.testing.assert_allclose(ours, theirs, rtol=3e-7)


# -- observers --------------------------------------------------------------------------------------------------------

OBSERVERS = [
    (name, {"qscheme": scheme, "dtype": dtype, "reduce_range": reduced})
    for name in ("MinMaxObserver", "MovingAverageMinMaxObserver", "HistogramObserver")
    for scheme, dtype, reduced in (
        ("per_tensor_affine", "quint8", False), ("per_tensor_affine", "quint8", True), ("per_tensor_symmetric", "qint8", False),
        ("per_tensor_symmetric", "quint8", False), ("per_tensor_affine", "qint8", True),
    )
] + [
    (name, {"qscheme": scheme, "dtype": dtype, "ch_axis": axis})
    for name in ("PerChannelMinMaxObserver", "MovingAveragePerChannelMinMaxObserver")
    for scheme, dtype, axis in (
        ("per_channel_affine", "quint8", 0), ("per_channel_symmetric", "qint8", 1),
        ("per_channel_affine_float_qparams", "quint8", 0), ("per_channel_affine_float_qparams", "quint4x2", 1),
    )
] + [("MinMaxObserver", {"quant_min": 0, "quant_max": 127}), ("MinMaxObserver", {"dtype": "qint32"})]  # fmt: skip


@pytest.mark.parametrize("name, options", OBSERVERS)
def test_observers(name, options):
    theirs, ours = (getattr(lib.ao.quantization, name)(**given(lib, options)) for lib in BOTH)
    for one in (theirs, ours):
        with pytest.warns(UserWarning, match="must run observer"):
            one.calculate_qparams()
    assert str(theirs) == str(ours)
    for turn in range(3):
        x = draw(6, 4, 5, seed=turn, scale=turn + 0.5) + turn
        if turn == 2:
            x[0, 0, 0] = 30  # a value far out, which the histogram cuts off
        theirs(torch.tensor(x)), ours(rushlight.tensor(x))
        for wanted, found in zip(theirs.calculate_qparams(), ours.calculate_qparams()):
            assert str(wanted.dtype) == str(found.dtype)
            assert tuple(wanted.shape) == tuple(found.shape)
            np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=3e-7)
        assert str(theirs) == str(ours)
    same_state(theirs, ours, rtol=1e-6)
    again = getattr(rushlight.ao.quantization, name)(**given(rushlight, options))
    again.load_state_dict({k: rushlight.tensor(array(v)) for k, v in theirs.state_dict().items()})
    np.testing.assert_allclose(array(again.calculate_qparams()[0]), array(ours.calculate_qparams()[0]), rtol=1e-6)
    if name != "HistogramObserver":
        ours.reset_min_max_vals(), theirs.reset_min_max_vals()
        assert str(theirs) == str(ours)


def test_constructors_with_arguments_compare_and_print():
    for lib in BOTH:
        q = lib.ao.quantization
        one, other = (q.MinMaxObserver.with_args(quant_min=0, quant_max=100) for _ in range(2))
        assert one().quant_max == 100 and one.with_args(quant_max=50)().quant_max == 50
        assert q.qconfig_equals(q.QConfig(one, q.NoopObserver), q.QConfig(other, q.NoopObserver))
        assert not q.qconfig_equals(q.QConfig(one, q.NoopObserver), q.QConfig(q.default_observer, q.NoopObserver))
        with pytest.raises(ValueError, match="received observer instance"):
            q.QConfig(one(), q.NoopObserver)
    shown = [str(lib.ao.quantization.get_default_qat_qconfig("qnnpack")) for lib in BOTH]
    assert shown[0] == shown[1].replace("rushlight.", "torch.")


QCONFIGS = [name for name in dir(torch.ao.quantization) if name.endswith(("_qconfig", "_v2", "_4bit")) and name.startswith(("default_", "float"))]  # fmt: skip


@pytest.mark.parametrize("name", QCONFIGS)
def test_ready_made(name):
    """Each constructor that torch offers ready-made gives modules that print alike."""
    theirs, ours = (getattr(lib.ao.quantization, name) for lib in BOTH)
    for wanted, found in zip(theirs, ours) if isinstance(theirs, tuple) else [(theirs, ours)]:
        said = [
            str(found).replace("rushlight.", "torch.").replace("quantization.histogram", "quantization.observer"),
            str(wanted),
        ]
        assert sorted(said[0].replace(")", "").replace("{}", "").split(", ")) == sorted(
            said[1].replace(")", "").replace("{}", "").split(", ")
        )
        try:
            made = wanted()
        except RuntimeError:  # torch itself cannot make this one
            continue
        assert str(made) == str(found())


# -- models -----------------------------------------------------------------------------------------------------------


def net(lib):
    nn, q = lib.nn, lib.ao.quantization

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.quant, self.dequant = q.QuantStub(), q.DeQuantStub()
            self.conv1, self.bn1, self.relu1 = nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU()
            self.conv2, self.bn2 = nn.Conv2d(6, 4, 3, padding=1, groups=2), nn.BatchNorm2d(4)
            self.conv3, self.relu3 = nn.Conv2d(4, 4, 1), nn.ReLU()
            self.add, self.drop = lib.ao.nn.quantized.FloatFunctional(), nn.Dropout(0.0)
            self.fc, self.relu4 = nn.Linear(64, 8), nn.ReLU()
            self.sig, self.fc2 = nn.Sigmoid(), nn.Linear(8, 5)

        def forward(self, x):
            y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(self.quant(x))))))
            x = self.add.add(y, self.relu3(self.conv3(y)))
            x = self.relu4(self.fc(self.drop(x.flatten(1))))
            return self.dequant(self.fc2(self.sig(x)))

    return Net()


GROUPS = [["conv1", "bn1", "relu1"], ["conv2", "bn2"], ["conv3", "relu3"], ["fc", "relu4"]]
HOW = {
    "x86": lambda q: q.get_default_qat_qconfig("x86"),
    "fbgemm, not fused": lambda q: q.get_default_qat_qconfig("fbgemm", 0),
    "qnnpack": lambda q: q.get_default_qat_qconfig("qnnpack"),
    "dynamic": lambda q: q.default_dynamic_qat_qconfig,
    "symmetric": lambda q: q.default_per_channel_symmetric_qnnpack_qat_qconfig,
    "weights only": lambda q: q.default_weight_only_qconfig,
    "activations only": lambda q: q.default_activation_only_qconfig,
}
X, Y = draw(5, 8, 3, 6, 6), np.random.default_rng(1).integers(0, 5, size=(5, 8))


def prepared(lib, how):
    q = lib.ao.quantization
    model = q.fuse_modules_qat(net(lib).train(), GROUPS)
    model.qconfig = HOW[how](q)
    return q.prepare_qat(model)


def training_step(lib, model):
    optimizer = lib.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    def step(x, y):
        optimizer.zero_grad()
        loss = lib.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def trained(lib, model, turns):
    step = training_step(lib, model)
    return [step(lib.tensor(X[i]), lib.tensor(Y[i])).item() for i in turns]


@pytest.mark.parametrize("how", HOW)
def test_training(how):
    theirs, ours = both(lambda lib: prepared(lib, how))
    assert str(theirs) == str(ours)
    same_state(theirs, ours)
    losses = [trained(lib, model, range(4)) for lib, model in zip(BOTH, (theirs, ours))]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    same_state(theirs, ours, rtol=1e-3, atol=1e-4)
    outs = [model.eval()(lib.tensor(X[4])).detach().numpy() for lib, model in zip(BOTH, (theirs, ours))]
    np.testing.assert_allclose(outs[1], outs[0], atol=1e-5)


@pytest.mark.parametrize("how", ["x86", "fbgemm, not fused"])
def test_state_goes_both_ways(how):
    theirs, ours = both(lambda lib: prepared(lib, how))
    fresh = both(lambda lib: prepared(lib, how))
    trained(torch, theirs, range(2)), trained(rushlight, ours, range(2, 4))
    fresh[1].load_state_dict({k: rushlight.tensor(array(v)) for k, v in theirs.state_dict().items()})
    fresh[0].load_state_dict({k: torch.tensor(array(v)) for k, v in ours.state_dict().items()})
    for lib, source, source_lib, target in ((rushlight, theirs, torch, fresh[1]), (torch, ours, rushlight, fresh[0])):
        wanted = source.eval()(source_lib.tensor(X[4])).detach().numpy()
        np.testing.assert_allclose(target.eval()(lib.tensor(X[4])).detach().numpy(), wanted, atol=1e-5)


@pytest.mark.parametrize("how", ["x86", "fbgemm, not fused", "dynamic"])
def test_compiled_training_equals_eager(how):
    """Whole steps in one program, also after the switches were turned, which are state and compile nothing anew."""
    results = []
    for compiled in (False, True):
        rushlight.manual_seed(0)
        model, q = prepared(rushlight, how), rushlight.ao.quantization
        step = training_step(rushlight, model)
        step = rushlight.compile(step, fullgraph=True) if compiled else step
        losses = [step(rushlight.tensor(X[i]), rushlight.tensor(Y[i])).item() for i in range(3)]
        for switch in (q.disable_observer, q.disable_fake_quant):
            model.apply(switch)
            losses += [step(rushlight.tensor(X[i]), rushlight.tensor(Y[i])).item() for i in (3, 4)]
        results.append((losses, model))
    np.testing.assert_allclose(results[1][0], results[0][0], rtol=1e-5)
    same_state(results[0][1], results[1][1], rtol=1e-3, atol=1e-4)


def test_switches_and_frozen_statistics():
    models = both(lambda lib: prepared(lib, "qnnpack"))
    for lib, model in zip(BOTH, models):
        trained(lib, model, range(2))
        model.apply(lib.ao.quantization.disable_observer)
        model.apply(lib.ao.nn.intrinsic.qat.freeze_bn_stats)
        assert not model.conv1.bn.training and model.conv1.train().bn.training is False
    same_state(*models, rtol=1e-3, atol=1e-4)
    held = {k: v.numpy().copy() for k, v in models[1].state_dict().items() if "scale" in k or "running" in k}
    losses = [trained(lib, model, (2, 3)) for lib, model in zip(BOTH, models)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
    for key, value in held.items():
        if "running" in key:
            np.testing.assert_array_equal(models[1].state_dict()[key].numpy(), value)
    for lib, model in zip(BOTH, models):
        model.apply(lib.ao.nn.intrinsic.qat.update_bn_stats)
        model.apply(lib.ao.quantization.disable_fake_quant)
        assert model.conv1.bn.training
    plain = [model(lib.tensor(X[4])).detach().numpy() for lib, model in zip(BOTH, models)]
    np.testing.assert_allclose(plain[1], plain[0], atol=1e-4)


@pytest.mark.parametrize("how", ["default_qconfig", "default_per_channel_qconfig", "x86"])
def test_observed_models(how):
    """``fuse_modules`` folds normalisation into weights, and ``prepare`` puts observers behind."""

    def make(lib):
        q = lib.ao.quantization
        model = q.fuse_modules(net(lib).eval(), GROUPS)
        model.qconfig = q.get_default_qconfig(how) if how == "x86" else getattr(q, how)
        model = q.prepare(model)
        for i in range(2):
            model(lib.tensor(X[i]))
        return model

    theirs, ours = both(make)
    assert [line.split("min_val")[0] for line in str(theirs).splitlines()] == [
        line.split("min_val")[0] for line in str(ours).splitlines()
    ]
    same_state(
        theirs, ours, rtol=2e-3, atol=2e-3 if how != "x86" else 4
    )  # a value near an edge may fall into the next bin
    observed = [lib.ao.quantization.get_observer_state_dict(model) for lib, model in zip(BOTH, (theirs, ours))]
    assert list(observed[0]) == list(observed[1])
    again = both(make)[1]
    rushlight.ao.quantization.load_observer_state_dict(again, observed[1])
    same_state(again, ours)


def test_convert_with_a_mapping_of_floats():
    """Back to plain modules, by classes that the user names; observers and their hooks go."""

    def make(lib):
        class Plain:
            @staticmethod
            def from_float(mod):
                return mod.to_float() if hasattr(mod, "to_float") else type(mod)()

        model = prepared(lib, "qnnpack")
        model(lib.tensor(X[0]))
        space = lib.ao.nn.intrinsic.qat
        kinds = (space.ConvBnReLU2d, space.ConvBn2d, space.ConvReLU2d, space.LinearReLU, lib.ao.nn.qat.Linear)
        kinds += (lib.ao.nn.quantized.FloatFunctional,)
        return lib.ao.quantization.convert(model.eval(), dict.fromkeys(kinds, Plain))

    models = both(make)
    assert str(models[0]) == str(models[1])
    outs = [model(lib.tensor(X[1])).detach().numpy() for lib, model in zip(BOTH, models)]
    np.testing.assert_allclose(outs[1], outs[0], rtol=1e-4, atol=1e-5)
