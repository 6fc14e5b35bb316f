"""Owns running Python in a fresh process for tests that need one; imports nothing of rushlight."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run_python(*arguments: str, cwd: Path | None = None, stdin: str = "", **variables: str):
    """Run the interpreter of the tests with this checkout importable; returns the finished process."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100", **variables}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, input=stdin, env=env, capture_output=True, text=True, timeout=300
    )


def run_code(code: str, cwd: Path | None = None) -> str:
    """Run a piece of code with warnings as errors; returns what it printed, and fails where the code fails."""
    done = run_python("-W", "error", "-c", textwrap.dedent(code), cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rushlight(*arguments: str, cwd: Path | None = None, stdin: str = ""):
    """Run the ``rushlight`` command; returns the finished process."""
    return run_python("-m", "rushlight", *arguments, cwd=cwd, stdin=stdin)
