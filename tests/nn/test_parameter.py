"""Owns the tests of ``Parameter`` and ``Buffer``, and of their forms that have no shape yet.

May import rushlight; needs no PyTorch.
"""

from __future__ import annotations

import copy
import pickle

import pytest

import rushlight as torch
from rushlight import nn


def test_a_parameter_shares_what_it_is_made_of():
    data = torch.arange(3.0)
    p = nn.Parameter(data)
    data[0] = 9
    assert p.tolist() == [9.0, 1.0, 2.0]
    p.data[1] = 7
    assert data.tolist() == [9.0, 7.0, 2.0]


def test_what_it_is():
    p = nn.Parameter(torch.ones(2))
    assert type(p) is nn.Parameter and isinstance(p, torch.Tensor) and p.is_leaf and p.requires_grad
    assert type(p.data) is torch.Tensor and type(p.detach()) is torch.Tensor and type(p * 1) is torch.Tensor
    assert not isinstance(p.data, nn.Parameter) and nn.parameter.Parameter is nn.Parameter
    assert str(type(p)) == "<class 'rushlight.nn.parameter.Parameter'>"
    assert not nn.Parameter(torch.ones(1), requires_grad=False).requires_grad
    assert nn.Parameter().shape == (0,)


def test_printed_form():
    assert repr(nn.Parameter(torch.zeros(2))) == "Parameter containing:\ntensor([0., 0.], requires_grad=True)"
    assert repr(nn.Parameter(torch.zeros(1), False)) == "Parameter containing:\ntensor([0.])"
    assert repr(nn.Buffer(torch.zeros(1))) == "tensor([0.])"


def test_refusals():
    with pytest.raises(RuntimeError, match="Only Tensors of floating point and complex dtype can require gradients"):
        nn.Parameter(torch.tensor([1, 2]))
    assert nn.Parameter(torch.tensor([1, 2]), requires_grad=False).dtype is torch.int64
    with pytest.raises(AttributeError, match="'list' object has no attribute 'detach'"):
        nn.Parameter([1.0])


def test_a_tensor_class_of_the_users_own_stays_what_it_is():
    class Mine(torch.Tensor):
        pass

    p = nn.Parameter(Mine._of(torch.ones(2)._array()))
    assert type(p) is Mine and isinstance(p, nn.Parameter) and p.requires_grad
    m = nn.Module()
    m.p = p
    assert list(m._parameters) == ["p"]


def test_a_buffer_is_a_tensor_with_a_mark():
    b = nn.Buffer(torch.ones(2), persistent=False)
    assert type(b) is torch.Tensor and isinstance(b, nn.Buffer) and not b.persistent and not b.requires_grad
    assert not isinstance(torch.ones(2), nn.Buffer) and not isinstance(nn.Parameter(), nn.Buffer)


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, lambda p: pickle.loads(pickle.dumps(p))])
def test_copies_are_parameters(copied):
    p = nn.Parameter(torch.arange(2.0), requires_grad=False)
    q = copied(p)
    assert type(q) is nn.Parameter and q is not p and not q.requires_grad and q.tolist() == [0.0, 1.0]


def test_a_deep_copy_has_its_own_contents_and_no_gradient():
    p = nn.Parameter(torch.ones(2))
    p.sum().backward()
    q = copy.deepcopy(p)
    with torch.no_grad():
        q[0] = 5
    assert p.tolist() == [1.0, 1.0] and q.grad is None and q.requires_grad


def test_without_a_shape_yet():
    u = nn.UninitializedParameter()
    assert nn.parameter.is_lazy(u) and isinstance(u, nn.Parameter) and repr(u) == "<UninitializedParameter>"
    with pytest.raises(RuntimeError, match="Can't access the shape of an uninitialized parameter"):
        _ = u.shape
    with pytest.raises(RuntimeError, match="Can't share memory on an uninitialized parameter"):
        u.share_memory_()
    assert nn.parameter.is_lazy(copy.deepcopy(u))
    u.materialize((2, 3), dtype=torch.float64)
    assert type(u) is nn.Parameter and u.shape == (2, 3) and u.dtype is torch.float64 and u.requires_grad
    b = nn.UninitializedBuffer()
    assert nn.parameter.is_lazy(b) and isinstance(b, nn.Buffer)
    b.materialize((1,))
    assert type(b) is torch.Tensor and not nn.parameter.is_lazy(b)
