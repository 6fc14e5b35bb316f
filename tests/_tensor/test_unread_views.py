"""Owns the tests of views that nobody has read yet.

May import rushlight; needs no PyTorch.
"""

from __future__ import annotations

import copy
import pickle

import pytest

import rushlight as torch


def test_an_unread_view_knows_its_form_and_follows_its_base():
    x = torch.arange(12.0).reshape(3, 4)
    row, column, flat = x[1], x[:, 2], x.view(-1)
    later = flat[2:6].view(2, 2).t()
    assert row.shape == (4,) and later.shape == (2, 2) and later.stride() == (1, 2) and row.dtype is torch.float32
    x.add_(1)
    x[1, 2] = 100.0
    assert row.tolist() == [5.0, 6.0, 100.0, 8.0] and column.tolist() == [3.0, 100.0, 11.0]
    later[0, 0] = -1.0
    assert x[0, 2] == -1.0 and flat[2] == -1.0 and later.tolist() == [[-1.0, 5.0], [4.0, 6.0]]
    row.mul_(0)
    assert x[1].sum() == 0 and x.view(-1)[4:8].tolist() == [0.0] * 4


def test_unread_views_are_on_the_tape():
    x = torch.arange(6.0).requires_grad_()
    rows = (x * 2).view(2, 3)
    (rows[1] * rows[0]).sum().backward()
    assert x.grad.tolist() == [12.0, 16.0, 20.0, 0.0, 4.0, 8.0]
    y = (x * 1).view(3, 2)
    part = y[2]
    y.mul_(3)
    part.sum().backward()
    assert x.grad.tolist() == [12.0, 16.0, 20.0, 0.0, 7.0, 11.0]
    with torch.no_grad():
        assert not x[1:].requires_grad
    with torch.inference_mode():
        assert x.view(2, 3).is_inference()


def test_unread_views_copy_and_compile():
    x = torch.arange(6.0)
    view = x.view(2, 3)[1]
    assert copy.deepcopy(view).tolist() == pickle.loads(pickle.dumps(view)).tolist() == [3.0, 4.0, 5.0]
    held = x.view(3, 2)
    add = torch.compile(lambda: held[1] + x[:2], fullgraph=True)
    assert add().tolist() == [2.0, 4.0]
    x.zero_()
    assert add().tolist() == [0.0, 0.0]


@pytest.mark.parametrize("index", [2, -3, 10])
def test_rows_beyond_the_end(index):
    with pytest.raises(IndexError, match=f"index {index} is out of bounds for dimension 0 with size 2"):
        torch.zeros(2, 3)[index]
