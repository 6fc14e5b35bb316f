"""Owns the tests of the reference models: names, shapes, counts, initial weights, and a step on small images.

May import rushlight; needs no PyTorch.
"""

from __future__ import annotations

import math

import pytest

import rushlight as torch
from rushlight import models, nn
from rushlight.models.resnet import BasicBlock, Bottleneck, ResNet

# torchvision's counts: (parameter tensors, numbers in them, entries of the state dict).
COUNTS = {
    "resnet18": (62, 11_689_512, 122),
    "resnet34": (110, 21_797_672, 218),
    "resnet50": (161, 25_557_032, 320),
    "resnet101": (314, 44_549_160, 626),
    "resnet152": (467, 60_192_808, 932),
}
BASIC, BOTTLENECK = [("conv1", 3), ("conv2", 3)], [("conv1", 1), ("conv2", 3), ("conv3", 1)]
PLANS = {
    "resnet18": (BASIC, 1, [2, 2, 2, 2]), "resnet34": (BASIC, 1, [3, 4, 6, 3]),
    "resnet50": (BOTTLENECK, 4, [3, 4, 6, 3]), "resnet101": (BOTTLENECK, 4, [3, 4, 23, 3]),
    "resnet152": (BOTTLENECK, 4, [3, 8, 36, 3]),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def on_meta():
    """Names and shapes need no numbers."""
    with torch.device("meta"):
        yield {name: getattr(models, name)() for name in COUNTS}


def expected(name: str) -> list[tuple[str, tuple]]:
    """torchvision's parameters, written down from the paper's table and torchvision's names."""
    convs, expansion, blocks = PLANS[name]
    out: list[tuple[str, tuple]] = [("conv1.weight", (64, 3, 7, 7)), *norm("bn1", 64)]
    channels = 64
    for stage, count in enumerate(blocks):
        width = 64 * 2**stage
        for block in range(count):
            path, inner = f"layer{stage + 1}.{block}", channels
            for i, (conv, kernel) in enumerate(convs):
                planes = width * expansion if conv == "conv3" else width
                out += [(f"{path}.{conv}.weight", (planes, inner, kernel, kernel)), *norm(f"{path}.bn{i + 1}", planes)]
                inner = planes
            if block == 0 and (stage > 0 or channels != width * expansion):
                out += [(f"{path}.downsample.0.weight", (width * expansion, channels, 1, 1))]
                out += norm(f"{path}.downsample.1", width * expansion)
            channels = width * expansion
    return [*out, ("fc.weight", (1000, channels)), ("fc.bias", (1000,))]


def norm(path: str, channels: int) -> list[tuple[str, tuple]]:
    return [(f"{path}.weight", (channels,)), (f"{path}.bias", (channels,))]


@pytest.mark.parametrize("name", COUNTS)
def test_names_shapes_and_counts_are_torchvisions(on_meta, name):
    net = on_meta[name]
    found = [(path, tuple(p.shape)) for path, p in net.named_parameters()]
    assert found == expected(name)
    assert (len(found), sum(math.prod(s) for _, s in found), len(net.state_dict())) == COUNTS[name]


def test_state_dict_keys_of_a_block(on_meta):
    keys = [key for key in on_meta["resnet50"].state_dict() if key.startswith("layer1.0.downsample")]
    assert keys == [f"layer1.0.downsample.{k}" for k in (
        "0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked",
    )]  # fmt: skip


def test_the_stride_is_in_the_3x3_convolution(on_meta):
    block = on_meta["resnet50"].layer2[0]
    assert (block.conv1.stride, block.conv2.stride, block.downsample[0].stride) == ((1, 1), (2, 2), (2, 2))
    assert repr(block.conv2) == "Conv2d(128, 128, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), bias=False)"


def test_darknet53_on_meta():
    net = models.darknet53()
    assert len(list(net.parameters())) == 156 and sum(p.numel() for p in net.parameters()) == 40_584_928
    assert [len(getattr(net, f"layer{i}")) - 3 for i in range(1, 6)] == [1, 2, 8, 8, 4]
    assert list(net.layer1._modules) == ["ds_conv", "ds_bn", "ds_relu", "residual_0"]


def small_resnet(**kwargs):
    with torch.device("cpu"):
        return ResNet(BasicBlock, [1, 1, 1, 1], num_classes=5, **kwargs)


def test_initial_weights():
    torch.manual_seed(0)
    net = small_resnet()
    weight = net.layer4[0].conv2.weight  # kaiming, fan out
    assert abs(weight.std().item() / math.sqrt(2 / (512 * 9)) - 1) < 0.01 and abs(weight.mean().item()) < 1e-4
    assert set(net.bn1.weight.tolist()) == {1.0} and set(net.bn1.bias.tolist()) == {0.0}
    assert net.fc.weight.abs().max().item() <= 1 / math.sqrt(512)
    last = small_resnet(zero_init_residual=True).layer1[0]
    assert set(last.bn2.weight.tolist()) == {0.0} and set(last.bn1.weight.tolist()) == {1.0}


def test_a_step_of_a_residual_network():
    torch.manual_seed(0)
    with torch.device("cpu"):
        net, images, labels = small_resnet(), torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 3])
        optimizer, loss_fn = torch.optim.SGD(net.parameters(), lr=0.01), nn.CrossEntropyLoss()
        losses = []
        for _ in range(2):
            optimizer.zero_grad()
            loss = loss_fn(net(images), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert all(p.grad is not None for p in net.parameters()) and losses[1] < losses[0]
        assert net.bn1.num_batches_tracked.item() == 2


def test_options():
    with torch.device("meta"):
        dilated = ResNet(Bottleneck, [1, 1, 1, 1], replace_stride_with_dilation=[False, True, True])
        wide = ResNet(Bottleneck, [1, 1, 1, 1], groups=32, width_per_group=4)
        grouped = ResNet(BasicBlock, [1, 1, 1, 1], norm_layer=lambda n: nn.GroupNorm(8, n))
    assert dilated.layer3[0].conv2.stride == (1, 1) and dilated.layer4[0].conv2.dilation == (2, 2)
    assert wide.layer1[0].conv2.weight.shape == (128, 4, 3, 3)
    assert type(grouped.bn1) is nn.GroupNorm


@pytest.mark.parametrize("call, error, text", [
    (lambda: models.resnet18(weights="DEFAULT"), NotImplementedError, "expected weights=None, received 'DEFAULT'"),
    (lambda: models.resnet18(pretrained=True), NotImplementedError, "load_state_dict"),
    (lambda: ResNet(BasicBlock, [1, 1, 1, 1], groups=2), ValueError, "BasicBlock only supports groups=1"),
    (lambda: ResNet(BasicBlock, [1, 1, 1, 1], replace_stride_with_dilation=[True] * 3), NotImplementedError,
     "Dilation > 1 not supported in BasicBlock"),
    (lambda: ResNet(BasicBlock, [1, 1, 1, 1], replace_stride_with_dilation=[True]), ValueError, "3-element tuple"),
])  # fmt: skip
def test_refusals(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert text in str(caught.value)


def test_darknet_gives_three_maps():
    with torch.device("cpu"):
        net, images = models.DarkNet([1, 0, 0, 0, 0]), torch.rand(1, 3, 64, 64)
        maps = net.eval()(images)
    assert [tuple(m.shape) for m in maps] == [(1, 256, 8, 8), (1, 512, 4, 4), (1, 1024, 2, 2)]
