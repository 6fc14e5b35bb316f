"""Owns the tests of the document that lists the methods of ``nn.Module`` and ``nn.Sequential``, one by one.

May import rushlight; needs no PyTorch.
"""

from __future__ import annotations

import pytest

import rushlight as torch
from rushlight import nn

BOTH = [
    "parameters", "named_parameters", "children", "modules", "named_children", "named_modules", "train", "eval",
    "training", "zero_grad", "requires_grad_", "to", "cpu", "cuda", "float", "double", "half", "bfloat16",
    "state_dict", "load_state_dict", "register_forward_hook", "register_backward_hook",
]  # fmt: skip
OF_SEQUENTIAL = [
    "__getitem__", "__setitem__", "__delitem__", "__len__", "append", "extend", "insert", "pop", "_get_item_by_idx",
]  # fmt: skip
OF_MODULE = [
    "forward", "extra_repr", "add_module", "register_module", "register_parameter", "register_buffer", "__call__",
    "apply", "dump_patches",
]  # fmt: skip


class CustomModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 64, 3)
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.conv(x))


@pytest.fixture
def model():
    return CustomModel()


@pytest.fixture
def images():
    return torch.rand(2, 3, 5, 5)


@pytest.mark.parametrize("name", BOTH + OF_MODULE)
def test_module_has_it(name):
    assert name == "training" or hasattr(nn.Module, name)
    assert hasattr(nn.Module(), name) and hasattr(nn.Sequential(), name)
    assert name in dir(nn.Module()) and (name == "training" or name in dir(nn.Module))


@pytest.mark.parametrize("name", OF_SEQUENTIAL)
def test_only_sequential_has_it(name):
    assert hasattr(nn.Sequential, name) and name in dir(nn.Sequential) and not hasattr(nn.Module, name)


@pytest.mark.parametrize("name", ["_parameters", "_modules", "_buffers"])
def test_the_tables(name):
    assert getattr(nn.Module(), name) == {} and getattr(nn.Sequential(), name) == {}


def test_parameters(model):
    assert [str(p.shape) for p in model.parameters()] == ["torch.Size([64, 3, 3, 3])", "torch.Size([64])"]


def test_named_parameters(model):
    found = [(name, str(p.shape)) for name, p in model.named_parameters() if "weight" in name]
    assert found == [("conv.weight", "torch.Size([64, 3, 3, 3])")]


def test_children(model):
    assert [type(child) for child in model.children()] == [nn.Conv2d, nn.ReLU]


def test_modules(model):
    assert [m.kernel_size for m in model.modules() if isinstance(m, nn.Conv2d)] == [(3, 3)]


def test_train_eval_and_training(model):
    assert model.training is True
    model.eval()
    assert model.training is False and model.conv.training is False
    model.train()
    assert model.training is True and model.conv.training is True


def test_state_dict_to_a_file_and_back(model, images, tmp_path):
    torch.save(model.state_dict(), tmp_path / "model.pth")
    other = CustomModel()
    assert other(images).tolist() != model(images).tolist()
    assert str(other.load_state_dict(torch.load(tmp_path / "model.pth"))) == "<All keys matched successfully>"
    assert other(images).tolist() == model(images).tolist()


def test_to_and_its_short_forms(model):
    assert model.to("cpu") is model and model.cpu() is model
    for move, dtype in (
        (lambda: model.to(torch.float16), torch.float16), (model.float, torch.float32), (model.double, torch.float64),
        (model.half, torch.float16), (model.bfloat16, torch.bfloat16),
    ):  # fmt: skip
        assert move() is model and {p.dtype for p in model.parameters()} == {dtype}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_one_says_what_is_there(model):
    with pytest.raises(RuntimeError, match="cpu"):
        model.cuda()


def test_forward_and_call(model, images):
    assert model(images).tolist() == model.forward(images).tolist()
    assert nn.Sequential(model.conv, model.relu)(images).tolist() == model(images).tolist()


def test_call_runs_hooks_and_forward_does_not(model, images):
    found = []
    handle = model.conv.register_forward_hook(lambda module, inputs, output: found.append(output.shape))
    model(images)
    model.conv.forward(images)
    handle.remove()
    model(images)
    assert found == [torch.Size([2, 64, 3, 3])]


def test_register_backward_hook(model, images):
    found = []
    model.relu.register_backward_hook(lambda module, grad_in, grad_out: found.append((len(grad_in), len(grad_out))))
    model(images).sum().backward()
    assert found == [(1, 1)]


def test_zero_grad(model, images):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for clear in (model.zero_grad, optimizer.zero_grad):
        model(images).sum().backward()
        assert all(p.grad is not None for p in model.parameters())
        clear()
        assert all(p.grad is None for p in model.parameters())


def test_freezing(model, images):
    for parameter in model.parameters():
        parameter.requires_grad = False
    assert not model(images).requires_grad
    model.requires_grad_()
    assert model(images).requires_grad


def test_extra_repr():
    class MyModel(nn.Module):
        hidden_size = 5

        def extra_repr(self):
            return f"hidden_size={self.hidden_size}"

    assert repr(MyModel()) == "MyModel(hidden_size=5)"


def test_dump_patches_is_a_flag():
    assert nn.Module.dump_patches is False


def test_apply(model):
    def init_weights(m):
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight)
            nn.init.zeros_(m.bias)

    before = model.conv.weight.tolist()
    assert model.apply(init_weights) is model
    assert model.conv.weight.tolist() != before and set(model.conv.bias.tolist()) == {0.0}


def test_sequential_by_index_and_growing(images):
    model = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU())
    assert type(model[0]) is nn.Conv2d and type(CustomModel().conv) is nn.Conv2d
    model.append(nn.MaxPool2d(2))
    assert model(images).shape == (2, 64, 1, 1)
    model.insert(0, nn.Identity())
    model.extend([nn.Flatten(), nn.Linear(64, 2)])
    assert repr(model) == (
        "Sequential(\n"
        "  (0): Identity()\n"
        "  (1): Conv2d(3, 64, kernel_size=(3, 3), stride=(1, 1))\n"
        "  (2): ReLU()\n"
        "  (3): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)\n"
        "  (4): Flatten(start_dim=1, end_dim=-1)\n"
        "  (5): Linear(in_features=64, out_features=2, bias=True)\n"
        ")"
    )
    assert model(images).shape == (2, 2)
    assert type(model.pop(0)) is nn.Identity and len(model) == 5
    del model[4]
    model[0] = nn.Conv2d(3, 8, 3)
    assert model(images).shape == (2, 8)


def test_managing_by_hand():
    model = nn.Module()
    model.add_module("a", nn.Linear(2, 2))
    model.register_module("b", nn.Linear(2, 2, bias=False))
    model.register_parameter("scale", nn.Parameter(torch.ones(1)))
    model.register_buffer("count", torch.zeros(1))
    assert list(model.state_dict()) == ["scale", "count", "a.weight", "a.bias", "b.weight"]
