"""DataLoader in one process."""

import numpy as np
import pytest

import rushlight as torch
from rushlight.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset, get_worker_info


def test_rows_of_tensors_are_gathered_as_row_by_row():
    x, y = torch.arange(12).reshape(6, 2), torch.tensor([0.0, 1, 2, 3, 4, 5], dtype=torch.float64)

    class RowByRow(TensorDataset):
        pass

    for make in (lambda d: d, lambda d: Subset(d, [5, 0, -1, 2]), lambda d: Subset(Subset(d, [4, 3, 1]), [0, 2])):
        quick = list(DataLoader(make(TensorDataset(x, y)), batch_size=4))
        slow = list(DataLoader(make(RowByRow(x, y)), batch_size=4))
        assert len(quick) == len(slow) > 0
        for one, other in zip(quick, slow):
            assert type(one) is type(other) is list
            assert [(t.tolist(), t.dtype) for t in one] == [(t.tolist(), t.dtype) for t in other]


def test_rows_keep_their_history():
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    (batch,) = next(iter(DataLoader(TensorDataset(w), batch_size=2)))
    assert batch.requires_grad


def test_an_index_beyond_the_rows():
    loader = DataLoader(TensorDataset(torch.tensor([1, 2])), batch_sampler=[[0, 5]])
    with pytest.raises(IndexError):
        list(loader)


def test_changes_between_epochs_are_seen():
    rows = torch.tensor([1.0, 2.0])
    loader = DataLoader(TensorDataset(rows), batch_size=2)
    first = next(iter(loader))[0]
    rows[0] = 9.0
    assert next(iter(loader))[0].tolist() == [9.0, 2.0] and first.tolist() == [1.0, 2.0]


def test_batched_reading_is_preferred():
    class Batched(Dataset):
        def __len__(self):
            return 4

        def __getitems__(self, indices):
            return [-i for i in indices]

    assert [b.tolist() for b in DataLoader(Batched(), batch_size=2)] == [[0, -1], [-2, -3]]


def test_custom_collate_and_single_samples():
    assert list(DataLoader([3, 1, 2], batch_size=2, collate_fn=sorted)) == [[1, 3], [2]]
    assert list(DataLoader(["a", "b"], batch_size=None)) == ["a", "b"]
    assert list(DataLoader({"x": 1, "y": 2}, batch_size=None, sampler=["y", "x"])) == [2, 1]


def test_two_iterators_at_once():
    loader = DataLoader(range(3))
    assert [(a.item(), b.item()) for a in loader for b in loader][:4] == [(0, 0), (0, 1), (0, 2), (1, 0)]


def test_single_process_has_no_worker_info_and_no_timeout():
    assert get_worker_info() is None
    with pytest.raises(AssertionError, match="requires timeout == 0"):
        iter(DataLoader([1], timeout=1))


def test_a_stream_longer_than_its_length_warns():
    class Liar(IterableDataset):
        def __iter__(self):
            return iter(range(3))

        def __len__(self):
            return 2

    loader = DataLoader(Liar(), batch_size=None)
    assert len(loader) == 2
    with pytest.warns(UserWarning, match=r"was reported to be 2\(when accessing len\(dataloader\)\), but 3 samples"):
        assert list(loader) == [0, 1, 2]


def test_pin_memory_without_an_accelerator_warns(monkeypatch):
    from rushlight.utils.data._utils import iterator

    monkeypatch.setattr(iterator.devices, "present", lambda kind: [])
    with pytest.warns(UserWarning, match="no accelerator is found"):
        assert [b.tolist() for b in DataLoader([1, 2], pin_memory=True)] == [[1], [2]]


def test_pin_memory_calls_a_batch_class(monkeypatch):
    from rushlight.utils.data._utils import iterator

    class Batch:
        pinned = False

        def pin_memory(self):
            self.pinned = True
            return self

    monkeypatch.setattr(iterator.devices, "present", lambda kind: [object()])
    (found,) = DataLoader([1], pin_memory=True, collate_fn=lambda batch: {"inner": (Batch(), np.zeros(1), "text")})
    assert found["inner"][0].pinned and type(found["inner"]) is tuple


def test_iterators_do_not_pickle():
    import pickle

    with pytest.raises(NotImplementedError, match="_SingleProcessDataLoaderIter cannot be pickled"):
        pickle.dumps(iter(DataLoader([1])))


def test_generic_and_public_paths():
    from rushlight.utils.data._utils.collate import default_collate
    from rushlight.utils.data.dataloader import default_collate as same

    assert DataLoader[int] is not None and default_collate is same
