"""Owns the tests of the document that compares parameters, named_parameters and state_dict: DarkNet and a seeded net.

May import rushlight; needs no PyTorch.
"""

from __future__ import annotations

import os
import random
import sys
from collections import OrderedDict

import numpy as np
import pytest
from processes import rushlight

import rushlight as torch
from rushlight import nn, optim
from rushlight.models import DarkNet

DARKNET = [
    "conv1.weight", "bn1.weight", "bn1.bias", "layer1.ds_conv.weight", "layer1.ds_bn.weight", "layer1.ds_bn.bias",
    "layer1.residual_0.conv1.weight", "layer1.residual_0.bn1.weight", "layer1.residual_0.bn1.bias",
    "layer1.residual_0.conv2.weight", "layer1.residual_0.bn2.weight", "layer1.residual_0.bn2.bias",
    "layer2.ds_conv.weight", "layer2.ds_bn.weight", "layer2.ds_bn.bias", "layer2.residual_0.conv1.weight",
    "layer2.residual_0.bn1.weight", "layer2.residual_0.bn1.bias",
]  # fmt: skip

DARKNET_SHAPES = """[32, 3, 3, 3] [32] [32] [64, 32, 3, 3] [64] [64] [32, 64, 1, 1] [32] [32] [64, 32, 3, 3] [64] [64]
[128, 64, 3, 3] [128] [128] [64, 128, 1, 1] [64] [64] [128, 64, 3, 3] [128] [128] [64, 128, 1, 1] [64] [64]
[128, 64, 3, 3] [128] [128] [256, 128, 3, 3] [256] [256] [128, 256, 1, 1]""".replace("\n", " ").replace("] [", "]|[")

WEIGHT = """tensor([[ 0.0036,  0.1960,  0.2315, -0.2408,  0.1217,  0.2579, -0.0676, -0.1880,
         -0.2855, -0.1587,  0.0409,  0.0312],
        [ 0.1057,  0.1348, -0.0590, -0.1538,  0.2505,  0.0651, -0.2461, -0.1856,
          0.2498, -0.1969,  0.0013,  0.1979],
        [-0.1812,  0.1153,  0.2723, -0.2190,  0.0371, -0.0341,  0.2282,  0.1461,
          0.1890,  0.1762,  0.2657, -0.0827],
        [-0.0188,  0.0081, -0.2674, -0.1858,  0.1296,  0.1728, -0.0770,  0.1444,
         -0.2360, -0.1793,  0.1921, -0.2791]])"""
BIAS = "tensor([-0.0020,  0.0985,  0.1859, -0.0175])"

ENTRIES = [
    ("bn1.weight", "tensor([1., 1., 1.])"),
    ("bn1.bias", "tensor([0., 0., 0.])"),
    ("bn1.running_mean", "tensor([0., 0., 0.])"),
    ("bn1.running_var", "tensor([1., 1., 1.])"),
    ("bn1.num_batches_tracked", "tensor(0)"),
    ("fc1.weight", WEIGHT),
    ("fc1.bias", BIAS),
]
LEARNABLE = [("bn1.weight", ENTRIES[0][1]), ("bn1.bias", ENTRIES[1][1]), ("fc1.weight", WEIGHT), ("fc1.bias", BIAS)]


def as_parameter(text: str) -> str:
    """A printed tensor, printed as a parameter that requires grad."""
    return f"Parameter containing:\n{text[:-1]}, requires_grad=True)"


@pytest.fixture(autouse=True)
def _switches_put_back(monkeypatch):
    for name in ("benchmark", "deterministic"):
        monkeypatch.setattr(torch.backends.cudnn, name, getattr(torch.backends.cudnn, name))


def seed_all(seed=1029):
    random.seed(seed)
    os.environ["PYTHONHASHSEED"] = str(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.cuda.manual_seed(seed)
    torch.cuda.manual_seed_all(seed)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


class Net(nn.Module):
    def __init__(self, num_class=10):
        super().__init__()
        self.pool1 = nn.AvgPool1d(2)
        self.bn1 = nn.BatchNorm1d(3)
        self.fc1 = nn.Linear(12, 4)

    def forward(self, x):
        x = self.bn1(self.pool1(x))
        return self.fc1(x.reshape(x.size(0), -1))


@pytest.fixture
def model(monkeypatch):
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    seed_all()
    return Net()


# -- DarkNet ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def darknet():
    return DarkNet([1, 2, 8, 8, 4])


def test_darknet_names_and_requires_grad_switched_off_on_the_way(darknet):
    lines = []
    for name, parameter in darknet.named_parameters():
        lines.append(f"{name} {parameter.requires_grad}")
        parameter.requires_grad = False
    assert lines[:18] == [f"{name} True" for name in DARKNET]
    second = [f"{name} {parameter.requires_grad}" for name, parameter in darknet.named_parameters()]
    assert second == [line.replace("True", "False") for line in lines] and len(lines) == 156
    darknet.requires_grad_()


def test_darknet_shapes(darknet):
    printed = [str(parameter.shape) for parameter in darknet.parameters()]
    assert printed[:31] == [f"torch.Size({shape})" for shape in DARKNET_SHAPES.split("|")]


def test_darknet_names_and_shapes_side_by_side(darknet):
    lines = []
    for index, (name, parameter) in zip(enumerate(darknet.parameters()), darknet.named_parameters(), strict=True):
        lines += [str(index[0]), f"{name} {parameter.shape}"]
        assert index[1] is parameter
    shapes = DARKNET_SHAPES.split("|")
    assert lines[:20] == [text for i in range(10) for text in (str(i), f"{DARKNET[i]} torch.Size({shapes[i]})")]


# -- the seeded net ---------------------------------------------------------------------------------------------


def test_named_parameters_printed(model):
    assert str(type(model.named_parameters())) == "<class 'generator'>"
    printed = [(name, str(parameter)) for name, parameter in model.named_parameters()]
    assert printed == [(name, as_parameter(text)) for name, text in LEARNABLE]


def test_parameters_printed(model):
    assert str(type(model.parameters())) == "<class 'generator'>"
    assert [str(parameter) for parameter in model.parameters()] == [as_parameter(text) for _, text in LEARNABLE]


def test_state_dict_printed(model):
    state = model.state_dict()
    if sys.version_info < (3, 12):
        expected = "OrderedDict([" + ", ".join(f"('{name}', {text})" for name, text in ENTRIES) + "])"
    else:  # Python's own form changed
        expected = "OrderedDict({" + ", ".join(f"'{name}': {text}" for name, text in ENTRIES) + "})"
    assert type(state) is OrderedDict and str(state) == expected
    assert [(name, str(t), t.requires_grad) for name, t in state.items()] == [(*entry, False) for entry in ENTRIES]


def test_learnable_and_not(model):
    assert type(model.fc1.weight) is nn.Parameter and type(model.bn1.running_mean) is torch.Tensor
    assert list(model.bn1._buffers) == ["running_mean", "running_var", "num_batches_tracked"]
    assert model.fc1.weight.requires_grad and not model.bn1.running_mean.requires_grad
    assert nn.BatchNorm1d(3, track_running_stats=False).running_mean is None
    layer = nn.Module()
    layer.register_parameter("running_mean", None)
    assert layer.running_mean is None and list(layer.parameters()) == []


def test_a_step_trains_the_parameters_and_the_forward_pass_updates_the_buffers(model):
    loss_fn = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=1e-2)
    x = torch.randn((3, 3, 8))
    before = {name: t.tolist() for name, t in model.state_dict().items()}
    out = model(x)
    after_forward = {name: t.tolist() for name, t in model.state_dict().items()}
    changed = {name for name in before if before[name] != after_forward[name]}
    assert out.shape == (3, 4) and changed == {"bn1.running_mean", "bn1.running_var", "bn1.num_batches_tracked"}
    loss_fn(out, torch.tensor([0, 1, 2])).backward()
    optimizer.step()
    after_step = {name: t.tolist() for name, t in model.state_dict().items()}
    changed = {name for name in before if after_forward[name] != after_step[name]}
    assert changed == {name for name, _ in LEARNABLE}


def test_freezing_by_name(model):
    printed = [model.fc1.weight.requires_grad]
    for name, parameter in model.named_parameters():
        if "fc1" in name:
            parameter.requires_grad = False
    assert [*printed, model.fc1.weight.requires_grad] == [True, False]
    assert [p.requires_grad for p in model.parameters()] == [True, True, False, False]


def test_freezing_everything(model):
    printed = [model.fc1.weight.requires_grad]
    for parameter in model.parameters():
        parameter.requires_grad = False
    assert [*printed, model.fc1.weight.requires_grad] == [True, False]


def test_an_entry_of_state_dict_does_not_change_requires_grad(model):
    printed = [model.bn1.weight.requires_grad]
    model.bn1.weight.requires_grad = False
    printed.append(model.bn1.weight.requires_grad)
    for name, t in model.state_dict().items():
        if name == "bn1.weight":
            t.requires_grad = True
    assert [*printed, model.bn1.weight.requires_grad] == [True, False, False]


def test_1000_written_into_an_entry_of_state_dict_is_in_the_model(model):
    assert str(model.bn1.weight) == "Parameter containing:\ntensor([1., 1., 1.], requires_grad=True)"
    for name, t in model.state_dict().items():
        if name == "bn1.weight":
            t[0] = 1000
    assert str(model.bn1.weight) == ("Parameter containing:\ntensor([1000.,    1.,    1.], requires_grad=True)")


def test_types_printed_by_the_program_itself(tmp_path):
    (tmp_path / "net.py").write_text(
        "import torch.nn as nn\n"
        "bn, fc = nn.BatchNorm1d(3), nn.Linear(12, 4)\n"
        "print(type(fc.weight))\n"
        "print(type(bn.running_mean))\n"
        "print(type(fc.named_parameters()))\n"
    )
    done = rushlight("run", "net.py", cwd=tmp_path)
    assert done.stdout.splitlines() == [
        "<class 'torch.nn.parameter.Parameter'>", "<class 'torch.Tensor'>", "<class 'generator'>",
    ], done.stderr  # fmt: skip
