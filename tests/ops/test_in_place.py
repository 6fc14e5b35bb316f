"""In-place operators and ``out=``: what they write, and what they refuse."""

import pytest

import rushlight as torch


@pytest.mark.parametrize(
    "name, args, expected",
    [
        ("add_", (1,), [2, 3]), ("mul_", (3,), [3, 6]), ("pow_", (2,), [1, 4]), ("clamp_", (0, 1.5), [1, 1.5]),
        ("neg_", (), [-1, -2]), ("sqrt_", (), [1, 2**0.5]), ("zero_", (), [0, 0]), ("fill_", (7,), [7, 7]),
        ("copy_", (torch.tensor([5, 6]),), [5, 6]), ("cumsum_", (0,), [1, 3]), ("eq_", (2,), [0, 1]),
        ("masked_fill_", (torch.tensor([True, False]), 9), [9, 2]), ("lerp_", (torch.tensor([3.0, 4.0]), 0.5), [2, 3]),
        ("index_fill_", (0, torch.tensor([1]), 4), [1, 4]), ("ldexp_", (torch.tensor([1, 3]),), [2, 16]),
    ],
)  # fmt: skip
def test_the_tensor_itself_changes(name, args, expected):
    x = torch.tensor([1.0, 2.0])
    alias = x.detach()
    assert getattr(x, name)(*args) is x
    assert x.tolist() == pytest.approx(expected)
    assert alias.tolist() == x.tolist()
    if hasattr(torch, name):
        y = torch.tensor([1.0, 2.0])
        assert getattr(torch, name)(y, *args) is y
        assert y.tolist() == x.tolist()


def test_a_leaf_that_requires_grad_is_refused():
    w = torch.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place operation"):
        w.add_(1)
    with torch.no_grad():
        w.add_(1)
    assert w.tolist() == [2, 2]


def test_a_result_of_higher_category_is_refused():
    with pytest.raises(RuntimeError, match="result type Float can't be cast to the desired output type Long"):
        torch.ones(2, dtype=torch.int64).mul_(1.5)


def test_a_result_of_another_shape_is_refused():
    with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
        torch.ones(2).add_(torch.ones(3, 2))


def test_the_tape_keeps_what_it_saved():
    x = torch.tensor([2.0, 3.0], requires_grad=True)
    y = x * 1
    z = y * y
    y.zero_()
    z.sum().backward()
    assert x.grad.tolist() == [4, 6]


def test_out_is_filled_and_resized():
    out = torch.empty(0)
    assert torch.add(torch.ones(2), 1, out=out) is out
    assert out.tolist() == [2, 2]
    values, indices = torch.empty(0), torch.empty(0, dtype=torch.int64)
    torch.sort(torch.tensor([3.0, 1.0]), out=(values, indices))
    assert (values.tolist(), indices.tolist()) == ([1, 3], [1, 0])
    whole = torch.zeros(2, 2)
    torch.mul(torch.ones(2), 5, out=whole[1])
    assert whole.tolist() == [[0, 0], [5, 5]]


def test_out_refuses_gradients_and_lower_categories():
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(
        RuntimeError, match=r"functions with out=\.\.\. arguments don't support automatic differentiation"
    ):
        torch.add(x, 1, out=torch.empty(2))
    with pytest.raises(RuntimeError, match="can't be cast to the desired output type Long"):
        torch.add(torch.ones(2), 1, out=torch.empty(2, dtype=torch.int64))


def test_resizing_keeps_the_order():
    x = torch.arange(4.0).resize_(2, 3)
    assert x.tolist() == [[0, 1, 2], [3, 0, 0]]
    assert x.resize_as_(torch.ones(2)).tolist() == [0, 1]


def test_diagonals_are_filled():
    assert torch.zeros(2, 3).fill_diagonal_(4).tolist() == [[4, 0, 0], [0, 4, 0]]
    assert torch.zeros(5, 2).fill_diagonal_(1, wrap=True).tolist() == [[1, 0], [0, 1], [0, 0], [1, 0], [0, 1]]
