"""``torch.testing.assert_close`` passes and fails where torch's does, in its words."""

import pytest

import rushlight

torch = pytest.importorskip("torch")

CASES = [
    ("one of three", lambda t: (t.tensor([1.0, 2, 3]), t.tensor([1.0, 2, 4])), {}),
    ("scalars", lambda t: (t.tensor(1.0), t.tensor(2.0)), {}),
    ("dtype", lambda t: (t.tensor([1, 2]), t.tensor([1.0, 2])), {}),
    ("integers", lambda t: (t.tensor([1, 2]), t.tensor([1, 4])), {}),
    ("shape", lambda t: (t.tensor([[1.0, 2]]), t.tensor([1.0, 2])), {}),
    ("list", lambda t: ([t.tensor(1.0), t.tensor(2.0)], [t.tensor(1.0), t.tensor(3.0)]), {}),
    ("nested", lambda t: ({"a": [t.tensor([1.0])]}, {"a": [t.tensor([2.0])]}), {}),
    ("keys", lambda t: ({"a": 1.0}, {"b": 1.0}), {}),
    ("lengths", lambda t: ([1, 2], [1]), {}),
    ("numbers", lambda t: (1.0, 1.1), {}),
    ("whole numbers", lambda t: (3, 4), {}),
    ("kinds of number", lambda t: (1, 1.0), {}),
    ("bools", lambda t: (True, False), {}),
    ("nan", lambda t: (t.tensor([float("nan")]), t.tensor([float("nan")])), {}),
    ("equal nan", lambda t: (t.tensor([float("nan")]), t.tensor([float("nan")])), {"equal_nan": True}),
    ("what cannot be compared", lambda t: (t.tensor([1.0]), [1.0]), {}),
    ("close", lambda t: (t.tensor([1.0, 2]), t.tensor([1.0, 2.000001])), {}),
    ("half", lambda t: (t.tensor([1.0]).half(), t.tensor([1.0005]).half()), {}),
    ("without dtype", lambda t: (t.tensor([1.0]), t.tensor([1.0]).double()), {"check_dtype": False}),
    ("tolerance", lambda t: (t.tensor([1.0]), t.tensor([1.5])), {"rtol": 0, "atol": 0.6}),
    ("text", lambda t: (t.tensor([1.0]), t.tensor([1.5])), {"msg": "hello"}),
    ("function of the text", lambda t: (t.tensor([1.0]), t.tensor([1.5])), {"msg": lambda m: "so: " + m}),
    ("matrix", lambda t: (t.ones(2, 2), t.tensor([[1.0, 2.5], [3, 1]])), {}),
    ("truth values", lambda t: (t.tensor([True]), t.tensor([False])), {}),
    ("complex", lambda t: (t.tensor([1 + 1j]), t.tensor([2 + 1j])), {"rtol": 0, "atol": 0.5}),
    ("none", lambda t: (None, None), {}),
    ("one tolerance", lambda t: (1.0, 1.0), {"rtol": 0.1}),
]


def _said(lib, make, options):
    try:
        lib.testing.assert_close(*make(lib), **options)
    except Exception as error:
        return type(error), str(error)
    return None


@pytest.mark.parametrize("name, make, options", CASES, ids=[c[0] for c in CASES])
def test_assert_close(name, make, options):
    ours, theirs = _said(rushlight, make, options), _said(torch, make, options)
    if theirs is None or ours is None:
        assert ours == theirs
        return
    assert ours[0] is theirs[0]
    if name == "one tolerance":
        return
    first, second = (text.replace("rushlight._tensor.tensor", "torch") for _, text in (ours, theirs))
    # Greatest relative differences are computed in single precision by torch, which prints other last digits.
    assert [line[:44] for line in first.splitlines()] == [line[:44] for line in second.splitlines()]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool", "complex64", "bfloat16"])
def test_make_tensor(dtype):
    made = rushlight.testing.make_tensor((3, 4), dtype=getattr(rushlight, dtype), device="cpu", noncontiguous=True)
    assert made.shape == (3, 4)
    assert made.dtype is getattr(rushlight, dtype)
    assert not made.is_contiguous()
    limited = rushlight.testing.make_tensor(50, dtype=getattr(rushlight, dtype), device="cpu", low=0, high=1)
    assert bool((limited.real if dtype == "complex64" else limited).ge(0).all())
