"""``nn.utils`` by themselves: clipping inside compiled steps, copies of vectors, pruned and parametrized training."""

import pytest

import rushlight as torch
from rushlight.nn import utils as u


def test_clipping_inside_a_compiled_step():
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)

    def step(x):
        optimizer.zero_grad()
        loss = (layer(x) ** 2).sum() * 100
        loss.backward()
        norm = u.clip_grad_norm_(layer.parameters(), 1.0)
        optimizer.step()
        return norm

    compiled = torch.compile(step, fullgraph=True)
    x = torch.ones(4, 3)
    norms = [compiled(x).item() for _ in range(3)]
    assert norms[0] > 1.0
    total = u.get_total_norm([p.grad for p in layer.parameters()])
    assert total.item() == pytest.approx(1.0, abs=1e-4)


def test_clipping_makes_one_call(monkeypatch):
    from rushlight.nn.utils import clip_grad

    calls = []
    real = clip_grad._clip
    monkeypatch.setattr(clip_grad, "_clip", lambda *a: calls.append(1) or real(*a))
    ps = [torch.nn.Parameter(torch.ones(n)) for n in (1, 2, 3)]
    for p in ps:
        p.grad = torch.ones_like(p)
    u.clip_grad_norm_(ps, 1.0)
    assert calls == [1]


def test_a_vector_is_copied_into_parameters():
    p = torch.nn.Parameter(torch.zeros(2))
    vector = torch.tensor([1.0, 2.0])
    u.vector_to_parameters(vector, [p])
    vector[0] = 9.0
    assert p.tolist() == [1.0, 2.0]


def test_a_parametrized_layer_trains():
    torch.manual_seed(0)
    layer = u.parametrizations.orthogonal(torch.nn.Linear(3, 3, bias=False))
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        layer(torch.ones(1, 3))[0, 0].backward()
        optimizer.step()
    w = layer.weight.detach()
    assert torch.allclose(w @ w.T, torch.eye(3), atol=1e-5)


def test_a_pruned_layer_trains_and_stays_pruned():
    layer = u.prune.l1_unstructured(torch.nn.Linear(2, 2), "weight", 2)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    layer(torch.ones(1, 2))
    assert (layer.weight == 0).sum() == 2


def test_tensors_that_share_a_module_path_are_put_back_after_an_error():
    layer = torch.nn.Linear(2, 1)
    before = dict(layer.named_parameters())
    with pytest.raises(RuntimeError):
        torch.func.functional_call(layer, {"weight": torch.ones(1, 3)}, torch.ones(2))
    assert all(layer.get_parameter(name) is p for name, p in before.items())
