"""Module.freeze, evaluating, capture and audit: what torch's Module does not have."""

import pytest

import rushlight as torch
from rushlight import nn


def net():
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(8, 3))
    )


def test_freeze_by_name():
    model = net()
    assert model.freeze("0") == ["0.0.weight", "0.0.bias", "0.1.weight", "0.1.bias"]
    assert model.freeze("0.*") == [] and model.freeze("*.2.bias") == ["1.2.bias"]
    assert [n for n, p in model.named_parameters() if p.requires_grad] == ["1.2.weight"]
    assert model.unfreeze("0.[01].weight") == ["0.0.weight", "0.1.weight"]
    assert len(model.unfreeze()) == 3 and len(model.freeze()) == 6
    with pytest.raises(ValueError, match=r"freeze\(\): nothing is named 'backbone.\*'. There are: "):
        model.freeze("backbone.*")
    with pytest.raises(TypeError, match="expected names or patterns"):
        model.freeze(3)


def test_evaluating_puts_every_mode_back():
    model = net()
    model[0][1].eval()
    with pytest.raises(KeyError), model.evaluating() as same:
        assert same is model and not any(m.training for m in model.modules())
        assert not model(torch.ones(1, 1, 4, 4)).requires_grad
        raise KeyError
    assert [name for name, m in model.named_modules() if not m.training] == ["0.1"]
    assert torch.is_grad_enabled()
    with model.evaluating(grad=True):
        assert model(torch.ones(1, 1, 4, 4)).requires_grad


def test_names_of_the_users_own_come_first():
    class Mine(nn.Module):
        def __init__(self):
            super().__init__()
            self.capture = nn.Linear(2, 2)
            self.register_buffer("audit", torch.ones(2))
            self.register_parameter("freeze", nn.Parameter(torch.ones(1)))
            self.add_module("evaluating", nn.Identity())
            self.unfreeze = 3

        def forward(self, x):
            return self.capture(x) * self.freeze + self.audit

    mine = Mine()
    assert isinstance(mine.capture, nn.Linear) and mine.audit.tolist() == [1, 1] and mine.unfreeze == 3
    assert isinstance(mine.evaluating, nn.Identity) and mine(torch.ones(1, 2)).shape == (1, 2)
    assert sorted(mine.state_dict()) == ["audit", "capture.bias", "capture.weight", "freeze"]
    with pytest.raises(KeyError, match="attribute 'train' already exists"):
        mine.add_module("train", nn.Identity())


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.pair = Pair()

    def forward(self, x):
        return self.pair(self.layer(self.layer(x)))["sum"]


class Pair(nn.Module):
    def forward(self, x):
        return {"sum": x.sum(), "parts": (x * 2, 5)}


@pytest.mark.parametrize("compiled", [False, True])
def test_capture(compiled):
    model = Twice().eval()
    call = torch.compile(model, fullgraph=True) if compiled else model
    one, two = torch.ones(1, 2), torch.full((1, 2), 3.0)
    call(one)
    with model.capture("layer", "pair*") as seen:
        assert "layer" not in seen and list(seen) == []
        for x in (one, two, one, two):
            call(x)
            steps = [model.layer(x), model.layer(model.layer(x))] if not compiled else None
            if compiled:
                weight, bias = model.layer.weight, model.layer.bias
                steps = [x @ weight.T + bias]
                steps.append(steps[0] @ weight.T + bias)
                assert all(torch.allclose(a, b) for a, b in zip(seen.calls("layer"), steps))
            assert torch.allclose(seen["pair"]["parts"][0], 2 * steps[1]) and seen["pair"]["parts"][1] == 5
    assert list(seen) == ["layer", "pair"] and len(seen) == 2 and "sum" in seen["pair"]
    kept = seen["pair"]["sum"].item()
    call(one)
    assert seen["pair"]["sum"].item() == kept and not seen["layer"].requires_grad
    assert not [key for m in model.modules() for key in m.__dict__ if key.startswith("_captured")]
    assert "layer: [1, 2] torch.float32" in repr(seen)


def test_capture_with_history_and_wrong_names():
    model = Twice()
    with model.capture("layer", detach=False) as seen:
        model(torch.ones(1, 2))
    seen["layer"].sum().backward()
    assert model.layer.weight.grad is not None
    with pytest.raises(ValueError, match=r"capture\(\): nothing is named 'layr'. There are: layer"):
        model.capture("layr")
    with pytest.raises(ValueError, match="received none"):
        model.capture()
    with model.capture("layer") as seen, pytest.raises(KeyError, match="was not called"):
        seen["layer"]
    with pytest.raises(KeyError, match="is not captured; captured are layer"):
        seen["pair"]


# -- the audit ---------------------------------------------------------------------------------------------------------


def kinds(found):
    return [f.kind for f in found]


def test_nothing_is_wrong():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.ones(2, 1, 4, 4)).sum().backward()
    found = model.audit(optimizer)
    assert found == [] and repr(found) == "nothing found"


def test_parameters_that_no_optimizer_holds():
    model = net()
    (finding,) = model.audit(torch.optim.SGD(model[0].parameters(), lr=0.1))
    assert finding.kind == "unoptimized" and finding.paths == ("1.2.weight", "1.2.bias")
    assert str(finding).startswith("1.2.weight, 1.2.bias: no optimizer holds these 2 parameters")
    assert "model.freeze('1.2')" in finding.remedy
    model.freeze("1.2")
    assert model.audit(torch.optim.SGD(model[0].parameters(), lr=0.1)) == []
    both = torch.optim.SGD(model[0][0].parameters(), lr=0.1), torch.optim.SGD(model[0][1].parameters(), lr=0.1)
    assert model.audit(*both) == []
    with pytest.raises(TypeError, match=r"audit\(\): expected optimizers, received list"):
        model.audit([1])


def test_tensors_that_are_no_longer_the_models():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model[1][2] = nn.Linear(8, 5)
    found = model.audit(optimizer)
    assert kinds(found) == ["unoptimized", "foreign"]
    assert "2 tensors that are no parameters of it (shapes [3, 8], [3])" in found[1].message


def test_hidden_modules():
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = [nn.Linear(2, 2), nn.Linear(2, 2)]

    (finding,) = nn.Sequential(Hidden()).audit()
    assert (finding.kind, finding.path) == ("hidden", "0.blocks")
    assert "2 unregistered modules (Linear)" in finding.message
    assert finding.remedy == "Register them with self.blocks = nn.ModuleList(...)."


def test_statistics_under_frozen_weights():
    model = net()
    model.freeze("0")
    (finding,) = model.audit()
    assert (finding.kind, finding.path) == (
        "statistics",
        "0.1",
    ) and "model.get_submodule('0.1').eval()" in finding.remedy
    model[0][1].eval()
    assert model.audit() == []  # a frozen layer in evaluation mode is what the remedy asks for
    plain = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, affine=False))
    assert plain.audit() == []
    plain.freeze("0")
    assert kinds(plain.audit()) == ["statistics"]
    plain[1] = nn.BatchNorm1d(2, affine=False, track_running_stats=False)
    assert plain.audit() == []


def test_modes():
    model = net()
    model[1].eval()
    (finding,) = model.audit()
    assert (finding.kind, finding.paths) == (
        "mode",
        ("1",),
    ) and "in evaluation mode while the model is in training" in str(finding).replace("\n    ", " ")
    model.eval()
    model[0][1].train()
    assert model.audit().of("mode")[0].paths == ("0.1",)


def test_parameters_without_a_gradient():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x):
            return self.used(x)

    model = Net()
    assert model.audit() == []  # before any backward there is nothing to say
    model(torch.ones(1, 2)).sum().backward()
    (finding,) = model.audit()
    assert (finding.kind, finding.paths) == ("no gradient", ("unused.weight", "unused.bias"))


def test_shared_parameters():
    model = nn.Sequential(nn.Embedding(4, 3), nn.Linear(3, 4, bias=False))
    model[1].weight = model[0].weight
    (finding,) = model.audit()
    assert (finding.kind, finding.paths) == ("shared", ("0.weight", "1.weight"))


def test_every_finding_fits_the_line():
    model = net()
    model[1].eval()
    model.freeze("0")
    text = repr(model.audit(torch.optim.SGD(model[0].parameters(), lr=0.1)))
    assert max(map(len, text.splitlines())) <= 100 and len(model.audit()) == 2
