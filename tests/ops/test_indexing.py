"""tensor[index], reading and writing, with numpy as the measure."""

import numpy as np
import pytest

import rushlight as torch

HOST = np.arange(24.0).reshape(2, 3, 4)
INDICES = [
    1, -1, slice(1, None), slice(None, None, 2), Ellipsis, None, (0, 1, 2), (slice(None), 1), (Ellipsis, -1),
    (None, 1, None, slice(0, 2)), [1, 0], ([0, 1], [2, 0]), (slice(None), [0, 2]), ([0, 1], slice(None), [1, 3]),
    (0, [[0, 1], [2, 0]]), HOST > 11, (slice(None), np.array([True, False, True])), (1, HOST[1] > 15),
    (np.array([1, 0]), Ellipsis, np.array([2, 3])), (slice(None), np.int64(2)),
]  # fmt: skip


def _plain(index):
    """The index with arrays as tensors."""
    if isinstance(index, tuple):
        return tuple(_plain(i) for i in index)
    return torch.from_numpy(index) if isinstance(index, np.ndarray) else index


@pytest.mark.parametrize("index", INDICES, ids=[str(i).replace("\n", "")[:40] for i in range(len(INDICES))])
def test_reading_and_writing(index):
    x = torch.from_numpy(HOST)
    assert np.array_equal(x[_plain(index)].numpy(), HOST[index])
    changed, host = x.clone(), HOST.copy()
    changed[_plain(index)] = -1.0
    host[index] = -1
    assert np.array_equal(changed.numpy(), host)
    changed[_plain(index)] += 3.0
    host[index] += 3
    assert np.array_equal(changed.numpy(), host)


def test_writing_broadcasts():
    x = torch.zeros(2, 3)
    x[:, 1:] = torch.tensor([[1.0], [2.0]])
    x[torch.tensor([0]), torch.tensor([0])] = torch.tensor(5.0)
    assert x.tolist() == [[5, 1, 1], [0, 2, 2]]


@pytest.mark.parametrize(
    "index, error, text",
    [
        (2, IndexError, "index 2 is out of bounds for dimension 0 with size 2"),
        ((0, -4), IndexError, "index -4 is out of bounds for dimension 1 with size 3"),
        ((0, 0, 0, 0), IndexError, "too many indices for tensor of dimension 3"),
        ([0, 5], IndexError, "index 5 is out of bounds for dimension 0 with size 2"),
        (1.5, IndexError, "only integers, slices"),
        (slice(None, None, -1), ValueError, "step must be greater than zero"),
        ((Ellipsis, Ellipsis), IndexError, "an index can only have a single ellipsis"),
    ],
)
def test_what_cannot_index(index, error, text):
    with pytest.raises(error, match=text.replace("(", r"\(")):
        torch.zeros(2, 3, 4)[index]


def test_gradient_of_repeated_positions_adds_up():
    x = torch.zeros(3, requires_grad=True)
    x[torch.tensor([0, 0, 2])].sum().backward()
    assert x.grad.tolist() == [2, 0, 1]


def test_masks_select_and_fill():
    x = torch.arange(4.0)
    mask = x > 1
    assert x[mask].tolist() == [2, 3]
    x[mask] = torch.tensor([8.0, 9.0])
    assert x.tolist() == [0, 1, 8, 9]
    assert x.masked_fill(mask, 0).tolist() == [0, 1, 0, 0]
    assert torch.masked_select(x, mask).tolist() == [8, 9]


def test_scatter_and_gather_are_inverse():
    index = torch.tensor([[2, 0, 1], [1, 2, 0]])
    x = torch.arange(6.0).view(2, 3)
    assert torch.zeros(2, 3).scatter(1, index, x).gather(1, index).equal(x)


def test_scatter_products_have_gradients_at_zeros():
    base = torch.tensor([2.0, 3.0], requires_grad=True)
    src = torch.tensor([0.0, 4.0, 5.0], requires_grad=True)
    out = base.scatter_reduce(0, torch.tensor([0, 0, 1]), src, "prod")
    assert out.tolist() == [0, 15]
    out.sum().backward()
    assert base.grad.tolist() == [0, 5]
    assert src.grad.tolist() == [8, 0, 3]
