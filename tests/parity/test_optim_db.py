"""Walks PyTorch's own table of optimizers: fifty steps with every option, state that crosses over, compiled steps.

``SparseAdam`` is not offered: gradients are dense here.
"""

import warnings

import pytest
from parity._optim_db import check_compiled, check_optimizer, check_refusals, class_of, optim_db, torch

import rushlight

OFFERED = [info for info in optim_db if info.name != "SparseAdam"]
# The number of iterations depends on values, which a program cannot wait for.
EAGER = ("LBFGS",)
PROGRAMS = [info for info in OFFERED if info.name not in EAGER]
names = {"ids": lambda info: info.name}


@pytest.mark.parametrize("info", OFFERED, **names)
def test_fifty_steps(info):
    check_optimizer(info)


@pytest.mark.parametrize("info", PROGRAMS, **names)
def test_as_one_program(info):
    check_compiled(info)


@pytest.mark.parametrize("info", [info for info in OFFERED if info.name in EAGER], **names)
def test_what_runs_eagerly_says_so(info):
    check_compiled(info, fullgraph=False)
    with pytest.raises(NotImplementedError, match="iterates until values say so"):
        check_compiled(info)
    w = rushlight.tensor([1.0], requires_grad=True)
    made = class_of(info)([w])

    def closure():
        made.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with pytest.warns(UserWarning, match="runs eagerly"):
        rushlight.compile(lambda: made.step(closure))()


@pytest.mark.parametrize("info", OFFERED, **names)
def test_what_torch_refuses(info):
    check_refusals(info)


def test_sparse_adam_says_what_to_use():
    with pytest.raises(NotImplementedError, match=r"Use torch\.optim\.Adam"):
        rushlight.optim.SparseAdam([rushlight.ones(2, requires_grad=True)])


@pytest.mark.parametrize("kind", ["float32", "float64", "float16", "bfloat16", "complex64"])
def test_the_first_damped_step_inside_a_program(kind):
    """The first step takes the whole gradient, which a program has to know; a gradient of NaN stays NaN."""
    ends = []
    for compiled in (False, True):
        w = rushlight.tensor([1.0, 2.0, float("nan")], dtype=getattr(rushlight, kind), requires_grad=True)
        made = rushlight.optim.SGD([w], lr=0.25, momentum=0.5, dampening=0.5)

        def step(w=w, made=made):
            w.grad = w.detach() * 2
            made.step()

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run = rushlight.compile(step, fullgraph=True) if compiled else step
            for _ in range(3):
                run()
        ends.append((w.detach(), made.state_dict()["state"][0]["momentum_buffer"]))
    for a, b in zip(*ends):
        assert rushlight.equal(a[:2], b[:2])
        assert bool(a[2].isnan()) and bool(b[2].isnan())


def test_the_table_is_the_one_that_was_read():
    assert len(optim_db) == 15 and torch.__version__.startswith("2.13")
