"""Runs the optimizers of PyTorch's own table in torch and in rushlight on the same gradients, and compares each step.

The table (``torch.testing._internal.common_optimizers.optim_db``) names each optimizer with the options to try and the
calls that have to be refused.
"""

import re
import warnings
import zlib

import numpy as np
import pytest
from parity._op_db import _leaf, tensor_of, walk
from parity._op_db import torch as torch

import rushlight

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_optimizers import (
        OptimizerErrorEnum,
        _get_optim_inputs_including_global_cliquey_kwargs,
        optim_db,
    )

STEPS = 50
_SHAPES = {"Muon": ((6, 4), (3, 5)), "Adafactor": ((4, 5), (5,), (2, 3, 4), ()), "SGD": ((4, 5), (5,), (2, 3, 4), ())}


def moved(value):
    """Constructor arguments of torch as rushlight's: a parameter that stands twice stays one."""
    held = {}

    def leaf(v):
        if not isinstance(v, torch.Tensor):
            return _leaf(v)
        if id(v) not in held:
            made = tensor_of(v)
            held[id(v)] = rushlight.nn.Parameter(made.detach()) if isinstance(v, torch.nn.Parameter) else made
            if v.grad is not None:
                held[id(v)].grad = tensor_of(v.grad)
        return held[id(v)]

    return walk(value, leaf)


def samples(info):
    """Each set of options of an optimizer, each also with ``foreach``, ``fused`` and ``differentiable``."""
    found = {}
    for plain in info.optim_inputs_func("cpu"):
        found[plain.desc] = plain.kwargs
    for more in _get_optim_inputs_including_global_cliquey_kwargs("cpu", torch.float32, info):
        if more.desc not in found:
            found[more.desc] = more.kwargs
    return found


# -- state ----------------------------------------------------------------------------------------------------------


def _host(value):
    """A state value in a form that compares: tensors of either library as arrays with their dtype's name."""
    if isinstance(value, (torch.Tensor, rushlight.Tensor)):
        return np.asarray(value.detach().numpy()), str(value.dtype).removeprefix("torch.")
    return value


def _alike(label, got, expected, rtol, atol):
    if isinstance(expected, dict):
        assert list(got) == list(expected), f"{label}: keys {list(got)}, expected {list(expected)}"
        for key, value in expected.items():
            _alike(f"{label}[{key!r}]", got[key], value, rtol, atol)
    elif isinstance(expected, (list, tuple)):
        assert type(got) is type(expected) and len(got) == len(expected), f"{label}: {got}, expected {expected}"
        for i, (g, e) in enumerate(zip(got, expected)):
            _alike(f"{label}[{i}]", g, e, rtol, atol)
    elif isinstance(expected, torch.Tensor):
        (a, kind), (b, wanted) = _host(got), _host(expected)
        assert (kind, a.shape) == (wanted, b.shape), f"{label}: {kind} {a.shape}, expected {wanted} {b.shape}"
        np.testing.assert_allclose(a, b, rtol, atol, err_msg=label)
    elif isinstance(expected, float):
        assert got == pytest.approx(expected, rel=max(rtol, 1e-12), abs=atol), f"{label}: {got}, expected {expected}"
    else:
        assert type(got) is type(expected) and got == expected, f"{label}: {got!r}, expected {expected!r}"


def _to_torch(state):
    """A state dict of rushlight's with torch's tensors."""
    return walk(state, lambda v: torch.tensor(np.asarray(v.detach().numpy())) if isinstance(v, rushlight.Tensor) else v)


# -- stepping -------------------------------------------------------------------------------------------------------


class Pair:
    """The same parameters in both libraries, and a loss of them that both can compute."""

    def __init__(self, shapes, seed, wants=True):
        random = np.random.default_rng(seed)
        start = [np.asarray(random.normal(size=s), np.float32) for s in shapes]
        self.theirs = [torch.tensor(a, requires_grad=wants) for a in start]
        self.ours = [rushlight.tensor(a, requires_grad=wants) for a in start]

    def copy_of(self, other):
        """Take the values of other parameters."""
        for mine, source in zip(self.theirs, other.theirs):
            mine.data.copy_(source.detach())
        for mine, source in zip(self.ours, other.ours):
            mine.data.copy_(source.detach())


def _closure(lib, params, made, targets):
    def closure():
        made.zero_grad()
        loss = sum((((p - lib.tensor(t)) * 0.5) ** 2).sum() for p, t in zip(params, targets))
        loss.backward()
        return loss

    return closure


def _step(info, pair, made, targets, random):
    """One step of both optimizers."""
    if info.step_requires_closure:
        for lib, params, optimizer in ((torch, pair.theirs, made[0]), (rushlight, pair.ours, made[1])):
            optimizer.step(_closure(lib, params, optimizer, targets))
        return
    for p, q in zip(pair.theirs, pair.ours):
        grad = np.asarray(random.normal(size=tuple(p.shape)), np.float32)
        p.grad, q.grad = torch.tensor(grad), rushlight.tensor(grad)
    for optimizer in made:
        optimizer.step()


def _both(info, pair, options):
    return info.optim_cls(pair.theirs, **walk(options, _own)), class_of(info)(pair.ours, **moved(options))


def _own(value):
    return value.clone() if isinstance(value, torch.Tensor) else value


def class_of(info):
    """rushlight's optimizer that stands for the one a row is about."""
    return getattr(rushlight.optim, info.name)


def check_sample(info, desc, options, steps=STEPS, rtol=1e-5, atol=1e-5):
    """Fifty steps with one set of options; after half of them each library also goes on from the other's state."""
    label = f"{info.name} {desc}"
    seed = zlib.crc32(label.encode())
    shapes = _SHAPES.get(info.name, ((4, 5), ()))
    random = np.random.default_rng(seed)
    targets = [np.asarray(random.normal(size=s), np.float32) for s in shapes]
    wants = not options.get("differentiable", False)
    pair, crossed = Pair(shapes, seed, wants), Pair(shapes, seed + 1, wants)
    theirs, ours = _both(info, pair, options)
    assert repr(ours) == repr(theirs), f"{label}: printed as {ours!r}, expected {theirs!r}"
    others = None
    for step in range(steps):
        if step == steps // 2:
            others = _both(info, crossed, options)
            crossed.copy_of(pair)
            others[0].load_state_dict(_to_torch(ours.state_dict()))
            others[1].load_state_dict(theirs.state_dict())
            again = np.random.default_rng(seed + 2)
        if others:
            _step(info, crossed, others, targets, again)
            random = np.random.default_rng(seed + 2) if step == steps // 2 else random
        _step(info, pair, (theirs, ours), targets, random)
    for how, made, params in (("alone", (theirs, ours), pair), ("crossed over", others, crossed)):
        for i, (p, q) in enumerate(zip(params.theirs, params.ours)):
            where = f"{label}: {how}: parameter {i}"
            np.testing.assert_allclose(q.detach().numpy(), p.detach().numpy(), rtol, atol, err_msg=where)
            np.testing.assert_allclose(q.detach().numpy(), pair.theirs[i].detach().numpy(), rtol, atol, err_msg=where)
        _alike(f"{label}: {how}", made[1].state_dict(), made[0].state_dict(), rtol, atol)


def check_optimizer(info, steps=STEPS, **tolerance):
    """Hold one row to torch, with all its options."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for desc, options in samples(info).items():
            check_sample(info, desc, options, steps, **tolerance)


def check_compiled(info, fullgraph=True, steps=4):
    """A whole training step with each set of options as one program gives what it gives eagerly."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for desc, options in samples(info).items():
            if "&" in desc:
                continue
            shapes = _SHAPES.get(info.name, ((4, 5), ()))
            seed = zlib.crc32(f"{info.name} {desc}".encode())
            targets = [np.asarray(np.random.default_rng(seed).normal(size=s), np.float32) for s in shapes]
            ends = []
            for compiled in (False, True):
                params = Pair(shapes, seed).ours
                made = class_of(info)(params, **moved(options))
                closure = _closure(rushlight, params, made, targets)
                step = _whole(info, made, closure)
                if compiled:
                    step = rushlight.compile(step, fullgraph=fullgraph)
                losses = [float(step()) for _ in range(steps)]
                ends.append((losses, [p.detach().numpy() for p in params], _to_torch(made.state_dict())))
            eager, program = ends
            label = f"{info.name} {desc}: compiled"
            np.testing.assert_allclose(program[0], eager[0], 1e-5, 1e-5, err_msg=label)
            for a, b in zip(program[1], eager[1]):
                np.testing.assert_allclose(a, b, 1e-5, 1e-5, err_msg=label)
            _alike(label, program[2], eager[2], 1e-5, 1e-5)


def _whole(info, made, closure):
    if info.step_requires_closure:
        return lambda: made.step(closure)

    def step():
        loss = closure()
        made.step()
        return loss

    return step


# -- refusals -------------------------------------------------------------------------------------------------------


def refusals(info):
    """For each call that torch refuses: (what it is, torch's exception, rushlight's or None, the text to find)."""
    found = []
    for item in info.optim_error_inputs_func("cpu", torch.float32):
        given = item.optimizer_error_input
        params = [torch.nn.Parameter(torch.randn(2, 3))] if given.params is None else given.params
        errors = []
        for kind, move in ((info.optim_cls, lambda v: v), (class_of(info), moved)):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    both = move([params, given.kwargs])
                    made = kind(both[0], **both[1])
                    if item.error_on is OptimizerErrorEnum.STEP_ERROR:
                        made.step()
                errors.append(None)
            except Exception as error:
                errors.append(error)
        found.append((f"{info.name} {given.desc}", *errors, item.error_regex))
    return found


def check_refusals(info):
    """What torch refuses raises exceptions of the same type, with the words that the table expects."""
    for call, refused, error, words in refusals(info):
        assert refused is not None, f"{call}: torch raised nothing"
        assert error is not None, f"{call}: torch raised {refused!r}, rushlight raised nothing"
        assert type(error).__name__ == type(refused).__name__, f"{call}: {error!r} is not {refused!r}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some of the table's expressions are spelled badly
            said = not words or not re.search(words, str(refused)) or re.search(words, str(error))
        assert said, f"{call}: {error!r} says something else than {refused!r}"


__all__ = ["check_compiled", "check_optimizer", "check_refusals", "optim_db"]
