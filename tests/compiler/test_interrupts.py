"""An interrupt at any place of a compiled train step, as by Ctrl-C: no state is lost, and every step is a whole one."""

import random
import signal
import threading

import pytest

import rushlight as torch
from rushlight import nn


class Interrupt(BaseException):
    pass


def interrupt(*_):
    raise Interrupt


@pytest.mark.skipif(
    not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread(),
    reason="signals come to the main thread",
)
def test_an_interrupt_loses_no_state():
    model = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))
    optimizer = torch.optim.Adam(model.parameters())

    @torch.compile
    def step(x):
        optimizer.zero_grad()
        loss = model(x).pow(2).mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    x, draw = torch.ones(8, 16), random.Random(0)
    for _ in range(3):
        step(x)
    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(150):
            try:
                signal.setitimer(signal.ITIMER_REAL, draw.uniform(5e-5, 4e-4))
                while True:
                    step(x)
            except Interrupt:
                signal.setitimer(signal.ITIMER_REAL, 0)
            assert len({float(held["step"]) for held in optimizer.state.values()}) == 1
            assert all(p.isfinite().all() for p in model.parameters())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
