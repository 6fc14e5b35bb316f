"""Operators against what torch gave for the same calls, kept in tests/golden/operators; torch itself is not needed.

Each entry of torch's table of operators is one test: values, dtypes, shapes, gradients. What is left out stands in
``tests/operator_goldens.py`` with its reason.
"""

import pytest
from operator_goldens import FOLDER, LEFT_OUT, VERSION, check_operator, checksum, manifest, names, record

RENEW = "renew the files: python scripts/make_operator_goldens.py"
ENTRIES = [(file, name) for file in manifest()["files"] if file != "layers.npz" for name in names(file[:-4])]


@pytest.mark.parametrize(("file", "name"), ENTRIES, ids=[name for _, name in ENTRIES])
def test_gives_what_torch_gave(file, name):
    check_operator(file[:-4], name)


def test_files_are_those_the_script_wrote():
    held = manifest()
    assert held["version"] == VERSION, RENEW
    assert held["torch"] == "2.13.0"
    found = {path.name: [*checksum(path), len(names(path.stem))] for path in FOLDER.glob("*.npz")}
    assert found == held["files"], RENEW


def test_every_entry_is_recorded_or_left_out_for_a_reason():
    recorded = [name for _, name in ENTRIES]
    assert len(set(recorded)) == len(recorded)
    assert sorted([*recorded, *LEFT_OUT]) == manifest()["operators"], RENEW
    assert all(LEFT_OUT.values())


def test_most_samples_hold_a_gradient():
    samples = [sample for file, name in ENTRIES for sample in record(file[:-4], name)["samples"]]
    assert sum(any(g is not None for g in sample["grads"]) for sample in samples) > len(samples) / 2


def test_files_stay_small():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 2_000_000
