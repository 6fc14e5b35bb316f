"""Checkpointed parts of models, run in both libraries: values, gradients, random numbers, errors."""

import pytest
from module_programs import Log

import rushlight

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]


def net(t):
    t.manual_seed(0)
    return t.nn.Sequential(
        t.nn.Linear(3, 5), t.nn.Tanh(), t.nn.Dropout(0.5), t.nn.Linear(5, 4), t.nn.Sigmoid(), t.nn.Linear(4, 2)
    )


def rounded(x):
    return [round(v, 5) for v in x.flatten().tolist()]


def whole(t, log):
    c = t.utils.checkpoint
    for reentrant in (True, False):
        for preserve in (True, False):
            model, x = net(t), t.ones(2, 3, requires_grad=True)
            t.manual_seed(3)
            out = c.checkpoint(model, x, use_reentrant=reentrant, preserve_rng_state=preserve)
            after = t.rand(1)
            (out**2).sum().backward()
            log.add(rounded(out), rounded(after), rounded(t.rand(1)))
            if preserve:
                log.add(rounded(x.grad), [rounded(p.grad) for p in model.parameters()])
    for reentrant in (True, False):
        model, x = net(t).eval(), t.ones(2, 3, requires_grad=True)
        out = c.checkpoint_sequential(model, 3, x, use_reentrant=reentrant)
        out.sum().backward()
        log.add(rounded(out), rounded(x.grad), [rounded(p.grad) for p in model.parameters()])
    log.tried(lambda: c.checkpoint_sequential(list(model), 2, x, use_reentrant=False).shape)


def derivatives(t, log):
    """What only the form that records as usual can do."""
    c, w = t.utils.checkpoint, t.full((3,), 2.0, requires_grad=True)
    x = t.arange(3.0).requires_grad_()

    def part(a, k=1.0, pair=None):
        return {"out": (w * a.sin() * k).exp(), "same": pair[0] * 2}

    out = c.checkpoint(part, x, k=0.5, pair=(x,), use_reentrant=False)
    (gx,) = t.autograd.grad(out["out"].sum() + out["same"].sum(), x, create_graph=True)
    (gx**2).sum().backward()
    log.add(rounded(gx), rounded(x.grad), rounded(w.grad))
    inner = lambda a: c.checkpoint(lambda b: (b * w).tanh(), a, use_reentrant=False) ** 2  # noqa: E731
    y = c.checkpoint(inner, x.detach().requires_grad_(), use_reentrant=False)
    y.sum().backward(retain_graph=True)
    y.sum().backward()
    log.tried(lambda: y.sum().backward() and 0)
    log.add(rounded(w.grad))
    with t.no_grad():
        log.add(c.checkpoint(t.sin, x, use_reentrant=False).requires_grad)
    seen = []

    class Note:
        def __init__(self, name):
            self.name = name

        def __enter__(self):
            seen.append(self.name)

        def __exit__(self, *exc):
            pass

    z = c.checkpoint(t.sin, x, use_reentrant=False, context_fn=lambda: (Note("forward"), Note("again")))
    z.sum().backward()
    log.add(seen)
    with t.autocast("cpu"):
        low = c.checkpoint(lambda a: (a @ a).relu(), t.ones(2, 2, requires_grad=True), use_reentrant=False)
    low.sum().backward()
    log.add(str(low.dtype))


def refusals(t, log):
    c, x = t.utils.checkpoint, t.ones(2, requires_grad=True)
    log.add(c.checkpoint(t.sin, t.ones(2), use_reentrant=True).requires_grad)
    log.tried(lambda: t.autograd.grad(c.checkpoint(t.sin, x, use_reentrant=True).sum(), x))
    log.tried(lambda: c.checkpoint(t.sin, x, use_reentrant=True).sum().backward(inputs=[x]))
    log.tried(lambda: c.checkpoint(t.sin, x, use_reentrant=True, k=3))
    log.tried(lambda: c.checkpoint(t.sin, x, use_reentrant=True, debug=True))
    log.tried(lambda: c.checkpoint_sequential([t.sin], 1, x, use_reentrant=True, k=3))
    log.tried(lambda: c.detach_variable([x]))
    log.tried(lambda: c.checkpoint(lambda a: a.detach(), x, use_reentrant=True).sum().backward())


@pytest.mark.parametrize("program", [whole, derivatives, refusals], ids=lambda p: p.__name__)
def test_program(program):
    ours, theirs = Log(), Log()
    import torch.utils.checkpoint

    program(rushlight, ours)
    program(torch, theirs)
    for i, (a, b) in enumerate(zip(ours, theirs)):
        assert a == b, f"report {i}: {a} is not {b}"
    assert len(ours) == len(theirs)
