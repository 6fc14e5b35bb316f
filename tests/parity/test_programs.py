"""Whole public programs, unmodified, under PyTorch and under rushlight: the comparison itself, and what is installed."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import compiled_steps
import program_list
import programs

PROGRAMS = [program for program in program_list.load() if not program.slow]
PACKAGES = sorted({program.package for program in PROGRAMS})


def test_names_are_unique():
    names = [program.name for program in program_list.load()]
    assert len(names) == len(set(names)) > 25


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("package", PACKAGES)
def test_package(package, tmp_path):
    if programs.version_of(package) is None:
        pytest.skip(f"{package} is not installed; docs/programs.md says what came of it")
    results = programs.run([program for program in PROGRAMS if program.package == package], tmp_path)
    wrong = {result.program.name: result.problems for result in results if result.problems}
    assert results and not wrong


def leave(folder, side, values, **facts):
    program = program_list.PROGRAMS[0]
    (folder / side).mkdir()
    shown = {
        "names": ["w"], "parameters": [["w", [2], "torch.float32"]], "printed": "Model()", "losses": [1.0, 0.5, 0.25],
        "seconds": 0.0, "torch": [side, "2"],
    }  # fmt: skip
    np.savez(folder / side / f"{program.name}.npz", **values)
    (folder / side / f"{program.name}.json").write_text(json.dumps({**shown, **facts}))
    return program


VALUES = {"initial w": np.float32([1, 2]), "output 0": np.float32([3, 4])}
NEXT = np.nextafter(np.float32([1, 2]), np.float32(9))


@pytest.mark.parametrize(
    ("values", "facts", "problem"),
    [
        (VALUES, {}, None),
        ({**VALUES, "initial w": NEXT}, {}, None),
        ({**VALUES, "initial w": np.float32([1, 2.001])}, {}, "initial w: differs by 0.001"),
        ({**VALUES, "output 0": np.float32([3, 4.01])}, {}, "output 0: differs by 0.01"),
        ({**VALUES, "output 0": np.float64([3, 4])}, {}, "output 0: float32"),
        ({"initial w": VALUES["initial w"]}, {}, "arrays differ"),
        (VALUES, {"names": ["v"]}, "names differ"),
        (VALUES, {"parameters": [["w", [2], "torch.float64"]]}, "parameters differ"),
        (VALUES, {"printed": "Other()"}, "printed form differs"),
        (VALUES, {"losses": [1.0, 0.5, 0.26]}, "losses differ"),
        (VALUES, {"losses": [1.0, 0.5, float("nan")]}, "losses differ"),
        (VALUES, {"torch": ["torch", "2"]}, "ran under"),
        (VALUES, {"error": "ValueError: no", "trace": "..."}, "rushlight: ValueError: no"),
    ],
)
def test_comparison(tmp_path, values, facts, problem):
    program = leave(tmp_path, "torch", VALUES)
    leave(tmp_path, "rushlight", values, **facts)
    result = programs.compare(program, "1", tmp_path)
    if problem is None:
        assert result.problems == []
    else:
        assert len(result.problems) == 1 and result.problems[0].startswith(problem)
    assert result.parameters == 2
    assert all(len(line) <= 80 for line in programs.table([result]).splitlines() if not line.startswith("  !"))


def test_notes_and_missing_results(tmp_path):
    program = leave(tmp_path, "torch", VALUES)
    leave(tmp_path, "rushlight", {**VALUES, "initial w": NEXT})
    assert programs.compare(program, "1", tmp_path).notes == ["1 of 1 initial values in last place"]
    (tmp_path / "rushlight" / f"{program.name}.json").unlink()
    (tmp_path / "rushlight" / f"{program.package}.log").write_text("killed\n")
    assert programs.compare(program, "1", tmp_path).problems == ["rushlight: the process ended: killed"]


def test_page_lists_every_program():
    page = programs.GUIDE.read_text()
    for program in program_list.load():
        assert f"| {program.model} |" in page


def test_a_page_keeps_the_rows_of_programs_that_were_not_run():
    text = programs.GUIDE.read_text()
    program = next(program for program in program_list.load() if not program.note)
    row = f"| {program.package} | {program.model} | {program.kind} | 7 |"
    wrong = programs.Result(program, "9.9", problems=["losses differ: a|b"], parameters=7)
    changed = programs.page([wrong], text)
    assert f"{row} differs | {programs.code_now()} |" in changed
    assert f"| {program.model} | losses differ: a b |" in changed
    again = programs.page([programs.Result(program, "9.9", parameters=7, code="2000-01-01 abc")], changed)
    assert f"{row} same | 2000-01-01 abc |" in again and "losses differ: a b" not in again
    assert len(again.splitlines()) == len(text.splitlines())
    section = text[text.index(programs.COMPILED) : text.index("## Programs")]
    assert "SwitchTransformers" in section and section in again


def test_a_compiled_step():
    program = next(program for program in program_list.load() if program.name == "torch.Sequential")
    text, well = compiled_steps.row(program, True)
    assert well and text.startswith("torch.Sequential") and "1 compiled" in text and "\n" not in text
