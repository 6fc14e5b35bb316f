"""Owns the proof that averaged models and their schedule follow torch's.

May import rushlight, torch and numpy.
"""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import rushlight  # noqa: E402
from rushlight import nn, optim  # noqa: E402

pytestmark = pytest.mark.parity


def models():
    """The same parameters and buffers as a module of each library."""
    random = np.random.default_rng(0)
    weight, offset = random.normal(size=(3, 4)).astype(np.float32), random.normal(size=(4,)).astype(np.float32)
    made = []
    for lib, kind in ((torch, torch.nn), (rushlight, nn)):
        model = kind.Module()
        model.weight = kind.Parameter(lib.tensor(weight))
        model.offset = kind.Parameter(lib.tensor(offset))
        model.register_buffer("seen", lib.tensor(weight[0]))
        model.register_buffer("count", lib.tensor([7, -3]))
        made.append(model)
    return made


def change(pair, random):
    for name in ("weight", "offset", "seen"):
        value = random.normal(size=tuple(getattr(pair[0], name).shape)).astype(np.float32)
        getattr(pair[0], name).data.copy_(torch.tensor(value))
        getattr(pair[1], name)._write(rushlight.tensor(value)._array())


OPTIONS = {
    "mean": lambda kind: {},
    "ema": lambda kind: {"multi_avg_fn": kind.get_ema_multi_avg_fn(0.9)},
    "swa": lambda kind: {"multi_avg_fn": kind.get_swa_multi_avg_fn()},
    "ema-one": lambda kind: {"avg_fn": kind.get_ema_avg_fn(0.9)},
    "swa-one": lambda kind: {"avg_fn": kind.get_swa_avg_fn()},
    "own": lambda kind: {"avg_fn": lambda mean, new, count: mean * 0.5 + new * 0.25},
}


@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_averaged_model(options, use_buffers):
    pair, random = models(), np.random.default_rng(1)
    if use_buffers:
        for model in pair:
            del model.count  # the mean of integers is refused by some of torch's functions
    means = [
        kind.AveragedModel(model, use_buffers=use_buffers, **options(kind))
        for kind, model in zip((torch.optim.swa_utils, optim.swa_utils), pair)
    ]
    for _ in range(4):
        change(pair, random)
        for mean, model in zip(means, pair):
            mean.update_parameters(model)
    theirs, ours = (mean.state_dict() for mean in means)
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name].detach().numpy(), value.numpy(), 1e-6, 1e-6, err_msg=name)
    assert means[1].n_averaged.item() == 4
    assert means[1].module is not pair[1]


@pytest.mark.parametrize(
    "options", [{}, {"anneal_epochs": 3, "anneal_strategy": "linear"}, {"anneal_epochs": 0}], ids=str
)
def test_swalr(options):
    seen = []
    for lib, kind in ((torch, torch.optim), (rushlight, optim)):
        first, second = (lib.ones(1, requires_grad=True) for _ in range(2))
        made = kind.SGD([{"params": [first]}, {"params": [second], "lr": 0.3}], lr=0.1)
        schedule = kind.swa_utils.SWALR(made, [0.05, 0.5], **options)
        rates = []
        for _ in range(14):
            made.step()
            schedule.step()
            rates.append(schedule.get_last_lr())
        seen.append((rates, schedule.state_dict()))
    assert seen[0] == seen[1]


def test_errors_are_torchs():
    for kind, model in zip((torch.optim.swa_utils, optim.swa_utils), models()):
        with pytest.raises(ValueError, match=r"Invalid decay value 1\.5 provided"):
            kind.get_ema_avg_fn(1.5)
        with pytest.raises(ValueError, match="Invalid decay value -1 provided"):
            kind.get_ema_multi_avg_fn(-1)
        with pytest.raises(AssertionError, match="Only one of avg_fn and multi_avg_fn should be provided"):
            kind.AveragedModel(model, avg_fn=max, multi_avg_fn=max)
