"""Tests what quantization-aware training promises without PyTorch: names, refusals, and that models learn."""

import importlib
import pickle

import pytest

import rushlight
from rushlight import nn

q = rushlight.ao.quantization


def test_same_objects_under_both_names():
    for name in ("intrinsic", "intrinsic.qat", "intrinsic.quantized", "qat", "qat.dynamic", "quantizable"):
        old, new = (importlib.import_module(f"rushlight.{home}.{name}") for home in ("nn", "ao.nn"))
        public = [n for n in dir(old) if n[0].isupper() and n != "Any"]
        assert public
        for name in public:
            assert getattr(old, name) is getattr(new, name)


def test_what_needs_integers_is_refused():
    for name in ("convert", "quantize", "quantize_qat", "quantize_dynamic"):
        with pytest.raises(NotImplementedError, match=rf"quantization.{name} .*not supported.*fake_quantize"):
            getattr(q, name)(nn.Linear(2, 2))
    with pytest.raises(NotImplementedError, match=r"intrinsic.quantized.ConvReLU2d is not supported.*prepare_qat"):
        nn.intrinsic.quantized.ConvReLU2d(1, 2, 3)
    with pytest.raises(NotImplementedError, match=r"Tensors of torch.qint8 .*fake_quantize_per_tensor_affine"):
        rushlight.zeros(3, dtype=rushlight.qint8)
    with pytest.raises(AssertionError, match="training mode"):
        q.prepare_qat(nn.Linear(2, 2).eval())
    with pytest.raises(AssertionError, match="did not find fuser method"):
        q.fuse_modules(nn.Sequential(nn.ReLU(), nn.Linear(2, 2)), ["0", "1"])


def test_qconfigs_and_prepared_models_pickle():
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    model.qconfig = q.get_default_qat_qconfig("qnnpack")
    model = q.prepare_qat(q.fuse_modules_qat(model, ["0", "1"]))
    x = rushlight.randn(4, 3)
    model(x)
    again = pickle.loads(pickle.dumps(model.eval()))
    assert str(again) == str(model)
    assert rushlight.equal(again(x), model(x))
    assert pickle.loads(pickle.dumps(rushlight.qint8)) is rushlight.qint8
    assert pickle.loads(pickle.dumps(rushlight.per_tensor_affine)) is rushlight.per_tensor_affine


def test_rounded_weights_lie_on_the_grid_and_learn():
    rushlight.manual_seed(0)
    layer = nn.Linear(8, 1)
    weight = q.default_weight_fake_quant.with_args(averaging_constant=1)  # the range follows the weights at once
    layer.qconfig = q.QConfig(q.default_fake_quant, weight)
    layer = nn.qat.Linear.from_float(layer)
    x = rushlight.randn(64, 8)
    y = x.sum(1, keepdim=True)
    optimizer = rushlight.optim.SGD(layer.parameters(), lr=0.05)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(layer(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.01 * losses[0]
    rounding = layer.weight_fake_quant
    levels = rounding(layer.weight) / rounding.scale
    assert (levels - levels.round()).abs().max().item() < 1e-4
    assert levels.abs().max().item() <= 128


def test_unseen_range_warns():
    watcher = q.MinMaxObserver()
    with pytest.warns(UserWarning, match="must run observer"):
        assert watcher.calculate_qparams()[0].item() == 1.0


def test_histogram_ignores_infinities_and_empty_inputs():
    watcher = q.HistogramObserver()
    watcher(rushlight.zeros(0))
    with pytest.warns(UserWarning, match="torch.inf detected"):
        watcher(rushlight.tensor([1.0, float("inf"), -2.0]))
    assert (watcher.min_val.item(), watcher.max_val.item()) == (-2.0, 1.0)
    watcher(rushlight.tensor([0.5]))
    assert watcher.histogram.sum().item() == 3.0


def test_hooks_follow_fused_modules():
    calls = []
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    model[0].register_forward_pre_hook(lambda *_: calls.append("before"))
    model[1].register_forward_hook(lambda *_: calls.append("after"))
    fused = q.fuse_modules_qat(model, [["0", "1"]], inplace=True)
    assert fused is model and type(model[0]) is nn.intrinsic.LinearReLU and type(model[1]) is nn.Identity
    model(rushlight.ones(1, 2))
    assert calls == ["before", "after"]
