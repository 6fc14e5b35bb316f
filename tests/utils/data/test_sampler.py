"""The samplers: their orders against torch 2.13's for the same seeds, and what they refuse."""

import pytest

import rushlight as torch
from rushlight.utils.data import (
    BatchSampler,
    DistributedSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
    random_split,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_orders_of_a_seed():
    torch.manual_seed(0)
    assert list(RandomSampler(range(6))) == [0, 1, 2, 3, 5, 4]
    assert list(RandomSampler(range(6), generator=seeded())) == [2, 5, 3, 0, 1, 4]
    assert list(SubsetRandomSampler([10, 20, 30], generator=seeded())) == [30, 10, 20]
    assert list(WeightedRandomSampler([1, 2, 3, 4], 6, generator=seeded())) == [3, 3, 2, 3, 3, 3]
    first, second = random_split(range(6), [0.5, 0.5], generator=seeded())
    assert (first.indices, second.indices) == ([2, 5, 3], [0, 1, 4])


def test_sequential_and_batches():
    assert list(SequentialSampler("abc")) == [0, 1, 2]
    assert list(BatchSampler(range(5), 2, False)) == [[0, 1], [2, 3], [4]]
    assert list(BatchSampler(range(5), 2, True)) == [[0, 1], [2, 3]]
    assert [len(BatchSampler(range(5), 2, drop)) for drop in (False, True)] == [3, 2]


@pytest.mark.parametrize("count, replicas", [(10, 3), (9, 3), (2, 5), (11, 4)])
@pytest.mark.parametrize("drop_last", [False, True])
def test_replicas_share_the_dataset(count, replicas, drop_last):
    parts = [
        list(DistributedSampler(range(count), replicas, rank, shuffle=False, drop_last=drop_last))
        for rank in range(replicas)
    ]
    assert len({len(part) for part in parts}) == 1
    seen = {index for part in parts for index in part}
    assert drop_last or seen == set(range(count))
    assert not drop_last or len(seen) == sum(map(len, parts))


def test_distributed_epochs():
    sampler = DistributedSampler(range(20), 2, 0, seed=3)
    first = list(sampler)
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert list(sampler) != first and len(sampler) == 10
    with pytest.raises(ValueError, match=r"Invalid rank 2, rank should be in the interval \[0, 1\]"):
        DistributedSampler(range(4), 2, 2)


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: RandomSampler([], False), ValueError, "positive integer value, but got num_samples=0"),
        (lambda: RandomSampler([1], replacement=1), TypeError, "replacement should be a boolean value"),
        (lambda: RandomSampler([1], num_samples=1.5), ValueError, "num_samples=1.5"),
        (lambda: BatchSampler([1], 0, False), ValueError, "batch_size should be a positive integer value"),
        (lambda: BatchSampler([1], True, False), ValueError, "batch_size=True"),
        (lambda: BatchSampler([1], 1, 0), ValueError, "drop_last should be a boolean value"),
        (lambda: WeightedRandomSampler([1.0], 0), ValueError, "num_samples should be a positive integer"),
        (lambda: WeightedRandomSampler([1.0], 1, 2), ValueError, "replacement should be a boolean value"),
        (lambda: WeightedRandomSampler([[1.0]], 1), ValueError, r"weights have shape \(1, 1\)"),
        (lambda: random_split([1], [2]), ValueError, "Sum of input lengths does not equal"),
        (lambda: random_split([1], [1.5, -0.5]), ValueError, "Fraction at index 0 is not between 0 and 1"),
        (lambda: iter(Sampler()), NotImplementedError, "^$"),
    ],
)
def test_refusals(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_an_empty_split_warns():
    with pytest.warns(UserWarning, match="Length of split at index 1 is 0"):
        random_split([1], [0.6, 0.4])
