"""Owns the tests of what may be done with a parameter or a buffer that has no shape yet.

May import rushlight; needs no PyTorch.
"""

from __future__ import annotations

import copy
import pickle

import pytest

import rushlight as torch
from rushlight import nn

KINDS = (nn.UninitializedParameter, nn.UninitializedBuffer)
REFUSED = {
    "method": lambda p: p.sum(), "operator": lambda p: p + 1, "reflected": lambda p: 1 - p, "equal": lambda p: p == p,
    "function": lambda p: nn.functional.relu(p), "second": lambda p: torch.add(torch.ones(2), p),
    "layer": lambda p: nn.functional.linear(torch.ones(2, 2), p), "matmul": lambda p: torch.ones(2, 2) @ p,
    "list": lambda p: torch.stack([p, p]), "item": lambda p: p[0], "set": lambda p: p.__setitem__(0, 1),
    "in place": lambda p: p.add_(1), "zero": lambda p: p.zero_(), "init": lambda p: nn.init.ones_(p),
    "normal": lambda p: nn.init.normal_(p), "length": len, "iterate": list, "bool": bool, "view": lambda p: p.view(2),
    "detach": lambda p: p.detach(), "numpy": lambda p: p.numpy(), "dim": lambda p: p.dim(),
    "clone": lambda p: p.clone(), "hook": lambda p: p.register_hook(print), "backward": lambda p: p.backward(),
    "save": lambda p: p.tolist(),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("kind", KINDS)
def test_refused(kind, name):
    message = f"Attempted to use an uninitialized parameter in .*`torch.nn.parameter.{kind.__name__}` objects"
    with pytest.raises(ValueError, match=message):
        REFUSED[name](kind())


def test_the_function_is_named():
    with pytest.raises(ValueError, match="in <built-in function linear>"):
        nn.functional.linear(torch.ones(2, 2), nn.UninitializedParameter())


@pytest.mark.parametrize("kind", KINDS)
def test_allowed(kind):
    p = kind()
    assert repr(p) == f"<{kind.__name__}>" and torch.is_tensor(p) and isinstance(p, torch.Tensor)
    assert p.dtype is torch.float32 and p.device == torch.device("cpu") and p.is_floating_point() and p.is_leaf
    assert p.grad is None and p.size() == (0,) and hash(p) == hash(p) and p.float() is p and p.cpu() is p
    assert p.to(torch.float64).dtype is torch.float64 and type(p.data) is torch.Tensor
    p.requires_grad = False
    assert not p.requires_grad
    for made in (copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        assert type(made) is kind
    with pytest.raises(RuntimeError, match="Can't access the shape"):
        p.shape  # noqa: B018
    p.materialize((2, 3), dtype=torch.float64)
    assert type(p) is kind.cls_to_become and p.shape == (2, 3) and (p + 1).dtype is torch.float64
    nn.init.ones_(p)
    assert p.sum() == 6


def test_a_lazy_model_moves_compiles_and_loads():
    model = nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d()).double()
    assert type(model[0].weight) is nn.UninitializedParameter and model[0].weight.dtype is torch.float64
    compiled = torch.compile(model, fullgraph=True)
    x = torch.ones(4, 5, dtype=torch.float64)
    for _ in range(2):
        assert compiled(x).shape == (4, 3)
    assert type(model[0].weight) is nn.Parameter and model[0].weight.dtype is torch.float64
    empty = nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d())
    empty.load_state_dict(model.state_dict())
    assert torch.equal(empty[0].weight, model[0].weight.float())
