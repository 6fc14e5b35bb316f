"""The dataset classes."""

import pytest

import rushlight as torch
from rushlight.utils.data import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
)


class Count(IterableDataset):
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return iter(range(self.n))

    def __len__(self):
        return self.n


def test_dataset_is_generic_and_abstract():
    assert Dataset[int] is not None
    with pytest.raises(NotImplementedError, match=r"Subclasses of Dataset should implement __getitem__\."):
        Dataset()[0]
    with pytest.raises(TypeError):
        len(Dataset())


def test_tensor_dataset():
    rows = TensorDataset(torch.tensor([[1, 2], [3, 4]]), torch.tensor([5, 6]))
    x, y = rows[1]
    assert len(rows) == 2 and x.tolist() == [3, 4] and y.item() == 6
    with pytest.raises(AssertionError, match="Size mismatch between tensors"):
        TensorDataset(torch.tensor([1]), torch.tensor([1, 2]))


def test_stack_dataset():
    assert StackDataset([1, 2], "ab")[1] == (2, "b")
    both = StackDataset(x=[1, 2], y=Subset("abc", [2, 0]))
    assert len(both) == 2
    assert both.__getitems__([1, 0]) == [{"x": 2, "y": "a"}, {"x": 1, "y": "c"}]
    assert StackDataset([1, 2], "ab").__getitems__([0]) == [(1, "a")]
    with pytest.raises(ValueError, match="both types are given"):
        StackDataset([1], x=[1])
    with pytest.raises(ValueError, match="Size mismatch between datasets"):
        StackDataset([1], [1, 2])
    with pytest.raises(ValueError, match="At least one dataset should be passed"):
        StackDataset()


def test_stack_dataset_checks_batched_members():
    class Short:
        def __len__(self):
            return 2

        def __getitems__(self, indices):
            return [0]

    with pytest.raises(ValueError, match=r"output size mismatch\. Expected 2, got 1"):
        StackDataset(Short()).__getitems__([0, 1])


def test_concat_dataset():
    both = Subset("abc", [0, 1, 2]) + Subset("de", [0, 1])
    assert isinstance(both, ConcatDataset) and both.cumulative_sizes == [3, 5]
    assert [both[i] for i in (0, 2, 3, -1, -5)] == ["a", "c", "d", "e", "a"]
    with pytest.raises(ValueError, match="absolute value of index should not exceed dataset length"):
        both[-6]
    with pytest.raises(AssertionError, match="datasets should not be an empty iterable"):
        ConcatDataset([])
    with pytest.raises(AssertionError, match="ConcatDataset does not support IterableDataset"):
        ConcatDataset([Count(1)])
    with pytest.warns(FutureWarning, match="renamed"):
        assert both.cummulative_sizes == [3, 5]


def test_chain_dataset():
    both = Count(2) + Count(3)
    assert isinstance(both, ChainDataset) and list(both) == [0, 1, 0, 1, 2] and len(both) == 5
    with pytest.raises(AssertionError, match="ChainDataset only supports IterableDataset"):
        list(ChainDataset([[1]]))


def test_subset_asks_for_both_methods():
    class Half(Subset):
        def __getitem__(self, idx):
            return 0

    with pytest.raises(NotImplementedError, match="Half overrides __getitem__ but not __getitems__"):
        Half([1], [0])
    assert Subset([1, 2, 3], [2, 0]).__getitems__([0, 1]) == [3, 1]
