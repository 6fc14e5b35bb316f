"""The digits example, run by PyTorch and by rushlight: same weights and data order at the start, same training."""

import json
import os
import subprocess
import sys

import pytest
from processes import ROOT

torch = pytest.importorskip("torch")

DIGITS = ROOT / "examples" / "digits.py"
EPOCHS = 2


def train(folder, name, *command):
    """Run the example for two epochs; returns the initial weights, the steps, the output and the saved file."""
    initial, steps, out = (folder / f"{name}-{part}" for part in ("initial.pth", "steps.jsonl", "final.pth"))
    done = subprocess.run(
        [sys.executable, *command, str(DIGITS), "--epochs", str(EPOCHS), "--seed", "3", "--out", str(out)]
        + ["--save-initial", str(initial), "--steps-log", str(steps)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    return initial, [json.loads(line) for line in steps.read_text().splitlines()], done.stdout, out


def test_the_script_is_ordinary_pytorch():
    assert "rushlight" not in DIGITS.read_text()


def initial_weights_are_the_same_bits(runs):
    (reference, *_), (ours, *_) = runs
    reference, ours = torch.load(reference, weights_only=True), torch.load(ours, weights_only=True)
    assert list(reference) == list(ours)
    for name, value in reference.items():
        assert value.dtype == ours[name].dtype and torch.equal(value, ours[name]), name


def data_arrives_in_the_same_order(runs):
    (_, reference, _, _), (_, ours, _, _) = runs
    assert len(reference) == len(ours) == EPOCHS * 23
    assert [step["labels"] for step in reference] == [step["labels"] for step in ours]


def loss_curves_agree(runs):
    (_, reference, _, _), (_, ours, _, _) = runs
    for number in range(20):
        assert ours[number]["loss"] == pytest.approx(reference[number]["loss"], abs=1e-3), number


def torch_reads_the_weights_and_gives_the_same_logits(runs, tmp_path):
    """Both libraries load the file that rushlight wrote and give the same logits in evaluation mode."""
    final = runs[1][3]
    code = """
import runpy, sys, json
import torch
example = runpy.run_path(sys.argv[1])
model = example["DigitNet"]()
model.load_state_dict(torch.load(sys.argv[2], weights_only=True))
model.eval()
images, labels = example["load_digits"]()
with torch.no_grad():
    print(json.dumps(model(images[:64]).tolist()))
"""
    program = tmp_path / "logits.py"
    program.write_text(code)
    logits = []
    for command in ([], ["-m", "rushlight", "run"]):
        done = subprocess.run(
            [sys.executable, *command, str(program), str(DIGITS), str(final)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        logits.append(torch.tensor(json.loads(done.stdout)))
    assert logits[0].shape == (64, 10)
    torch.testing.assert_close(logits[1], logits[0], atol=1e-4, rtol=1e-4)
    assert logits[0].abs().max() > 1, "logits that are all near zero would agree whatever the weights"


def test_both_libraries_train_alike(tmp_path):
    """One test, because the two runs that it compares are what takes the time."""
    runs = train(tmp_path, "torch"), train(tmp_path, "rushlight", "-m", "rushlight", "run")
    initial_weights_are_the_same_bits(runs)
    data_arrives_in_the_same_order(runs)
    loss_curves_agree(runs)
    torch_reads_the_weights_and_gives_the_same_logits(runs, tmp_path)
