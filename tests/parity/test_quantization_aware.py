"""Compares quantization-aware training with PyTorch: grids, observers, fused modules, and whole prepared models."""

import copy
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import rushlight  # noqa: E402

BOTH = (torch, rushlight)
pytestmark = [
    pytest.mark.filterwarnings("ignore:Please use quant_min and quant_max"),
    pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated:DeprecationWarning"),
]


def draw(*shape, seed=0, scale=1.0):
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(np.float32)


def both(make):
    """``make(module)`` of PyTorch and of rushlight, from the same seed."""
    made = []
    for lib in BOTH:
        lib.manual_seed(0)
        made.append(make(lib))
    return made


def given(lib, options):
    """Options in which names of torch's objects stand for the objects."""
    return {k: getattr(lib, v) if isinstance(v, str) else v for k, v in options.items()}


def same_state(one, other, **tolerance):
    theirs, ours = one.state_dict(), other.state_dict()
    assert list(theirs) == list(ours)
    for key, value in theirs.items():
        assert tuple(value.shape) == tuple(ours[key].shape), key
        assert str(value.dtype) == str(ours[key].dtype), key
        np.testing.assert_allclose(ours[key].numpy(), value.numpy(), err_msg=key, **tolerance)


# -- operators --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_fake_quantize(dtype):
    for seed in range(6):
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
    for kind in ("mixed", "positive", "negative", "tiny"):
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
                watching = lib.tensor([int(turn < 2)])
                y = lib.fused_moving_avg_obs_fake_quant(v, watching, on, *state[lib], 0.1, *levels, 0, by_channel, symmetric)
                y.sum().backward()
                found.append([a.detach().numpy() for a in (y, v.grad, *state[lib])])
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
    again.load_state_dict({k: rushlight.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    np.testing.assert_array_equal(again.calculate_qparams()[0].numpy(), ours.calculate_qparams()[0].numpy())
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
        assert str(wanted) == str(found).replace("rushlight.", "torch.").replace("quantization.histogram", "quantization.observer")
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


def trained(lib, model, turns, optimizer=None, wrap=lambda step: step):
    optimizer = optimizer or lib.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    def step(x, y):
        optimizer.zero_grad()
        loss = lib.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    step = wrap(step)
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
    fresh[1].load_state_dict({k: rushlight.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    fresh[0].load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    for lib, source, source_lib, target in ((rushlight, theirs, torch, fresh[1]), (torch, ours, rushlight, fresh[0])):
        wanted = source.eval()(source_lib.tensor(X[4])).detach().numpy()
        np.testing.assert_allclose(target.eval()(lib.tensor(X[4])).detach().numpy(), wanted, atol=1e-5)


@pytest.mark.parametrize("how", ["x86", "fbgemm, not fused", "dynamic"])
def test_compiled_training_equals_eager(how):
    """Whole steps in one program, also after the switches were turned, which are state and compile nothing anew."""
    results = []
    for wrap in (lambda step: step, lambda step: rushlight.compile(step, fullgraph=True)):
        rushlight.manual_seed(0)
        model, q, held = prepared(rushlight, how), rushlight.ao.quantization, {}
        optimizer = rushlight.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        losses = trained(rushlight, model, range(3), optimizer, lambda step: held.setdefault("step", wrap(step)))
        for switch in (q.disable_observer, q.disable_fake_quant):
            model.apply(switch)
            losses += [held["step"](rushlight.tensor(X[i]), rushlight.tensor(Y[i])).item() for i in (3, 4)]
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
    assert [line.split("min_val")[0] for line in str(theirs).splitlines()] == [line.split("min_val")[0] for line in str(ours).splitlines()]
    same_state(theirs, ours, rtol=2e-3, atol=2e-3 if how != "x86" else 4)  # a value near an edge may fall into the next bin
    observed = [lib.ao.quantization.get_observer_state_dict(model) for lib, model in zip(BOTH, (theirs, ours))]
    assert list(observed[0]) == list(observed[1])
    again = both(make)[1]
    rushlight.ao.quantization.load_observer_state_dict(again, observed[1])
    same_state(again, ours)


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
    for module in modules:
        # Fused containers hand their qconfig down only when a whole model is prepared.
        assert module.qconfig and module.weight_fake_quant
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
    np.testing.assert_allclose(copied.eval()(rushlight.tensor(x)).detach().numpy(), modules[1].eval()(rushlight.tensor(x)).detach().numpy())


@pytest.mark.parametrize("name", [n for n in torch.ao.nn.intrinsic.__all__])
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


@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bidirectional": True, "batch_first": True}, {"bias": False}])
@pytest.mark.parametrize("split", [False, True])
def test_quantizable_lstm(options, split):
    x = draw(4, 3, 5)

    def make(lib, training):
        plain = lib.nn.LSTM(5, 6, **options).train(training)
        plain.qconfig = lib.ao.quantization.get_default_qat_qconfig("qnnpack") if training else lib.ao.quantization.default_qconfig
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
        for wanted, ours in zip(*results):
            np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=1e-5)
        same_state(pairs[0][1], pairs[1][1], rtol=1e-4, atol=1e-5)


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
            masks = {"key_padding_mask": lib.tensor(padding), "attn_mask": lib.tensor(np.triu(np.ones((4, 5), bool), 2))}
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


def test_same_objects_under_both_names():
    for old, new in (
        (rushlight.nn.intrinsic, rushlight.ao.nn.intrinsic), (rushlight.nn.intrinsic.qat, rushlight.ao.nn.intrinsic.qat),
        (rushlight.nn.qat, rushlight.ao.nn.qat), (rushlight.nn.quantizable, rushlight.ao.nn.quantizable),
        (rushlight.nn.intrinsic.quantized, rushlight.ao.nn.intrinsic.quantized), (rushlight.quantization, rushlight.ao.quantization),
    ):  # fmt: skip
        public = [n for n in dir(old) if n[0].isupper() and n != "Any"]
        assert len(public) > 2
        for name in public:
            assert getattr(old, name) is getattr(new, name)


@pytest.mark.parametrize("space", ["nn.intrinsic", "nn.intrinsic.qat", "nn.qat", "nn.quantizable", "ao.nn.intrinsic", "ao.nn.intrinsic.quantized"])
def test_names_of_the_folders(space):
    theirs, ours = torch, rushlight
    for part in space.split("."):
        theirs, ours = getattr(theirs, part), getattr(ours, part)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lacking = [n for n in dir(theirs) if not n.startswith("_") and n not in ("types", "dynamic") and not hasattr(ours, n)]
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
        assert (torch.iinfo(theirs).min, torch.iinfo(theirs).max) == (rushlight.iinfo(ours).min, rushlight.iinfo(ours).max)
        assert copy.deepcopy(ours) is ours
    for name in ("per_tensor_affine", "per_channel_symmetric", "per_channel_affine_float_qparams"):
        assert str(getattr(torch, name)) == str(getattr(rushlight, name))
        assert isinstance(getattr(rushlight, name), rushlight.qscheme)


def test_what_needs_integers_is_refused():
    q, nn = rushlight.ao.quantization, rushlight.nn
    for name in ("convert", "quantize", "quantize_qat", "quantize_dynamic"):
        with pytest.raises(NotImplementedError, match=rf"quantization.{name} is not supported.*fake_quantize"):
            getattr(q, name)(nn.Linear(2, 2))
    with pytest.raises(NotImplementedError, match=r"intrinsic.quantized.ConvReLU2d is not supported.*prepare_qat"):
        nn.intrinsic.quantized.ConvReLU2d(1, 2, 3)
    with pytest.raises(NotImplementedError, match=r"Tensors of torch.qint8 .*fake_quantize_per_tensor_affine"):
        rushlight.zeros(3, dtype=rushlight.qint8)
    with pytest.raises(AssertionError, match="training mode"):
        q.prepare_qat(nn.Linear(2, 2).eval())
    with pytest.raises(AssertionError, match="did not find fuser method"):
        q.fuse_modules(nn.Sequential(nn.ReLU(), nn.Linear(2, 2)), ["0", "1"])
