"""default_collate and default_convert."""

import collections

import numpy as np
import pytest

import rushlight as torch
from rushlight.utils.data import default_collate, default_convert
from rushlight.utils.data._utils.collate import collate, default_collate_fn_map

Point = collections.namedtuple("Point", "x y")


class Bag(dict):
    """A mapping that carries more than its items."""

    label = "none"


def test_numbers_become_torch_dtypes():
    for batch, dtype in [
        ([1.0, 2], torch.float64),
        ([1, 2], torch.int64),
        ([True, False], torch.bool),
        ([np.float32(1)], torch.float32),
        ([np.int16(1)], torch.int16),
        ([np.bool_(True)], torch.bool),
        ([1, 2.5], torch.float32),
    ]:
        out = default_collate(batch)
        assert out.dtype is dtype and out.tolist() == [float(v) for v in batch], batch


def test_containers_keep_their_kind():
    assert default_collate(["a", "b"]) == ["a", "b"]
    assert default_collate([b"a"]) == [b"a"]
    x, name = default_collate([(1, "a"), (2, "b")])
    assert x.tolist() == [1, 2] and name == ("a", "b")
    point = default_collate([Point(1, 2.0), Point(3, 4.0)])
    assert type(point) is Point and point.y.tolist() == [2.0, 4.0]
    bag = Bag(a=1)
    bag.label = "kept"
    out = default_collate([bag, Bag(a=2)])
    assert type(out) is Bag and out.label == "kept" and out["a"].tolist() == [1, 2] and bag["a"] == 1
    rows = default_collate([[1, 2], [3, 4]])
    assert type(rows) is list and [row.tolist() for row in rows] == [[1, 3], [2, 4]]


def test_arrays_and_tensors_stack():
    out = default_collate([np.zeros((2, 3), np.uint8), np.ones((2, 3), np.uint8)])
    assert out.shape == (2, 2, 3) and out.dtype is torch.uint8 and out.tolist()[1][0] == [1, 1, 1]
    out = default_collate([torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])])
    assert out.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    half = default_collate([torch.tensor([1.0], dtype=torch.bfloat16)] * 2)
    assert half.dtype is torch.bfloat16 and half.shape == (2, 1)


def test_a_batch_does_not_share_memory_with_the_samples():
    sample = np.zeros(3, np.float32)
    batch, single = default_collate([sample]), default_convert(sample)
    sample[:] = 7
    assert batch.tolist() == [[0.0, 0.0, 0.0]] and single.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "batch, error, message",
    [
        ([None], TypeError, "must contain tensors, numpy arrays, numbers, dicts or lists; found <class 'NoneType'>"),
        ([np.array(["a"])], TypeError, "found <U1"),
        ([np.array([object()])], TypeError, "found object"),
        ([(1, 2), (3,)], RuntimeError, "each element in list of batch should be of equal size"),
        ([np.zeros(3), np.zeros(4)], RuntimeError, r"got \[3\] at entry 0 and \[4\] at entry 1"),
        ([{"a": 1}, {"b": 1}], KeyError, "a"),
    ],
)
def test_refusals(batch, error, message):
    with pytest.raises(error, match=message):
        default_collate(batch)


def test_collate_takes_a_map_of_functions():
    class Mine:
        pass

    found = collate([Mine(), Mine()], collate_fn_map={**default_collate_fn_map, Mine: lambda batch, **_: len(batch)})
    assert found == 2


def test_convert():
    assert default_convert(3) == 3 and default_convert("a") == "a"
    text = np.array(["a"])
    assert default_convert(text) is text
    assert default_convert(np.float64(1)).dtype is torch.float64
    assert [type(v) for v in default_convert((np.zeros(1), 2))] == [torch.Tensor, int]
    assert default_convert(range(3)) == [0, 1, 2]
    point = default_convert(Point(np.array([1, 2]), 0))
    assert type(point) is Point and point.x.tolist() == [1, 2]
    assert default_convert({"a": np.array(1)})["a"].shape == ()
    same = torch.tensor([1])
    assert default_convert(same) is same
