"""The output in the pages about the tools is what the commands print; ``python tests/test_docs_tools.py`` writes it."""

import contextlib
import os
import re
import shlex
import tempfile
from pathlib import Path

import pytest
from processes import ROOT, run_code
from typer.testing import CliRunner

from rushlight.cli.main import app

PAGES = sorted([*(ROOT / "docs" / "tools").glob("*.md"), ROOT / "docs" / "untrusted-checkpoints.md"])
PAGES = [page for page in PAGES if "```console\n" in page.read_text(encoding="utf-8")]
_CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
_PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
# These depend on the page's own scripts, and on a time that orbax notes.
_SIZES = re.compile(r"(?m)^(\S+\.(?:html|orbax)  ).*$|orbax · \S+ kB")


def make_files(folder: Path) -> None:
    """The files that the examples are about."""
    blocks = _PYTHON.findall((ROOT / "docs" / "tools.md").read_text(encoding="utf-8"))
    blocks += _PYTHON.findall((ROOT / "docs" / "untrusted-checkpoints.md").read_text(encoding="utf-8"))
    run_code("\n".join(blocks), cwd=folder)


def played(block: str) -> str:
    """A block with each command's output as it is now."""
    lines, code = [], 0
    for line in block.splitlines():
        if not line.startswith("$ "):
            continue
        lines.append(line)
        if line == "$ echo $?":
            lines.append(str(code))
            continue
        program, *arguments = shlex.split(line[2:])
        assert program == "rushlight"
        done = CliRunner().invoke(app, arguments, obj=[])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        code = done.exit_code
        lines += done.output.splitlines()
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("documents")
    make_files(made)
    return made


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_the_output_is_real(page, folder, monkeypatch):
    pytest.importorskip("orbax.checkpoint")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")
    blocks = _CONSOLE.findall(page.read_text(encoding="utf-8"))
    assert blocks
    for block in blocks:
        assert _SIZES.sub(r"\1", played(block)) == _SIZES.sub(r"\1", block)


def test_every_command_has_a_page():
    commands = {command.name for command in app.registered_commands} - {"run"}
    assert commands == {page.stem for page in (ROOT / "docs" / "tools").glob("*.md")} - {"models"}


def main() -> None:
    """Write the output into the pages."""
    os.environ["COLUMNS"] = "80"
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        make_files(Path(name))
        for page in PAGES:
            text = page.read_text(encoding="utf-8")
            page.write_text(_CONSOLE.sub(lambda m: f"```console\n{played(m[1])}```", text), encoding="utf-8")


if __name__ == "__main__":
    main()
