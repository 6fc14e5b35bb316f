"""Walks PyTorch's own module table: values, gradients, state, printed form, copies and refusals of every layer.

Both modes, in double precision; ``MODULE_DB_SAMPLES=4`` runs four times as many samples of each entry.
"""

import os

import pytest
from parity._module_db import check_module, check_refusals, module_db

_TIMES = int(os.environ.get("MODULE_DB_SAMPLES", "1"))
SAMPLES, COMPILED = 12 * _TIMES, 1 * _TIMES
REFUSING = [entry for entry in module_db if entry.module_error_inputs_func is not None]


@pytest.mark.parametrize("entry", module_db, ids=[e.name for e in module_db])
def test_entry(entry):
    check_module(entry, SAMPLES, COMPILED)


@pytest.mark.parametrize("entry", REFUSING, ids=[e.name for e in REFUSING])
def test_what_torch_refuses(entry):
    check_refusals(entry)
