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
