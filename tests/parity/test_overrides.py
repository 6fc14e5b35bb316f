"""Owns comparing programs that take functions over with what torch does in them.

May import torch, as what is right, and rushlight.
"""

import warnings

import pytest

import rushlight
from rushlight import _overrides
from rushlight._tensor import overriding

from . import _override_modes  # noqa: F401  (adds to PROGRAMS)
from ._override_modules import MODULES, seen_by_a_mode
from ._override_programs import PROGRAMS

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def as_before():
    """What a program installs is taken away after it."""
    before = overriding._started
    yield
    if not before and overriding._started:
        overriding._started = False
        _overrides.uninstall()


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_see_what_they_see_in_torch(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected, found = PROGRAMS[name](torch), PROGRAMS[name](rushlight)
    if isinstance(expected, dict):
        for key in expected:
            assert found[key] == expected[key], key
    assert found == expected


# Where rushlight computes otherwise, inside a module, than torch's Python does.
_OTHERWISE = {
    "LogSigmoid": "torch's function is named log_sigmoid",
    "Threshold": "torch's function is named _threshold",
    "AdaptiveLogSoftmaxWithLoss": "clusters are masked, not picked out",
    "weight_norm": "torch._weight_norm is private",
}


@pytest.mark.parametrize("name", [name for name in MODULES if name not in _OTHERWISE])
def test_modes_see_the_functions_that_modules_call(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert seen_by_a_mode(rushlight, name) == seen_by_a_mode(torch, name)


def test_what_modules_compute_otherwise_is_listed():
    for name in _OTHERWISE:
        assert seen_by_a_mode(rushlight, name) != seen_by_a_mode(torch, name), name
