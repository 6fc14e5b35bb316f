"""Layers against what torch gave for the same calls, kept in tests/golden/operators; torch itself is not needed.

Each entry of torch's table of layers is one test: state, results, gradients of inputs and parameters, state afterwards.
"""

import pytest
from operator_goldens import LAYERS_LEFT_OUT, check_layer, manifest, names


@pytest.mark.parametrize("name", names("layers"))
def test_gives_what_torch_gave(name):
    check_layer(name)


def test_every_layer_is_recorded_or_left_out_for_a_reason():
    assert sorted([*names("layers"), *LAYERS_LEFT_OUT]) == manifest()["layers"]
    assert all(LAYERS_LEFT_OUT.values())
