"""Importing rushlight computes nothing: XLA starts with the first tensor, so that processes may fork before."""

import subprocess
import sys

import pytest

CHECK = """
import {module}
from jax._src import xla_bridge
assert not xla_bridge.backends_are_initialized(), "importing {module} started XLA"
"""


@pytest.mark.parametrize("module", ["rushlight", "rushlight.compiler", "rushlight.utils.data._utils.worker"])
def test_importing_does_not_start_xla(module):
    done = subprocess.run(
        [sys.executable, "-c", CHECK.format(module=module)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_program_that_logs_hears_nothing_of_missing_accelerators():
    code = "import logging; logging.basicConfig(level=logging.INFO); import rushlight; rushlight.ones(2)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "backend" not in done.stderr, done.stderr
