"""summary: counts by hand, and a model that is afterwards what it was."""

import jax.numpy as jnp
import numpy as np
import pytest

import rushlight as torch
from rushlight import nn
from rushlight.inspect import summary
from rushlight.models import resnet18, resnet50


def rows(row):
    yield row
    for child in row.rows:
        yield from rows(child)


def by_path(table):
    return {row.path: row for row in rows(table.rows)}


def test_resnet18():
    table = summary(resnet18(), (1, 3, 224, 224))
    assert (table.parameters, table.trainable, table.macs) == (11_689_512, 11_689_512, 1_814_073_344)
    found = by_path(table)
    assert found["conv1"].output == [1, 64, 112, 112] and found["conv1"].work.macs == 112 * 112 * 64 * 3 * 49
    assert found["fc"].work.macs == 512_000
    text = str(table).splitlines()
    assert text[3].split() == ["ResNet", "[1,", "1000]", "--", "True", "--"]
    assert any(
        line.split()[:3] == ["├─Conv2d", "(conv1):", "1-1"] and "9,408" in line and "118M" in line for line in text
    )
    assert "Mult-adds, forward: 1.81G" in text and "Total params: 11,689,512" in text


def test_resnet50():
    table = summary(resnet50(), input_size=(3, 224, 224), batch_dim=0)
    assert (table.parameters, table.macs) == (25_557_032, 4_089_184_256)


def test_the_backward_pass_is_two_more_but_for_the_first_input():
    table = summary(resnet18(), (2, 3, 64, 64), backward=True)
    first = 2 * 32 * 32 * 64 * 3 * 49
    assert table.backward_macs == 2 * table.macs - first
    assert "Mult-adds, backward" in str(table)


def test_products_and_convolutions_by_hand():
    cases = [
        (nn.Linear(3, 5), (7, 3), 7 * 3 * 5),
        (nn.Conv2d(8, 16, 3, groups=4, padding=1), (2, 8, 10, 10), 2 * 100 * 16 * 2 * 9),
        (nn.Conv1d(4, 6, 3, stride=2, dilation=2), (1, 4, 20), 8 * 6 * 4 * 3),
        (nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1), (1, 8, 5, 5), 25 * 8 * 4 * 16),
        (nn.LSTM(8, 16, num_layers=2), (5, 2, 8), 5 * 2 * 4 * 16 * ((8 + 16) + (16 + 16))),
        (nn.Bilinear(2, 3, 4), [(6, 2), (6, 3)], None),
    ]
    for module, size, macs in cases:
        table = summary(module, input_size=size)
        if macs is not None:
            assert table.macs == macs, module
        assert table.flops > 2 * table.macs, module  # a bias is added


def test_attention_is_counted():
    length, width = 16, 32
    table = summary(nn.MultiheadAttention(width, 4, batch_first=True), [(2, length, width)] * 3)
    assert table.macs == 2 * (4 * length * width * width + 2 * length * length * width)

    class Attend(nn.Module):
        def forward(self, q, k, v):
            return nn.functional.scaled_dot_product_attention(q, k, v)

    assert summary(Attend(), [(1, 2, 10, 8)] * 3).macs == 2 * 2 * 10 * 10 * 8


def test_elementwise_work():
    class Net(nn.Module):
        def forward(self, x):
            return (x.exp() + 1).sum() + x.long().sum()

    assert summary(Net(), (4, 5)).flops == 20 + 20 + 20 + 1


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)})
        self.shared = nn.Linear(4, 4)
        self.unused = nn.Linear(4, 9)
        self.table = nn.Embedding(10, 4)

    def forward(self, batch, *, scale=1):
        x = self.parts["a"](batch["x"]) + self.parts["b"](batch["pair"][0])
        x = self.shared(self.shared(x)) * scale + self.table(batch["pair"][1])
        return {"out": x, "more": [x.sum()]}


def test_nested_inputs_shared_layers_and_containers():
    batch = {"x": torch.ones(2, 4), "pair": (torch.ones(2, 4), torch.zeros(2, dtype=torch.int64))}
    net = Nested()
    net.parts["a"].weight.requires_grad_(False)
    table = summary(net, (batch,), scale=2, col_names=("input_size", "output_size", "num_params", "trainable", "flops"))
    assert table.parameters == 3 * 20 + 45 + 40 and table.trainable == table.parameters - 16
    found = list(rows(table.rows))
    assert [(r.path, r.depth) for r in found] == [
        ("", 0), ("parts", 1), ("parts.a", 2), ("parts.b", 2), ("shared", 1), ("shared", 1), ("table", 1),
        ("unused", 1),
    ]  # fmt: skip
    assert table.macs == 4 * 2 * 16
    assert table.rows.input == [[2, 4], [2], [2, 4]] and table.rows.output == [[], [2, 4]]
    text = str(table)
    assert "(recursive)" in text and "Partial" in text and "[2, 4], [2], ..." in text


def test_tied_parameters_count_once():
    net = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    net[1].weight = net[0].weight
    assert summary(net, (1, 4)).parameters == 16


def test_depth_cuts_and_sums():
    net = nn.Sequential(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4)), nn.Linear(4, 5))
    text = str(
        summary(net, (1, 2), depth=1, col_names=("num_params", "params_percent", "mult_adds", "flops", "kernel_size"))
    )
    assert "Linear (0)" not in text
    assert any(line.split()[-5:] == ["25", "50.00%", "18", "43", "--"] for line in text.splitlines()), text


def test_a_model_is_afterwards_what_it_was():
    torch.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(16, 2))
    net[1].eval()
    net[4].weight.grad = torch.ones(2, 16)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    modes = [m.training for m in net.modules()]
    stream = torch.get_rng_state()
    for kwargs in ({"mode": "train"}, {"mode": "same", "backward": True}, {}):
        summary(net, (2, 3, 4, 4), **kwargs)
    assert modes == [m.training for m in net.modules()]
    assert torch.equal(stream, torch.get_rng_state())
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert net[4].weight.grad.sum().item() == 32 and net[0].weight.grad is None
    net(torch.ones(2, 3, 4, 4)).sum().backward()


def test_a_failing_model_keeps_its_state_too():
    class Fails(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(3)
            self.scratch = torch.zeros(3)

        def forward(self, x):
            self.scratch += self.norm(x).sum(0)
            return int(x.sum())

    net = Fails()
    with pytest.raises(RuntimeError, match=r"summary\(\): the model asks for the values of a tensor"):
        summary(net, (4, 3), mode="train")
    assert net.norm.num_batches_tracked.item() == 0 and net.scratch.tolist() == [0, 0, 0]
    assert net.training and summary(nn.Linear(3, 2), (1, 3)).macs == 6  # no hook was left behind


def test_nothing_is_computed():
    with torch.device("meta") if hasattr(torch.device("meta"), "__enter__") else torch.no_grad():
        net = nn.Linear(10, 10)
    net = net.to("meta")
    table = summary(net, (1 << 40, 10))
    assert table.macs == (1 << 40) * 100 and net.weight.device.type == "meta"


def test_what_it_refuses():
    net = nn.Linear(2, 2)
    for arguments, options, message in (
        ((), {}, "either input or input_size"),
        (((1, 2),), {"input_size": (1, 2)}, "either input or input_size"),
        (((1, 2),), {"col_names": ("size",)}, "received 'size'"),
        (((1, 2),), {"mode": "fast"}, "received 'fast'"),
        (((1, 2),), {"row_settings": ("color",)}, "row_settings"),
        ((torch.ones(1, 2),), {"batch_dim": 0}, "go with shapes"),
        ((), {"input_size": torch.ones(1, 2)}, "expected input_size to be a shape"),
    ):
        with pytest.raises(ValueError, match=message):
            summary(net, *arguments, **options)
    with pytest.raises(RuntimeError, match="shape"):
        summary(net, (1, 3))
    with pytest.raises(RuntimeError, match=r"'weight' has no shape yet.*Call the model once"):
        summary(nn.LazyLinear(3), (1, 3))
    with pytest.raises(RuntimeError, match="no result of the model requires a gradient"):
        summary(net.requires_grad_(False), (1, 2), backward=True)


def test_integer_input_and_dtypes():
    net = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 10))
    table = summary(net, input_size=(2, 7), dtypes=[torch.int64])
    assert table.macs == 14 * 40 and table.input_bytes == 2 * 7 * 8
    assert summary(net, torch.zeros(2, 7, dtype=torch.int64)).macs == table.macs


def test_loops_of_unknown_length_are_told():
    import jax

    from rushlight.inspect.flops import count

    def loop(x):
        return jax.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] @ c[1]), (0, x))

    def steps(x):
        return jax.lax.scan(lambda c, _: (c @ c, None), x, None, length=5)

    def branches(x):
        return jax.lax.cond(x[0, 0] > 0, lambda v: v @ v @ v, lambda v: v, x)

    x = jnp.ones((3, 3))
    counts = [count(jax.make_jaxpr(f)(x)) for f in (loop, steps, branches)]
    assert [c.total.macs for c in counts] == [27, 135, 54] and [c.loops for c in counts] == [1, 0, 0]


def test_data_for_json():
    import json

    data = summary(nn.Linear(2, 3), (1, 2)).as_dict()
    assert json.loads(json.dumps(data))["rows"]["output"] == [1, 3]
    assert np.isscalar(data["macs"])


def test_what_is_no_module():
    with pytest.raises(TypeError, match=r"argument 'model' must be Module, not type.*summary\(Net\(\)"):
        summary(nn.ReLU, (2, 3))
