"""Owns the proof that schedules give torch's learning rates, bit for bit, and exchange their state with it.

May import rushlight and torch.
"""

from __future__ import annotations

import warnings

import pytest

torch = pytest.importorskip("torch")

import rushlight  # noqa: E402
from rushlight import optim  # noqa: E402

pytestmark = pytest.mark.parity


def sequence(lib, made):
    return lib.SequentialLR(made, [lib.ConstantLR(made, 0.1, 4), lib.ExponentialLR(made, 0.9)], [5])


def three(lib, made):
    parts = [lib.LinearLR(made, 0.2, total_iters=3), lib.CosineAnnealingLR(made, 6), lib.StepLR(made, 2)]
    return lib.SequentialLR(made, parts, [3, 9])


def chain(lib, made):
    return lib.ChainedScheduler([lib.ConstantLR(made, 0.1, 4), lib.ExponentialLR(made, 0.9)])


def nested(lib, made):
    # torch warns about a chain that starts inside a sequence.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return lib.SequentialLR(made, [chain(lib, made), lib.PolynomialLR(made, 8, 2.0)], [4])


def one(name, *args, **options):
    def build(lib, made):
        return getattr(lib, name)(made, *args, **options)

    build.__name__ = "-".join([name, *map(str, options)])
    return build


TABLE = [
    one("StepLR", 3), one("StepLR", 1, gamma=0.7), one("MultiStepLR", [2, 5, 5, 11], gamma=0.3),
    one("ConstantLR"), one("ConstantLR", factor=0.7, total_iters=2), one("LinearLR"),
    one("LinearLR", start_factor=0.1, end_factor=0.3, total_iters=7), one("ExponentialLR", 0.93), one("PolynomialLR"),
    one("PolynomialLR", total_iters=12, power=0.7), one("CosineAnnealingLR", 7),
    one("CosineAnnealingLR", T_max=5, eta_min=0.01), one("CosineAnnealingLR", T_max=1),
    one("LambdaLR", lambda epoch: 0.95**epoch), one("LambdaLR", [lambda e: 1 / (e + 1), lambda e: 0.5]),
    one("MultiplicativeLR", lambda epoch: 0.95), one("CosineAnnealingWarmRestarts", 4),
    one("CosineAnnealingWarmRestarts", T_0=3, T_mult=2, eta_min=0.001),
    one("CyclicLR", 0.01, 0.1, step_size_up=3), one("CyclicLR", 0.01, 0.1, step_size_up=3, step_size_down=5),
    one("CyclicLR", 0.01, [0.1, 0.3], step_size_up=2, mode="triangular2"),
    one("CyclicLR", 0.01, 0.1, step_size_up=2, mode="exp_range", gamma=0.9),
    one("CyclicLR", 0.01, 0.1, step_size_up=2, scale_fn=lambda x: 0.5, scale_mode="iterations"),
    one("CyclicLR", 0.01, 0.1, step_size_up=2, cycle_momentum=False), one("OneCycleLR", 0.5, total_steps=20),
    one("OneCycleLR", [0.5, 0.7], epochs=5, steps_per_epoch=4, anneal_strategy="linear"),
    one("OneCycleLR", 0.5, total_steps=20, three_phase=True, pct_start=0.4, div_factor=10.0, final_div_factor=100.0),
    one("OneCycleLR", 0.5, total_steps=20, cycle_momentum=False), sequence, three, chain, nested,
]  # fmt: skip


def optimizers(name="SGD", **options):
    if name == "SGD":
        options.setdefault("momentum", 0.9)
    made = []
    for lib, kind in ((torch, torch.optim), (rushlight, optim)):
        first, second = (lib.ones(1, requires_grad=True) for _ in range(2))
        groups = [{"params": [first]}, {"params": [second], "lr": 0.3}]
        made.append(getattr(kind, name)(groups, lr=0.1, **options))
    return made


def pair(build, name="SGD"):
    theirs, ours = optimizers(name)
    return theirs, ours, build(torch.optim.lr_scheduler, theirs), build(optim.lr_scheduler, ours)


def numbers(made):
    return [{k: v for k, v in group.items() if k != "params"} for group in made.param_groups]


def plain(state):
    """A state without what differs by nature: the functions."""
    if isinstance(state, dict):
        return {k: plain(v) for k, v in state.items() if k not in ("_scale_fn_ref", "anneal_func")}
    return [plain(v) for v in state] if isinstance(state, list) else state


@pytest.mark.parametrize("build", TABLE, ids=lambda build: build.__name__)
@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_values_and_state(build, name):
    theirs, ours, their_schedule, our_schedule = pair(build, name)
    for _ in range(20):
        assert our_schedule.get_last_lr() == their_schedule.get_last_lr()
        assert numbers(ours) == numbers(theirs)
        their_state, our_state = plain(their_schedule.state_dict()), plain(our_schedule.state_dict())
        assert our_state == their_state
        assert list(our_state) == list(their_state)
        for made in (theirs, ours, their_schedule, our_schedule):
            made.step()


CLOSED = [build for build in TABLE if build.__name__.split("-")[0] not in ("OneCycleLR", "CyclicLR")][:-4]


@pytest.mark.parametrize("build", CLOSED, ids=lambda build: build.__name__)
def test_jumping_to_an_epoch(build):
    theirs, ours, their_schedule, our_schedule = pair(build)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for epoch in (3, 1, 12, 0, 5, None, None):
            their_schedule.step(epoch)
            our_schedule.step(epoch)
            assert numbers(ours) == numbers(theirs)
    if "Restarts" in build.__name__:
        for epoch in (0.5, 3.25, 7.75, 30.5):
            their_schedule.step(epoch)
            our_schedule.step(epoch)
            assert numbers(ours) == numbers(theirs)
        for schedule in (their_schedule, our_schedule):
            with pytest.raises(ValueError, match="Expected non-negative epoch, but got -1"):
                schedule.step(-1)


@pytest.mark.parametrize("build", TABLE, ids=lambda build: build.__name__)
def test_each_goes_on_from_the_others_state(build):
    theirs, ours, their_schedule, our_schedule = pair(build)
    for _ in range(6):
        for made in (theirs, ours, their_schedule, our_schedule):
            made.step()
    next_theirs, next_ours, next_their_schedule, next_our_schedule = pair(build)
    next_ours.load_state_dict(theirs.state_dict() | {"state": {}})
    next_theirs.load_state_dict(ours.state_dict() | {"state": {}})
    next_our_schedule.load_state_dict(their_schedule.state_dict())
    next_their_schedule.load_state_dict(our_schedule.state_dict())
    for _ in range(6):
        for made in (theirs, their_schedule, next_theirs, next_ours, next_their_schedule, next_our_schedule):
            made.step()
        assert numbers(next_ours) == numbers(theirs) == numbers(next_theirs)


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 1},
        {"mode": "max", "factor": 0.5, "patience": 0, "cooldown": 2},
        {"threshold_mode": "abs", "threshold": 0.5, "patience": 1, "min_lr": [0.02, 0.1]},
        {"mode": "max", "threshold_mode": "abs", "threshold": 0.1, "patience": 0, "min_lr": 0.05},
    ],
    ids=str,
)
def test_plateau(options):
    theirs, ours, their_schedule, our_schedule = pair(one("ReduceLROnPlateau", **options))
    for metric in (3.0, 2.0, 2.0, 1.9999, 1.9, 2.5, 2.6, 1.0, 1.0, 1.2, 0.9999, 0.4, 4.0, 4.0, float("nan"), 4.2):
        their_schedule.step(torch.tensor(metric))
        our_schedule.step(rushlight.tensor(metric))
        assert numbers(ours) == numbers(theirs)
        assert our_schedule.state_dict().keys() == their_schedule.state_dict().keys()
        assert our_schedule.num_bad_epochs == their_schedule.num_bad_epochs
        assert our_schedule.in_cooldown == their_schedule.in_cooldown


@pytest.mark.parametrize("build", [one("StepLR", 2), one("ExponentialLR", 0.9), one("LambdaLR", lambda e: 0.5**e)])
def test_tensor_learning_rates(build):
    results = []
    for lib, kind in ((torch, torch.optim), (rushlight, optim)):
        made = kind.SGD([lib.ones(1, requires_grad=True)], lr=lib.tensor(0.1))
        held = made.param_groups[0]["lr"]
        schedule = build(kind.lr_scheduler, made)
        seen = []
        for _ in range(6):
            made.step()
            schedule.step()
            seen.append(float(schedule.get_last_lr()[0]))
        assert made.param_groups[0]["lr"] is held
        results.append(seen)
    assert results[1] == pytest.approx(results[0], rel=1e-6)


WARNINGS = [
    ("schedule first", lambda made, schedule: schedule.step()),
    ("overridden", lambda made, schedule: (setattr(made, "step", lambda: None), schedule.step())),
    ("epoch", lambda made, schedule: (made.step(), schedule.step(3))),
    ("get_lr", lambda made, schedule: schedule.get_lr()),
    ("good order", lambda made, schedule: (made.step(), schedule.step(), schedule.step())),
]


@pytest.mark.parametrize("act", [act for _, act in WARNINGS], ids=[name for name, _ in WARNINGS])
def test_warnings_are_torchs(act):
    theirs, ours, their_schedule, our_schedule = pair(one("StepLR", 2))
    messages = []
    for made, schedule in ((theirs, their_schedule), (ours, our_schedule)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            act(made, schedule)
        messages.append([(str(w.message), w.category) for w in caught])
    assert messages[0] == messages[1]


ERRORS = [
    (lambda lib, made: lib.StepLR(3, 1), TypeError),
    (lambda lib, made: lib.ConstantLR(made, 2.0), ValueError),
    (lambda lib, made: lib.LinearLR(made, 0.0), ValueError),
    (lambda lib, made: lib.LinearLR(made, end_factor=2.0), ValueError),
    (lambda lib, made: lib.LambdaLR(made, [len]), ValueError),
    (lambda lib, made: lib.MultiplicativeLR(made, 3), TypeError),
    (lambda lib, made: lib.CosineAnnealingWarmRestarts(made, 0), ValueError),
    (lambda lib, made: lib.CosineAnnealingWarmRestarts(made, 1, T_mult=0), ValueError),
    (lambda lib, made: lib.CyclicLR(made, [0.1], 0.2), ValueError),
    (lambda lib, made: lib.CyclicLR(made, 0.1, 0.2, mode="square"), ValueError),
    (lambda lib, made: lib.OneCycleLR(made, 0.1), ValueError),
    (lambda lib, made: lib.OneCycleLR(made, 0.1, total_steps=0), ValueError),
    (lambda lib, made: lib.OneCycleLR(made, 0.1, total_steps=5, pct_start=2.0), ValueError),
    (lambda lib, made: lib.OneCycleLR(made, 0.1, total_steps=5, anneal_strategy="x"), ValueError),
    (lambda lib, made: lib.ReduceLROnPlateau(made, factor=1.0), ValueError),
    (lambda lib, made: lib.ReduceLROnPlateau(made, mode="up"), ValueError),
    (lambda lib, made: lib.ReduceLROnPlateau(made, min_lr=[0.1]), ValueError),
    (lambda lib, made: lib.SequentialLR(made, [], []), ValueError),
    (lambda lib, made: lib.SequentialLR(made, [lib.StepLR(made, 1)], [3]), ValueError),
    (lambda lib, made: lib.ChainedScheduler([]), ValueError),
    (lambda lib, made: lib.ChainedScheduler([lib.ReduceLROnPlateau(made)]), ValueError),
]


@pytest.mark.parametrize("call, error", ERRORS, ids=[str(i) for i in range(len(ERRORS))])
def test_errors_are_torchs(call, error):
    messages = []
    for kind, made in zip((torch.optim, optim), optimizers()):
        with pytest.raises(error) as caught:
            call(kind.lr_scheduler, made)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_resuming_needs_the_initial_rate():
    theirs, ours = optimizers()
    for kind, made in ((torch.optim, theirs), (optim, ours)):
        with pytest.raises(KeyError, match="param 'initial_lr' is not specified in param_groups"):
            kind.lr_scheduler.StepLR(made, 2, last_epoch=3)
        made.param_groups[0]["initial_lr"] = made.param_groups[1]["initial_lr"] = 0.4
    seen = [kind.lr_scheduler.CosineAnnealingLR(made, 5, last_epoch=3) for kind, made in
            ((torch.optim, theirs), (optim, ours))]  # fmt: skip
    assert seen[0].get_last_lr() == seen[1].get_last_lr()


def test_more_steps_than_announced():
    for kind, made in zip((torch.optim, optim), optimizers()):
        schedule = kind.lr_scheduler.OneCycleLR(made, 0.1, total_steps=2)
        for _ in range(2):
            made.step()
            schedule.step()
        with pytest.raises(ValueError, match=r"Tried to step 3 times\. The specified number of total steps is 2"):
            schedule.step()
