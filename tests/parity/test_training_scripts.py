"""Whole training scripts in four ways: PyTorch, rushlight, rushlight with compiled steps, and with compiled models.

All give the same results and print the same, without warnings, and nothing is compiled more often than it has to be.
"""

import contextlib
import io
import re
import sys
import warnings

import numpy as np
import pytest

import rushlight

from . import _training_scripts_habits, _training_scripts_models, _training_scripts_steps  # noqa: F401
from ._training_scripts import SCRIPTS

torch = pytest.importorskip("torch")


def leaves(value, name=""):
    """The numbers, texts and arrays in a result, each with the way to it."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{name}.{key}")
    elif isinstance(value, (list, tuple)):
        for place, item in enumerate(value):
            yield from leaves(item, f"{name}[{place}]")
    elif hasattr(value, "detach"):
        value = value.detach()
        yield f"{name} {value.dtype} {tuple(value.shape)}", value.numpy()
    else:
        yield name, value


def compare(given, wanted, tolerance):
    given, wanted = dict(leaves(given)), dict(leaves(wanted))
    assert list(given) == list(wanted)
    for name, value in wanted.items():
        if isinstance(value, (str, bool)):
            assert given[name] == value, name
            continue
        scale = np.abs(value).max(initial=0)
        np.testing.assert_allclose(given[name], value, rtol=0, atol=tolerance * (scale + 0.01), err_msg=name)
        assert np.isfinite(value).all(), name


def run(name, which, *, steps=False, models=False):
    """What a script gave, what it printed, and how often each compiled thing was compiled."""
    made = []

    def compiled(there):
        def wrap(what):
            if there:
                what = which.compile(what)
                made.append(what)
            return what

        return wrap

    random, state, printed = sys.modules["random"], sys.modules["random"].getstate(), io.StringIO()
    numbers = np.random.get_state()
    try:
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            if which is torch:
                warnings.simplefilter("ignore")
            result = SCRIPTS[name][0](which, compiled(steps), compiled(models))
    finally:
        random.setstate(state)
        np.random.set_state(numbers)
    return result, printed.getvalue(), [which.compile.explain(what) for what in made]


NUMBER = re.compile(r"-?\d+\.?\d*(?:e[-+]?\d+)?")


@pytest.mark.parametrize("name", SCRIPTS)
def test_training_script(name):
    _, whole, part, tolerance = SCRIPTS[name]
    wanted, printed, _ = run(name, torch)
    for options, compiles in (({}, []), ({"steps": True}, whole), ({"models": True}, part)):
        given, shown, explained = run(name, rushlight, **options)
        compare(given, wanted, tolerance)
        assert NUMBER.sub("#", shown) == NUMBER.sub("#", printed)
        compare(list(map(float, NUMBER.findall(shown))), list(map(float, NUMBER.findall(printed))), 1e-3)
        assert [e.compiles for e in explained] == compiles, explained
        assert not any(e.eager for e in explained), explained


def test_a_difference_is_seen():
    wanted, *_ = run("mixup", rushlight)
    losses, correct, held = wanted
    compare(wanted, wanted, 1e-6)
    for other in (([*losses[:-1], losses[-1] * 1.01], correct, held), (losses, correct + 1, held), (losses, correct)):
        with pytest.raises(AssertionError):
            compare(other, wanted, 1e-4)
