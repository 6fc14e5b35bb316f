"""What gives something else on every call (clocks, the system's randomness, files), caches, and context variables."""

import contextvars
import datetime
import functools
import io
import os
import random
import secrets
import time
import uuid
import warnings
from datetime import date
from datetime import datetime as moment

import numpy as np
import pytest

import rushlight as torch

in_a_cell = time.time_ns
DRAWS = {
    "urandom": lambda: os.urandom(8),
    "uuid1": lambda: uuid.uuid1().hex,
    "uuid4": lambda: uuid.uuid4().hex,
    "token": lambda: secrets.token_hex(8),
    "system": lambda: random.SystemRandom().random(),
}
CLOCKS = {
    "now": lambda: datetime.datetime.now(),
    "utc": lambda: moment.now(datetime.UTC).timestamp(),
    "today": lambda: moment.today(),
    "time": lambda: time.time(),
    "strftime": lambda: time.strftime("%c"),
    "localtime": lambda: time.localtime().tm_sec,
    "gmtime": lambda: time.gmtime(None).tm_sec,
    "clock": lambda: time.clock_gettime_ns(time.CLOCK_MONOTONIC),
    "date": lambda: date.today(),
}


@pytest.mark.parametrize("name", [*DRAWS, *CLOCKS])
def test_what_differs_from_call_to_call_runs_eagerly(name):
    ask = {**DRAWS, **CLOCKS}[name]
    run = torch.compile(lambda x: (x * 2, ask()))
    with pytest.warns(UserWarning, match="draws at random" if name in DRAWS else "reads the clock"):
        first = run(torch.ones(1))[1]
    assert (run(torch.ones(1))[1] != first) == (name in DRAWS or name in ("now", "utc", "today", "time", "clock"))
    with pytest.raises(NotImplementedError, match=r"reads the clock|draws at random"):
        torch.compile(lambda x: (x * 2, ask()), fullgraph=True)(torch.ones(1))


def test_a_clock_in_a_variable_of_the_enclosing_function():
    now = time.time_ns

    def step(x):
        return x * 2, now()

    run = torch.compile(step)
    with pytest.warns(UserWarning, match=r"time_ns\(\) reads the clock"):
        first = run(torch.ones(1))[1]
    assert run(torch.ones(1))[1] > first and step.__closure__[0].cell_contents is in_a_cell


def test_times_that_are_given_are_no_clocks():
    started = moment(2020, 1, 2)

    def step(x, at):
        assert isinstance(at, moment) and isinstance(started, date) and issubclass(moment, date)
        made = moment(2021, 1, 1, 3)
        assert type(made) is type(at) and moment.fromtimestamp(0) < made and date(2020, 1, 1) < date(2020, 1, 2)
        return x * made.hour * (at - started).days * time.gmtime(0).tm_year + float(time.strftime("%d", time.gmtime(0)))

    run = torch.compile(step, fullgraph=True)
    x, at = torch.ones(2), moment(2020, 1, 5)
    assert torch.equal(run(x, at), step(x, at)) and moment is datetime.datetime and type(moment) is type


def test_a_file_that_is_read_on():
    for compiled in (False, True):
        file = io.StringIO("1\n2\n3\n4\n")
        run = torch.compile(lambda x, f: x * float(f.readline())) if compiled else lambda x, f: x * float(f.readline())
        with pytest.warns(UserWarning, match="a file is drawn from") if compiled else warnings.catch_warnings():
            assert [run(torch.ones(1), file).item() for _ in range(4)] == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("maxsize", [None, 2])
def test_a_cache_that_is_emptied_and_filled_again(maxsize):
    scale = [2.0]

    @functools.lru_cache(maxsize)
    def cached(key):
        return scale[0]

    run = torch.compile(lambda x: x * cached(1), fullgraph=True)
    seen = []
    for n in range(6):
        seen.append(run(torch.ones(())).item())
        if n % 2:
            scale[0] = float(n)
            cached.cache_clear()
            for key in (3, 4, 1):
                cached(key)
            scale[0] = 77.0
    assert seen == [2.0, 2.0, 1.0, 1.0, 3.0, 3.0]
    assert cached.cache_info().currsize >= 2


scale = contextvars.ContextVar("scale", default=2.0)
unset = contextvars.ContextVar("unset")


def test_context_variables_are_followed():
    run = torch.compile(lambda x: x * scale.get() + unset.get(0.0), fullgraph=True)

    def calls():
        seen = []
        for n in range(4):
            seen.append(run(torch.ones(())).item())
            scale.set(n + 3.0)
            unset.set(n / 2)
        return seen

    assert contextvars.copy_context().run(calls) == [2.0, 3.0, 4.5, 6.0]
    assert run(torch.ones(())).item() == 2.0


def test_a_context_that_is_held():
    context = contextvars.copy_context()
    run = torch.compile(lambda x: x * context.get(scale, 1.0), fullgraph=True)
    seen = []
    for n in range(4):
        seen.append(run(torch.ones(())).item())
        context.run(scale.set, n + 3.0)
    assert seen == [1.0, 3.0, 4.0, 5.0]


def test_context_variables_that_are_set_inside():
    def step(x):
        scale.set(scale.get() + 1)
        unset.set(unset.get(0) + 1)
        return x * scale.get() * unset.get()

    def calls(run):
        return [run(torch.ones(())).item() for _ in range(4)]

    with pytest.warns(UserWarning, match="context variable '(scale|unset)' is set"):
        assert contextvars.copy_context().run(calls, torch.compile(step)) == [3.0, 8.0, 15.0, 24.0]


def test_context_variables_that_are_set_and_put_back():
    def step(x):
        token = scale.set(5.0)
        with np.errstate(all="ignore"):
            out = x * scale.get()
        scale.reset(token)
        return out * scale.get()

    run = torch.compile(step, fullgraph=True)
    assert [run(torch.ones(())).item() for _ in range(3)] == [10.0] * 3
    assert torch.compile.explain(run).compiles == 1
