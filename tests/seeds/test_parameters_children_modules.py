"""Owns the tests of the document on parameters, children and modules, plain lists against ModuleList, and ``next()``.

May import rushlight; needs no PyTorch.
"""

from __future__ import annotations

import pytest

import rushlight as torch
from rushlight import nn

CONV = "Conv2d(10, 10, kernel_size=(3, 3), stride=(1, 1))"
# The document was printed by a PyTorch before 2.13, whose BatchNorm had no option ``bias`` to print; the version that
# rushlight follows prints it. Everything else is the document's text.
BN_THEN = "BatchNorm2d(10, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)"
BN = BN_THEN.replace("affine=True, ", "affine=True, bias=True, ")
LINEAR = "Linear(in_features=10, out_features=2, bias=True)"

PRINTED_CHILDREN = f"""[Sequential(
  (0): {CONV}
  (1): {BN}
), {LINEAR}]"""

PRINTED_MODULES = f"""[myNet(
  (convBN1): Sequential(
    (0): {CONV}
    (1): {BN}
  )
  (linear): {LINEAR}
), Sequential(
  (0): {CONV}
  (1): {BN}
), {CONV}, {BN}, {LINEAR}]"""

PRINTED_STEPS = [
    f"""('', myNet(
   (convBN1): Sequential(
     (0): {CONV}
     (1): {BN}
   )
   (linear): {LINEAR}
 ))""",
    f"""('convBN1', Sequential(
   (0): {CONV}
   (1): {BN}
 ))""",
    f"('convBN1.0', {CONV})",
    f"('convBN1.1',\n {BN})",
    f"('linear', {LINEAR})",
]


class Listed(nn.Module):
    """Layers in a plain list, or in what ``wrap`` makes of it."""

    def __init__(self, wrap=list):
        super().__init__()
        self.layers = wrap([nn.Conv2d(5, 5, 3), nn.BatchNorm2d(5), nn.Linear(5, 2)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class myNet(nn.Module):  # the name is printed
    def __init__(self):
        super().__init__()
        self.convBN1 = nn.Sequential(nn.Conv2d(10, 10, 3), nn.BatchNorm2d(10))
        self.linear = nn.Linear(10, 2)

    def forward(self, x):
        return self.linear(self.convBN1(x).mean((2, 3)))


def shown(pair) -> str:
    """A pair as the document's console shows it: one column in, and a new line where 79 columns are not enough."""
    name, value = repr(pair[0]), repr(pair[1]).replace("\n", "\n ")
    fits = "\n" in value or len(name) + len(value) + 4 < 80
    return f"({name},{' ' if fits else chr(10) + ' '}{value})"


def test_a_plain_list_shows_no_parameters_and_says_so():
    net = Listed()
    assert str(list(net.parameters())) == "[]"
    with pytest.warns(UserWarning, match=r"Listed\.layers is a plain list .* self\.layers = nn\.ModuleList"):
        assert net(torch.rand(2, 5, 3, 7)).shape == (2, 5, 1, 2)


@pytest.mark.parametrize("wrap", [nn.ModuleList, lambda layers: nn.Sequential(*layers)])
def test_a_module_list_or_sequential_registers_them(wrap):
    net = Listed(wrap)
    assert [tuple(p.shape) for p in net.parameters()] == [(5, 5, 3, 3), (5,), (5,), (5,), (2, 5), (2,)]
    assert net(torch.rand(2, 5, 3, 7)).shape == (2, 5, 1, 2)


def test_sequential_is_a_whole_module():
    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(10, 10))

        def forward(self, x):
            return self.layers(x)

    assert str(Whole()(torch.rand(10)).shape) == "torch.Size([10])"


def test_children_and_modules_printed():
    net = myNet()
    assert str(list(net.children())) == PRINTED_CHILDREN
    assert str(list(net.modules())) == PRINTED_MODULES


def test_named_parameters_one_by_one():
    layer = nn.Linear(2, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[-0.5262, 0.3480], [-0.6416, -0.1956], [0.5042, 0.6732]]))
        layer.bias.copy_(torch.tensor([0.0595, -0.0386, 0.0975]))
    pairs = layer.named_parameters()
    assert shown(next(pairs)) == (
        "('weight', Parameter containing:\n"
        " tensor([[-0.5262,  0.3480],\n"
        "         [-0.6416, -0.1956],\n"
        "         [ 0.5042,  0.6732]], requires_grad=True))"
    )
    assert shown(next(pairs)) == (
        "('bias', Parameter containing:\n tensor([ 0.0595, -0.0386,  0.0975], requires_grad=True))"
    )
    with pytest.raises(StopIteration):
        next(pairs)


def test_named_modules_one_by_one_until_they_end():
    pairs = myNet().named_modules()
    assert [shown(next(pairs)) for _ in range(5)] == PRINTED_STEPS
    with pytest.raises(StopIteration):
        next(pairs)


def test_named_children_one_by_one():
    pairs = myNet().named_children()
    assert [shown(next(pairs)) for _ in range(2)] == [PRINTED_STEPS[1], PRINTED_STEPS[4]]
    with pytest.raises(StopIteration):
        next(pairs)


def test_the_net_runs():
    assert myNet()(torch.rand(2, 10, 5, 5)).shape == (2, 2)
