"""Counts PyTorch's public names that rushlight has: all of the layers', optimizers' and initial values', most others."""

import importlib

import pytest

import rushlight

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
    assert len(closed) < 10
    assert len(names.used(table)) > 150


def test_names_that_do_not_exist_are_missed():
    assert not names.reaches("torch.nn.Conv9d")
    assert not names.reaches("torch.nothing.here")
    assert names.reaches("torch.nn.functional.relu")
    assert "relu" in names.names("torch.nn.functional")
    assert "math" not in names.names("torch.nn.init")


def in_torch(name):
    """Whether PyTorch has a name in use; like ``reaches`` for rushlight."""
    path = name.split(".")[1:]
    for cut in range(len(path), -1, -1):
        try:
            holder = importlib.import_module(".".join(["torch", *path[:cut]]))
            for part in path[cut:]:
                holder = getattr(holder, part)
        except (ImportError, AttributeError, RuntimeError, TypeError):
            continue
        return True
    return False


def test_what_torch_lacks_itself():
    assert [name for name in names.NOT_IN_TORCH if in_torch(name)] == []
    assert in_torch("torch.nn.functional.relu")
    listed = {name for name, _ in names.used("torch")}
    assert set(names.NOT_IN_TORCH) <= listed


@pytest.mark.parametrize("name", [f"{space}.{one}" for space, all_ in names.REFUSED.items() for one in all_])
def test_what_is_refused(name):
    """The name is there; what it gives raises an error that says what to use instead."""
    found = rushlight
    for part in name.split(".")[1:]:
        found = getattr(found, part)
    count = 3 if "quantized" in name else 2 if "qnms" in name else 7 if "qroi" in name else "reset" not in name
    with pytest.raises(NotImplementedError, match=r"not supported by rushlight\. \S"):
        found(*[rushlight.ones(1)] * count)
