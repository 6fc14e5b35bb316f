"""Owns the tests of the document on the names in a state dict: attributes, Sequential's numbers, and ``module.``.

May import rushlight; needs no PyTorch.
"""

from __future__ import annotations

import pytest

import rushlight as torch
import rushlight.nn.functional as F
from rushlight import nn
from rushlight.nn import DataParallel
from rushlight.nn.parallel import DistributedDataParallel


def keys(text: str) -> list[str]:
    """The names of a listing as the document prints it."""
    return text.replace("\n", "、").strip("、").split("、")


HEAD = """conv2.weight、conv2.bias
bn2.weight、bn2.bias、bn2.running_mean、bn2.running_var、bn2.num_batches_tracked
fc1.weight、fc1.bias
fc2.weight、fc2.bias
"""
FIRST = """conv1.weight、conv1.bias
bn1.weight、bn1.bias、bn1.running_mean、bn1.running_var、bn1.num_batches_tracked
"""
STAGE1 = """stage1.0.weight、stage1.0.bias
stage1.1.weight、stage1.1.bias、stage1.1.running_mean、stage1.1.running_var、stage1.1.num_batches_tracked
"""
THIRD = """module.stage1.0.weight、module.stage1.0.bias
module.stage1.1.weight、module.stage1.1.bias、module.stage1.1.running_mean、module.stage1.1.running_var、module.stage1.1.num_batches_tracked
module.stage2.module.0.weight、module.stage2.module.0.bias
module.stage2.module.1.weight、module.stage2.module.1.bias、module.stage2.module.1.running_mean、module.stage2.module.1.running_var、module.stage2.module.1.num_batches_tracked
module.conv2.weight、module.conv2.bias
module.bn2.weight、module.bn2.bias、module.bn2.running_mean、module.bn2.running_var、module.bn2.num_batches_tracked
module.fc1.weight、module.fc1.bias
module.fc2.weight、module.fc2.bias
"""


class Net(nn.Module):
    """What the document's three networks have in common; each makes its first stage in its own way."""

    def __init__(self):
        super().__init__()
        self.make_first_stage(nn.Conv2d(3, 12, kernel_size=3, stride=1, padding=1), nn.BatchNorm2d(12))
        self.conv2 = nn.Conv2d(12, 24, kernel_size=3, stride=1, padding=1)
        self.bn2 = nn.BatchNorm2d(24)
        self.fc1 = nn.Linear(24 * 5 * 5, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x):
        x = F.relu(self.bn2(self.conv2(self.first_stage(x))))
        return self.fc2(F.relu(self.fc1(x.view(-1, 24 * 5 * 5))))


class Attributes(Net):
    def make_first_stage(self, conv, bn):
        self.conv1, self.bn1 = conv, bn

    def first_stage(self, x):
        return F.relu(self.bn1(self.conv1(x)))


class Both(Attributes):
    """The layers stand in a plain list as well, and in a Sequential made of it."""

    def make_first_stage(self, conv, bn):
        super().make_first_stage(conv, bn)
        self.s1 = [self.conv1, self.bn1]
        self.stage1 = nn.Sequential(*self.s1)


class Wrapped(Net):
    def make_first_stage(self, conv, bn):
        self.stage1 = nn.Sequential(conv, bn)
        self.stage2 = DataParallel(self.stage1)

    def first_stage(self, x):
        return self.stage2(x)


@pytest.mark.parametrize("build, names", [
    (Attributes, FIRST + HEAD),
    (Both, FIRST + STAGE1 + HEAD),
    (lambda: DataParallel(Wrapped()), THIRD),
])  # fmt: skip
def test_the_three_networks(build, names):
    net = build()
    assert list(net.state_dict()) == keys(names)
    out = net(torch.rand(2, 3, 5, 5))  # without a warning: what is in the plain list is registered too
    assert out.shape == (2, 10)
    out.sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_a_parameter_reached_by_two_names_is_one():
    net = Both()
    assert net.state_dict()["conv1.weight"].data_ptr() == net.state_dict()["stage1.0.weight"].data_ptr()
    assert [name for name, _ in net.named_parameters()] == [k for k in keys(FIRST + HEAD) if k[-1] in "ts"]
    assert "s1" in net.__dict__ and type(net.s1) is list


def test_rule_1_attributes_name_their_parameters():
    conv, bn = nn.Conv2d(3, 12, kernel_size=3, stride=1, padding=1), nn.BatchNorm2d(12)
    assert list(conv.state_dict(prefix="conv1.")) == keys("conv1.weight、conv1.bias")
    assert list(bn.state_dict(prefix="bn1.")) == keys(FIRST)[2:]


def test_rule_2_sequential_counts_from_0():
    net = nn.Module()
    net.stage1 = nn.Sequential(*[nn.Conv2d(3, 12, kernel_size=3, stride=1, padding=1), nn.BatchNorm2d(12)])
    assert list(net.state_dict()) == keys(STAGE1)


@pytest.mark.parametrize("wrap", [DataParallel, DistributedDataParallel])
def test_rule_3_a_parallel_wrapper_adds_module(wrap):
    net = nn.Module()
    net.stage2 = wrap(nn.Sequential(nn.Conv2d(3, 12, kernel_size=3, stride=1, padding=1), nn.BatchNorm2d(12)))
    assert list(net.state_dict()) == keys(
        "stage2.module.0.weight、stage2.module.0.bias\n"
        "stage2.module.1.weight、stage2.module.1.bias、stage2.module.1.running_mean、stage2.module.1.running_var、"
        "stage2.module.1.num_batches_tracked"
    )


def test_the_small_network_at_the_end():
    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(3, 16, kernel_size=3, stride=1, padding=1)
            self.relu = nn.ReLU(inplace=True)
            self.pool = nn.MaxPool2d(kernel_size=2, stride=2)
            self.fc = nn.Linear(16 * 14 * 14, 10)

        def forward(self, x):
            x = self.pool(self.relu(self.conv1(x)))
            return self.fc(x.view(x.size(0), -1))

    model = Small()
    assert model(torch.randn(1, 3, 28, 28)).shape == (1, 10)
    assert [p.shape for p in model.parameters()] == [(16, 3, 3, 3), (16,), (10, 16 * 14 * 14), (10,)]
    assert str(list(model.parameters())).count("Parameter containing:\ntensor(") == 4
    assert model.to("cpu") is model
