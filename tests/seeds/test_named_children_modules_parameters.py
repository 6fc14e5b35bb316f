"""Owns the tests of the document on named_children, named_modules and named_parameters of ResNet-18.

May import rushlight; needs neither PyTorch nor torchvision.
"""

from __future__ import annotations

import importlib.util
import types
from pathlib import Path

import pytest
from processes import rushlight

from rushlight.models import resnet18

PRINTED = Path(__file__).parent / "printed"

# The document's three programs, one after the other, as a user of torchvision has them.
PROGRAM = """
from torchvision.models import resnet18

net = resnet18()
for name, child in net.named_children():
    print(name.ljust(10), '-->', type(child))
print('=' * 5)
for name, module in net.named_modules():
    print(name.ljust(15), '-->', type(module))
print('=' * 5)
for name, parameter in net.named_parameters():
    print(name.ljust(25), '-->', parameter.shape)
"""


def printed(which: str) -> list[str]:
    return (PRINTED / f"resnet18_{which}.txt").read_text().splitlines()


def in_torchs_words(value) -> str:
    return str(value).replace("rushlight.models", "torchvision.models").replace("rushlight.", "torch.")


@pytest.fixture(scope="module")
def net():
    return resnet18()


def test_the_document_prints_10_68_and_62_lines():
    assert [len(printed(which)) for which in ("named_children", "named_modules", "named_parameters")] == [10, 68, 62]


def test_named_children(net):
    lines = [f"{name.ljust(10)} --> {in_torchs_words(type(child))}" for name, child in net.named_children()]
    assert lines == printed("named_children")


def test_named_modules(net):
    lines = [f"{name.ljust(15)} --> {in_torchs_words(type(module))}" for name, module in net.named_modules()]
    assert lines == printed("named_modules")
    assert next(net.named_modules()) == ("", net)


def test_named_parameters(net):
    lines = [f"{name.ljust(25)} --> {parameter.shape}" for name, parameter in net.named_parameters()]
    assert lines == printed("named_parameters")


def test_all_three_are_generators(net):
    for walk in (net.named_children(), net.named_modules(), net.named_parameters()):
        assert isinstance(walk, types.GeneratorType)


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is not None, reason="the alias leaves torchvision alone")
def test_the_programs_as_they_are(tmp_path):
    (tmp_path / "walk.py").write_text(PROGRAM)
    done = rushlight("run", "walk.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    parts = [part.splitlines() for part in done.stdout.split("=====\n")]
    assert parts == [printed("named_children"), printed("named_modules"), printed("named_parameters")]
