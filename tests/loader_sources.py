"""Datasets and functions for the DataLoader tests, in a module that worker processes can import."""

import os
import random
import time

import numpy as np

from rushlight.utils.data import Dataset, IterableDataset, get_worker_info


class Numbers(Dataset):
    """The squares below ``n``, as arrays."""

    def __init__(self, n, width=1):
        self.n, self.width = n, width

    def __getitem__(self, i):
        return np.full(self.width, i * i, np.float32), i

    def __len__(self):
        return self.n


class Held(Dataset):
    """Rows of an array that the dataset itself holds; a row may be written to."""

    def __init__(self, array):
        self.array = array

    def __getitem__(self, i):
        self.array[i] += 1
        return self.array[i]

    def __len__(self):
        return len(self.array)


class Stream(IterableDataset):
    """Counts to ``n``; each worker takes its share where ``split``."""

    def __init__(self, n, split=False):
        self.n, self.split = n, split

    def __iter__(self):
        info = get_worker_info()
        if self.split and info is not None:
            return iter(range(info.id, self.n, info.num_workers))
        return iter(range(self.n))


class Broken(Dataset):
    """Raises ``error`` at index 2."""

    def __init__(self, error):
        self.error = error

    def __getitem__(self, i):
        if i == 2:
            raise self.error
        return i

    def __len__(self):
        return 4


class Picky(Exception):
    """Cannot be made from one message."""

    def __init__(self, first, second):
        super().__init__(first, second)


class Seeds(Dataset):
    """What each worker's generators were seeded with."""

    def __getitem__(self, i):
        info = get_worker_info()
        return info.id, info.num_workers, info.seed, random.random(), float(np.random.rand())

    def __len__(self):
        return 4


class Pids(Dataset):
    """The process that reads."""

    def __getitem__(self, i):
        return os.getpid()

    def __len__(self):
        return 8


class Slow(Dataset):
    """Takes its time."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __getitem__(self, i):
        time.sleep(self.seconds)
        return i

    def __len__(self):
        return 100


class Deadly(Dataset):
    """Kills its process at index 1."""

    def __getitem__(self, i):
        if i == 1:
            os._exit(7)
        return i

    def __len__(self):
        return 4


class Backends(Dataset):
    """Whether this process has started XLA."""

    def __getitem__(self, i):
        from jax._src import xla_bridge

        return {"started": bool(xla_bridge._backends), "value": np.float32(i)}

    def __len__(self):
        return 2


class Uneven(Dataset):
    """The first index takes longest."""

    def __getitem__(self, i):
        time.sleep(0.6 if i == 0 else 0.0)
        return i

    def __len__(self):
        return 6


def as_tensors(batch):
    """A collate function that works with tensors, as users write them."""
    import rushlight as torch

    return torch.tensor([float(value) for _, value in batch]) * 2


def as_function(batch):
    """Returns what cannot be pickled."""
    return lambda: batch


def refuse(worker_id):
    """A worker_init_fn that fails."""
    raise ValueError(f"worker {worker_id} refuses")


def tag(worker_id):
    """A worker_init_fn that marks its dataset."""
    get_worker_info().dataset.n = 10 * (worker_id + 1)
