"""Walks PyTorch's own operator database inside ``rushlight.compile``: the same results and gradients as outside.

Entries whose results depend on values in their shape or in Python run eagerly there, with a warning; ``EAGER`` names
them.
"""

import os

import pytest
from parity._compiled_rows import Eager, check_compiled, check_out
from parity._op_db import name
from parity.test_op_db import OFFERED, OPTIONS

_COUNT = "the number of elements depends on values"
_PYTHON = "the result is a Python value"
_PLACES = "the sizes of the parts are values"
EAGER = {
    "allclose": _PYTHON,
    "equal": _PYTHON,
    "masked_select": _COUNT,
    "unique": _COUNT,
    "unique_consecutive": _COUNT,
    "bincount": _COUNT,
    "nonzero": _COUNT,
    "argwhere": _COUNT,
    "nn.functional.one_hot": "the number of classes is read from the values, where it is not given",
    "tensor_split": _PLACES,
    "linspace/tensor_overload": "ends are read as numbers",
    "logspace/tensor_overload": "ends are read as numbers",
    "histogram": "the range is read from the values",
    "histogramdd": "the range is read from the values",
}
SAMPLES = int(os.environ.get("OP_DB_SAMPLES", "1"))
_KEPT = ("values", "tol", "skip")


def _options(entry):
    return {k: v for k, v in OPTIONS.get(name(entry), {}).items() if k in _KEPT}


def out_options(entry):
    return {k: v for k, v in _options(entry).items() if k != "tol"}


@pytest.mark.parametrize("entry", OFFERED, ids=[name(e) for e in OFFERED])
def test_entry(entry):
    if name(entry) in EAGER:
        with pytest.raises(Eager):
            check_compiled(entry, SAMPLES, **_options(entry))
    else:
        check_compiled(entry, SAMPLES, **_options(entry))


WITH_OUT = [entry for entry in OFFERED if entry.supports_out]


@pytest.mark.parametrize("entry", WITH_OUT, ids=[name(e) for e in WITH_OUT])
def test_out(entry):
    """Results go to the tensors given as ``out=``, of whatever size they were."""
    check_out(entry, **out_options(entry))


def test_few_entries_run_eagerly():
    assert set(EAGER) <= {name(entry) for entry in OFFERED}
    assert len(EAGER) <= 20
