"""Counts PyTorch's public names that rushlight has: all of the layers', optimizers' and initial values', most others."""

import pytest

pytest.importorskip("torch")

from parity import _public_names as names


@pytest.mark.parametrize("space", names.SPACES)
def test_share(space):
    count, lacking = names.missing(space)
    in_scope = [name for name in lacking if names.reason(f"{space}.{name}") is None]
    assert count > 15
    assert 1 - len(in_scope) / count >= names.SPACES[space], in_scope


@pytest.mark.parametrize("table", ["torch", "tensor"])
def test_names_in_use(table):
    """What programs use is there, or out of scope for a reason."""
    lacking, closed = names.unused(table)
    assert lacking == []
    assert len(closed) < 120
    assert len(names.used(table)) > 150


def test_names_that_do_not_exist_are_missed():
    assert not names.reaches("torch.nn.Conv9d")
    assert not names.reaches("torch.nothing.here")
    assert names.reaches("torch.nn.functional.relu")
    assert "relu" in names.names("torch.nn.functional")
    assert "math" not in names.names("torch.nn.init")
