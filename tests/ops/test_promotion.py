"""Which dtype an operation gives: torch's table, with tensors of dimensions before 0-dim tensors before numbers."""

import pytest

import rushlight as torch

TABLE = [
    ("uint8", "int8", "int16"), ("uint8", "int32", "int32"), ("int8", "int64", "int64"), ("bool", "uint8", "uint8"),
    ("bool", "float16", "float16"), ("int64", "float16", "float16"), ("float16", "bfloat16", "float32"),
    ("bfloat16", "float32", "float32"), ("float32", "float64", "float64"), ("int64", "complex64", "complex64"),
    ("float64", "complex64", "complex128"), ("float16", "complex64", "complex64"), ("bool", "bool", "bool"),
]  # fmt: skip


@pytest.mark.parametrize("first, second, expected", TABLE)
def test_two_tensors(first, second, expected):
    a, b = (torch.ones(2, dtype=getattr(torch, d)) for d in (first, second))
    for result in (a + b, b + a, a * b, torch.where(torch.tensor([True, False]), a, b), torch.cat([a, b])):
        assert result.dtype is getattr(torch, expected)
    assert torch.promote_types(a.dtype, b.dtype) is getattr(torch, expected)


@pytest.mark.parametrize(
    "dtype, number, expected",
    [
        ("int32", 2, "int32"), ("int32", 2.5, "float32"), ("uint8", 300, "uint8"), ("bool", 1, "int64"),
        ("bool", True, "bool"), ("float16", 2.5, "float16"), ("float64", 2, "float64"), ("int64", 1j, "complex64"),
        ("float64", 1j, "complex128"),
    ],
)  # fmt: skip
def test_a_tensor_and_a_number(dtype, number, expected):
    a = torch.ones(2, dtype=getattr(torch, dtype))
    assert (a * number).dtype is getattr(torch, expected)
    assert (number * a).dtype is getattr(torch, expected)
    assert torch.result_type(a, number) is getattr(torch, expected)


def test_a_tensor_without_dimensions_gives_way_within_its_category():
    assert (torch.ones(2) + torch.tensor(1.0, dtype=torch.float64)).dtype is torch.float32
    assert (torch.ones(2, dtype=torch.int8) + torch.tensor(1)).dtype is torch.int8
    assert (torch.ones(2, dtype=torch.int8) + torch.tensor(1.0)).dtype is torch.float32


def test_integers_divide_to_the_default_dtype():
    assert (torch.tensor([3]) / 2).tolist() == [1.5]
    assert torch.tensor([3]).sqrt().dtype is torch.float32
    torch.set_default_dtype(torch.float64)
    try:
        assert (torch.tensor([3]) / 2).dtype is torch.float64
        assert torch.tensor([3]).sqrt().dtype is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_sums_of_small_integers_are_int64():
    a = torch.full((300,), 1, dtype=torch.uint8)
    assert a.sum().dtype is torch.int64
    assert a.sum().item() == 300
    assert a.cumsum(0)[-1].item() == 300
    assert (a > 0).sum().item() == 300


def test_integers_wrap_around():
    assert (torch.tensor([250], dtype=torch.uint8) + 10).tolist() == [4]
    assert (-torch.tensor([-128], dtype=torch.int8)).tolist() == [-128]
    assert torch.tensor([300.7, -1.5]).to(torch.uint8).tolist() == [44, 255]


def test_uint16_with_a_signed_integer_is_refused():
    with pytest.raises(RuntimeError, match="Promotion for uint16, uint32, uint64 types is not supported"):
        torch.ones(1, dtype=torch.uint16) + torch.ones(1, dtype=torch.int32)
