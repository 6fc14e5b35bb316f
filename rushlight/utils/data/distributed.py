"""Owns ``DistributedSampler``: the part of a dataset that one of several processes reads.

May import the samplers, and rushlight's functions at call time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from .sampler import Sampler


def _group():
    """The distributed package, where this build has one."""
    try:
        import rushlight.distributed as dist  # type: ignore[import-not-found]
    except ImportError:
        dist = None
    if dist is None or not dist.is_available():
        raise RuntimeError("Requires distributed package to be available")
    return dist


class DistributedSampler(Sampler):
    """The indices of one process: every ``num_replicas``-th of a common order, starting at ``rank``.

    Args:
        dataset: a dataset with a length.
        num_replicas: how many processes share it; None for the world size.
        rank: which one this is; None for the rank in the group.
        shuffle: use a random order, the same in all processes.
        seed: the seed of that order; the epoch is added to it.
        drop_last: drop the tail so that all processes get the same number, instead of repeating the first indices.

    Raises:
        ValueError: the rank is not below ``num_replicas``.
        RuntimeError: ``num_replicas`` or ``rank`` is left out and there is no process group.

    Example:
        >>> list(DistributedSampler(range(5), num_replicas=2, rank=1, shuffle=False))
        [1, 3, 0]
    """

    def __init__(
        self,
        dataset,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if num_replicas is None:
            num_replicas = int(_group().get_world_size())
        if rank is None:
            rank = int(_group().get_rank())
        if not 0 <= rank < num_replicas:
            raise ValueError(f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]")
        self.dataset = dataset
        self.num_replicas = num_replicas
        self.rank = rank
        self.epoch = 0
        self.drop_last = drop_last
        count = len(dataset)
        self.num_samples = count // num_replicas if drop_last else math.ceil(count / num_replicas)
        self.total_size = self.num_samples * num_replicas
        self.shuffle = shuffle
        self.seed = seed

    def __iter__(self) -> Iterator[int]:
        count = len(self.dataset)
        if self.shuffle:
            import rushlight as torch

            generator = torch.Generator()
            generator.manual_seed(self.seed + self.epoch)
            order = torch.randperm(count, generator=generator).tolist()
        else:
            order = list(range(count))
        if order:
            order = (order * math.ceil(self.total_size / count))[: self.total_size]
        if len(order) != self.total_size:
            raise AssertionError(f"Number of indices ({len(order)}) does not match total_size ({self.total_size})")
        return iter(order[self.rank :: self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, and with it the order; call it before each epoch when shuffling.

        Args:
            epoch: the number of the epoch.
        """
        self.epoch = epoch
