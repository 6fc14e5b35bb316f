"""Owns the tests of selective checkpointing: what is kept is not computed again, and gradients stay the same.

May import rushlight; needs no PyTorch.
"""

from __future__ import annotations

import functools

import pytest

import rushlight as torch
from rushlight._graph.modes import state
from rushlight.ops import _execute, _op
from rushlight.utils.checkpoint import (
    CheckpointPolicy,
    SelectiveCheckpointContext,
    checkpoint,
    create_selective_checkpoint_contexts,
)


def part(x, w):
    y = torch.sigmoid(torch.matmul(torch.matmul(x, w), w)) * w
    return (y.view(-1)[1:].exp() + y.max(1).values.sum()).softmax(0)


def inputs():
    torch.manual_seed(0)
    return torch.randn(4, 4).requires_grad_(), torch.randn(4, 4).requires_grad_()


def gradients(**options):
    x, w = inputs()
    out = checkpoint(part, x, w, use_reentrant=False, **options) if options else part(x, w)
    (out**2).sum().backward()
    return out, x.grad, w.grad


POLICIES = {
    "aten": [torch.ops.aten.mm.default], "functions": [torch.matmul, torch.sigmoid],
    "all": lambda ctx, op, *args, **kwargs: CheckpointPolicy.PREFER_SAVE,
    "none": lambda ctx, op, *args, **kwargs: CheckpointPolicy.PREFER_RECOMPUTE,
    "set": lambda ctx, op, *args, **kwargs: op in {torch.ops.aten.mm.default},
    "by output": lambda ctx, op, *args: type(ctx) is SelectiveCheckpointContext and type(ctx.op_output) is not tuple,
}  # fmt: skip


@pytest.mark.parametrize("name", POLICIES)
def test_gradients_stay(name):
    context_fn = functools.partial(create_selective_checkpoint_contexts, POLICIES[name])
    for ours, wanted in zip(gradients(context_fn=context_fn), gradients()):
        torch.testing.assert_close(ours, wanted)


@pytest.mark.parametrize(("kept", "runs"), [([], 4), ([torch.ops.aten.mm.default], 2)])
def test_what_is_kept_does_not_run_again(kept, runs, monkeypatch):
    x, w = inputs()
    ran = []
    execute = _op.execute

    def counting(program, *args):
        if state.dual is None:
            ran.append(program.name)
        return execute(program, *args)

    context_fn = functools.partial(create_selective_checkpoint_contexts, list(kept))
    for door in (_op, _execute):
        monkeypatch.setattr(door, "execute", counting)
    checkpoint(part, x, w, use_reentrant=False, context_fn=context_fn).sum().backward()
    assert ran.count("matmul") == runs


@pytest.mark.parametrize("name", ["aten", "all"])
def test_inside_a_compiled_step(name):
    x, w = inputs()
    context_fn = functools.partial(create_selective_checkpoint_contexts, POLICIES[name])

    @torch.compile(fullgraph=True)
    def step(x):
        w.grad = None
        out = checkpoint(part, x, w, use_reentrant=False, context_fn=context_fn)
        (out**2).sum().backward()
        return out.detach()

    wanted = gradients()
    torch.testing.assert_close(step(x.detach()), wanted[0].detach())
    torch.testing.assert_close(w.grad, wanted[2])


def test_mistakes():
    x, w = inputs()
    with pytest.raises(TypeError, match="must be either a function or a list of ops"):
        create_selective_checkpoint_contexts(3)
    with pytest.raises(ValueError, match="Expected op in `op_list` to be an OpOverload but got: mm"):
        create_selective_checkpoint_contexts(["mm"])
    away = functools.partial(create_selective_checkpoint_contexts, lambda *args: CheckpointPolicy.MUST_CPU_OFFLOAD)
    with pytest.raises(NotImplementedError, match="MUST_CPU_OFFLOAD"):
        checkpoint(part, x, w, use_reentrant=False, context_fn=away)
