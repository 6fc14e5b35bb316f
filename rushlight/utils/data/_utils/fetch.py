"""Owns the fetchers: from an index, or a list of indices, to collated data.

May import this folder and the datasets.
"""

from __future__ import annotations

import numpy as np

from rushlight import _device as devices

from ..dataset import Subset, TensorDataset
from . import collate


class _DatasetKind:
    """How a dataset is read: by key or as a stream."""

    Map = 0
    Iterable = 1

    @staticmethod
    def create_fetcher(kind, dataset, auto_collation, collate_fn, drop_last):
        fetcher = _MapDatasetFetcher if kind == _DatasetKind.Map else _IterableDatasetFetcher
        return fetcher(dataset, auto_collation, collate_fn, drop_last)


class _BaseDatasetFetcher:
    def __init__(self, dataset, auto_collation, collate_fn, drop_last) -> None:
        self.dataset = dataset
        self.auto_collation = auto_collation
        self.collate_fn = collate_fn
        self.drop_last = drop_last


class _IterableDatasetFetcher(_BaseDatasetFetcher):
    def __init__(self, dataset, auto_collation, collate_fn, drop_last) -> None:
        super().__init__(dataset, auto_collation, collate_fn, drop_last)
        self.dataset_iter = iter(dataset)
        self.ended = False

    def fetch(self, index):
        """The next sample, or as many as ``index`` has entries.

        Raises:
            StopIteration: the stream has ended.
        """
        if self.ended:
            raise StopIteration
        if not self.auto_collation:
            return self.collate_fn(next(self.dataset_iter))
        batch = []
        for _ in index:
            try:
                batch.append(next(self.dataset_iter))
            except StopIteration:
                self.ended = True
                break
        if not batch or (self.drop_last and len(batch) < len(index)):
            raise StopIteration
        return self.collate_fn(batch)


class _MapDatasetFetcher(_BaseDatasetFetcher):
    def fetch(self, index):
        """The sample at ``index``, or the collated samples at all its entries."""
        if not self.auto_collation:
            return self.collate_fn(self.dataset[index])
        if self.collate_fn is collate.default_collate:
            rows = _rows(self.dataset, index)
            if rows is not None:
                return rows
        batched = getattr(self.dataset, "__getitems__", None)
        return self.collate_fn(batched(index) if batched else [self.dataset[i] for i in index])


def _rows(dataset, index):
    """The batch of a TensorDataset, gathered at once; None where that might differ from row by row."""
    while type(dataset) is Subset:
        index = [dataset.indices[i] for i in index]
        dataset = dataset.dataset
    if type(dataset) is not TensorDataset or not index or not collate.is_plain(*dataset.tensors):
        return None
    rows = np.asarray(index)
    if rows.dtype.kind != "i" or rows.ndim != 1:
        return None
    try:
        return [collate._tensor(tensor._host()[rows], devices.cpu) for tensor in dataset.tensors]
    except IndexError:
        # Reading row by row says which index it is.
        return None
