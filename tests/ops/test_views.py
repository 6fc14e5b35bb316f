"""Views share their base's storage: writing to either shows in the other, and strides are torch's."""

import numpy as np
import pytest

import rushlight as torch

VIEWS = [
    ("view", lambda x: x.view(4, 3), (4, 3), (3, 1), 0),
    ("reshape", lambda x: x.reshape(-1), (12,), (1,), 0),
    ("t", lambda x: x.t(), (4, 3), (1, 4), 0),
    ("permute", lambda x: x.view(3, 2, 2).permute(2, 0, 1), (2, 3, 2), (1, 4, 2), 0),
    ("row", lambda x: x[1], (4,), (1,), 4),
    ("column", lambda x: x[:, 2], (3,), (4,), 2),
    ("every other", lambda x: x[::2, 1::2], (2, 2), (8, 2), 1),
    ("narrow", lambda x: x.narrow(1, 1, 2), (3, 2), (4, 1), 1),
    ("select", lambda x: x.select(0, 2), (4,), (1,), 8),
    ("unsqueeze", lambda x: x.unsqueeze(1), (3, 1, 4), (4, 4, 1), 0),
    ("squeeze", lambda x: x[:1].squeeze(0), (4,), (1,), 0),
    ("diagonal", lambda x: x.diagonal(1), (3,), (5,), 1),
    ("unfold", lambda x: x[0].unfold(0, 2, 2), (2, 2), (2, 1), 0),
    ("chunk", lambda x: x.chunk(2, 1)[1], (3, 2), (4, 1), 2),
    ("split", lambda x: x.split(2)[1], (1, 4), (4, 1), 8),
    ("unbind", lambda x: x.unbind(1)[3], (3,), (4,), 3),
    ("as_strided", lambda x: x.as_strided((2, 2), (5, 1), 1), (2, 2), (5, 1), 1),
    ("detach", lambda x: x.detach(), (3, 4), (4, 1), 0),
    ("view of a view", lambda x: x[1:].t()[1:3], (2, 2), (1, 4), 5),
]


@pytest.mark.parametrize("name, make, shape, stride, offset", VIEWS, ids=[v[0] for v in VIEWS])
def test_a_view_shows_and_writes_its_base(name, make, shape, stride, offset):
    base = torch.arange(12.0).view(3, 4)
    view = make(base)
    assert (tuple(view.shape), tuple(view.stride()), view.storage_offset()) == (shape, stride, offset)
    before = view.tolist()
    base += 100
    assert view.tolist() == (torch.tensor(before) + 100).tolist()
    # Every element goes exactly to its place: as if memory were written by strides.
    expected = base.numpy().reshape(-1)
    places = np.array([offset + np.dot(index, stride) for index in np.ndindex(*shape)])
    values = -1.0 - np.arange(len(places))
    expected[places] = values
    view.copy_(torch.from_numpy(values).float().view(shape))
    assert base.view(-1).tolist() == expected.tolist()
    assert view.untyped_storage() == base.untyped_storage()


def test_data_and_detach_write_through_without_history():
    w = torch.ones(2, requires_grad=True)
    w.data[0] = 5
    assert w.tolist() == [5, 1]
    assert w.is_leaf


def test_expand_repeats_without_copying_and_refuses_writing():
    x = torch.tensor([[1.0], [2.0]])
    wide = x.expand(2, 3)
    assert wide.stride() == (1, 0)
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor refers to a single memory"):
        wide.add_(1)


def test_view_refuses_what_needs_a_copy():
    x = torch.arange(6).view(2, 3).t()
    with pytest.raises(RuntimeError, match="view size is not compatible with input tensor's size and stride"):
        x.view(6)
    assert x.reshape(6).tolist() == [0, 3, 1, 4, 2, 5]
    assert x.contiguous().view(6).tolist() == [0, 3, 1, 4, 2, 5]


def test_gradients_flow_through_views_and_what_is_written_to_them():
    x = torch.ones(2, 3, requires_grad=True)
    y = x * 2
    y[0] *= 3
    y.t()[2].zero_()
    (y * torch.arange(6.0).view(2, 3)).sum().backward()
    assert x.grad.tolist() == [[0, 6, 0], [6, 8, 0]]


def test_complex_numbers_as_pairs_share_memory():
    z = torch.tensor([1 + 2j, 3 - 1j])
    torch.view_as_real(z)[0, 1] = 7
    z.real[1] = 0
    assert z.tolist() == [1 + 7j, -1j]


def test_copies_of_views_stand_alone():
    x = torch.arange(4)
    y = torch.view_copy(x, (2, 2))
    y[0, 0] = 9
    assert x.tolist() == [0, 1, 2, 3]
    assert torch.t_copy(y).tolist() == [[9, 2], [1, 3]]
