"""Importing rushlight computes nothing: XLA starts with the first tensor, so that processes may fork before."""

import pickle
import subprocess
import sys

import pytest

import rushlight

CHECK = """
import {module}
from jax._src import xla_bridge
assert not xla_bridge.backends_are_initialized(), "importing {module} started XLA"
"""


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize("module", ["rushlight", "rushlight.compiler", "rushlight.utils.data._utils.worker"])
def test_importing_does_not_start_xla(module):
    run(CHECK.format(module=module))


def test_a_program_that_logs_hears_nothing_of_missing_accelerators():
    code = "import logging; logging.basicConfig(level=logging.INFO); import rushlight; rushlight.ones(2)"
    assert "backend" not in run(code)


LATER = """
import sys, rushlight
held = set(sys.modules)
for part in (
    "ao", "checkpoint", "compiler", "cuda", "distributed", "distributions", "fx", "inspect", "jit", "models", "nn",
    "onnx", "optim", "signal", "testing", "utils",
):
    assert "rushlight." + part not in held, part
assert "optax" not in held and "torch" not in held
assert rushlight.load is rushlight.checkpoint.load and rushlight.save is rushlight.checkpoint.save
import rushlight.nn.utils.parametrize
from rushlight import fx
"""


def test_parts_load_when_they_are_used():
    run(LATER)


@pytest.mark.parametrize("before", ["enable", "disable"])
def test_garbage_is_collected_after_importing_as_it_was_before(before):
    held = f"import gc; gc.{before}(); held = gc.isenabled()"
    run(f"{held}; import rushlight; assert gc.isenabled() == held")
    failed = (
        "try:\n    import rushlight\nexcept ImportError:\n    assert gc.isenabled() == held\nelse:\n    assert False"
    )
    run(f"{held}; import sys; sys.modules['jax'] = None\n{failed}")


def test_what_dir_tells_is_there():
    assert [name for name in dir(rushlight) if not hasattr(rushlight, name)] == []
    assert {"load", "save", "compile", "nn", "optim", "distributions", "Tensor"} <= set(dir(rushlight))
    assert pickle.loads(pickle.dumps([rushlight.load, rushlight.save])) == [rushlight.load, rushlight.save]
