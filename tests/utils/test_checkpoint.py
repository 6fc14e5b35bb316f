"""What a checkpointed part keeps and forgets, also inside compiled functions; and how it notices changes."""

import pytest

import rushlight as torch
from rushlight.utils import checkpoint as c


def test_the_part_runs_again_once_and_keeps_nothing():
    calls = []

    def part(x):
        calls.append(1)
        return x.sin().exp()

    x = torch.ones(3, requires_grad=True)
    out = c.checkpoint(part, x, use_reentrant=False)
    assert type(out.grad_fn.arrays).__name__ == "_Handle"
    out.sum().backward()
    assert len(calls) == 2
    with pytest.raises(RuntimeError, match="second time"):
        out.sum().backward()


def test_other_steps_the_second_time_are_an_error():
    for change, debug in ((lambda x: x.sin().exp().cos(), False), (lambda x: x[:2].sin().sum() * x, True)):
        calls = []

        def part(x, change=change, calls=calls):
            calls.append(1)
            return x.sin().exp() if len(calls) == 1 else change(x)

        x = torch.ones(3, requires_grad=True)
        out = c.checkpoint(part, x, use_reentrant=False, debug=debug)
        with pytest.raises(c.CheckpointError, match="SinBackward0" if debug else "Tip"):
            out.sum().backward()


@pytest.mark.parametrize("reentrant", [False, True])
def test_inside_a_compiled_function(reentrant):
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))

    def step(x):
        net.zero_grad()
        x = x.clone().requires_grad_()
        loss = (c.checkpoint(net, x, use_reentrant=reentrant) ** 2).sum()
        loss.backward()
        return loss

    x = torch.ones(2, 3)
    eager = step(x).item(), [p.grad.clone() for p in net.parameters()]
    compiled = torch.compile(step, fullgraph=True)
    for _ in range(2):
        assert compiled(x).item() == pytest.approx(eager[0])
        for p, grad in zip(net.parameters(), eager[1]):
            assert torch.allclose(p.grad, grad)
