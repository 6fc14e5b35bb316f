"""Owns the tests of what treescope shows of modules; skipped where it is not installed."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import rushlight as torch
from rushlight import nn

treescope = pytest.importorskip("treescope")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 40), nn.BatchNorm1d(40))
        self.scale = nn.Parameter(torch.tensor([2.0, 4.0]), requires_grad=False)
        self.missing = None
        self.register_parameter("none", None)


def text(value) -> str:
    return treescope.render_to_text(value)


def test_a_module_shows_its_settings_tensors_and_children():
    shown = text(Net())
    assert "Net(" in shown and "Sequential(" in shown and "in_features=3" in shown and "momentum=0.1" in shown
    assert "Parameter torch.float32[40, 3]" in shown and "Tensor torch.int64[]" in shown
    assert "Parameter torch.float32[2] frozen ≈3 ±1 [≥2, ≤4]" in shown
    assert "missing=None" in shown and "none=None" in shown and "_parameters" not in shown


def test_tensors_of_the_meta_device_and_nan():
    with torch.device("meta"):
        layer = nn.Linear(2, 3)
    assert "Parameter torch.float32[3, 2] on meta" in text(layer)
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.bias[0] = float("nan")
    assert "nan:1" in text(layer)


def test_notebooks_get_treescope_html():
    net = Net()
    shown = net._repr_html_()
    assert "<iframe" not in shown and "treescope" in shown
    assert re.search(r"in_features", treescope.render_to_html(net, compressed=False))
    assert treescope.render_to_html(net, compressed=False).count("momentum") >= 1
    outer = treescope.render_to_html(nn.ReLU(), compressed=False)  # which shows the page below its own tree
    assert "srcdoc" in outer


def test_values_can_be_drawn():
    with treescope.active_autovisualizer.set_scoped(treescope.ArrayAutovisualizer()):
        assert "treescope" in treescope.render_to_html(Net())


def test_it_is_not_imported_before_it_is_needed():
    code = "import sys, rushlight, rushlight.inspect.view; assert 'treescope' not in sys.modules"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
