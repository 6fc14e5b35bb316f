"""The project's own scripts: that they stop at the first failure, and run what the README prints."""

import os
import shutil
import subprocess

import pytest
from processes import ROOT

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="the scripts need bash")


@pytest.fixture
def checkout(tmp_path):
    """A folder with the scripts and a bin/ of commands that only write down that they were called."""
    for name in ("scripts/check.sh", ".ci/run"):
        (tmp_path / name).parent.mkdir()
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    for name in ("python3", "ruff", "pyright", "lint-imports"):
        command(tmp_path, name, 0)
    return tmp_path


def command(checkout, name, status):
    body = f'#!/bin/sh\ncase "$1" in -c) echo {checkout}/bin; exit 0;; esac\necho "{name} $*" >> {checkout}/calls\n'
    path = checkout / "bin" / name
    path.write_text(f"{body}exit {status}\n")
    path.chmod(0o755)


def run(checkout, script):
    env = {**os.environ, "PATH": f"{checkout}/bin:{os.environ['PATH']}"}
    env.pop("PYTHON", None)
    done = subprocess.run(["bash", str(checkout / script)], env=env, capture_output=True, text=True, timeout=60)
    return done, (checkout / "calls").read_text().splitlines()


def test_check_runs_every_step(checkout):
    done, calls = run(checkout, "scripts/check.sh")
    assert done.returncode == 0 and "all checks passed" in done.stdout
    assert [call.rsplit("/", 1)[-1] for call in calls] == [
        "ruff check .",
        "ruff format --check .",
        "python3",
        "make_stubs.py --check",
        "lint-imports ",
        "python3 -m pytest -n 2",
        "python3 -m pytest --doctest-modules rushlight",
    ]


@pytest.mark.parametrize(("broken", "reached"), [("ruff", 1), ("pyright", 3), ("python3", 4), ("lint-imports", 5)])
def test_check_stops_at_the_first_failure(checkout, broken, reached):
    command(checkout, broken, 3)
    done, calls = run(checkout, "scripts/check.sh")
    assert done.returncode == 1 and "FAILED" in done.stderr
    assert len(calls) == reached


def test_readme_commands_are_the_two_promised():
    text = (ROOT / "README.md").read_text()
    block = text.split("```sh\n", 1)[1].split("```", 1)[0]
    assert block.splitlines() == ["pip install .", "rushlight run examples/digits.py"]


def test_only_one_version_of_torch_is_ever_installed():
    lines = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if "pip install torch" in line]
    assert lines == ["pip install torch==2.13.0"]
