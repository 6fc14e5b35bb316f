"""torch.utils.data against rushlight.utils.data: the same seed gives the same order, epoch after epoch."""

import collections

import numpy as np
import pytest

import rushlight
import rushlight.utils.data as ours_data

torch = pytest.importorskip("torch")
theirs_data = pytest.importorskip("torch.utils.data")
pytestmark = pytest.mark.parity

SIDES = [(rushlight, ours_data), (torch, theirs_data)]


def plain(data):
    """Tensors to numbers and dtypes, through containers; so that results of both sides compare."""
    if hasattr(data, "tolist"):
        return str(getattr(data, "dtype", "")).replace("torch.", ""), data.tolist()
    if isinstance(data, dict):
        return type(data).__name__, {key: plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return type(data).__name__, [plain(value) for value in data]
    return data


def both(function):
    """Run on both sides after the same seed; compare results, and how far the default generator got."""
    found = []
    for module, data in SIDES:
        module.manual_seed(11)
        result = function(module, data)
        found.append((plain(result), module.rand(3).tolist()))
    assert found[0] == found[1]


LOADERS = {
    "sequential": {},
    "batches": {"batch_size": 3},
    "dropped": {"batch_size": 3, "drop_last": True},
    "shuffled": {"shuffle": True},
    "shuffled batches": {"batch_size": 4, "shuffle": True},
    "shuffled, dropped": {"batch_size": 4, "shuffle": True, "drop_last": True},
    "single samples": {"batch_size": None},
    "shuffled single samples": {"batch_size": None, "shuffle": True},
}


@pytest.mark.parametrize("options", LOADERS.values(), ids=LOADERS)
@pytest.mark.parametrize("own_generator", [False, True])
@pytest.mark.parametrize("count", [1, 10, 37])
def test_two_epochs(options, own_generator, count):
    def run(module, data):
        generator = module.Generator().manual_seed(5) if own_generator else None
        values = module.arange(count)
        loader = data.DataLoader(data.TensorDataset(values, values * 2), generator=generator, **options)
        epochs = [list(loader) for _ in range(2)]
        return epochs, len(loader), generator and generator.get_state()

    both(run)


@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize("num_samples", [None, 1, 31, 32, 33, 100])
@pytest.mark.parametrize("own_generator", [False, True])
def test_random_sampler(replacement, num_samples, own_generator):
    def run(module, data):
        generator = module.Generator().manual_seed(5) if own_generator else None
        sampler = data.RandomSampler(range(20), replacement, num_samples, generator)
        loader = data.DataLoader(range(20), batch_size=3, sampler=sampler, generator=generator)
        return [list(sampler), list(loader), list(sampler)], len(sampler)

    both(run)


@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize("own_generator", [False, True])
def test_weighted_random_sampler(replacement, own_generator):
    def run(module, data):
        generator = module.Generator().manual_seed(5) if own_generator else None
        sampler = data.WeightedRandomSampler([0.1, 0.9, 0.4, 0.7, 3.0, 0.6], 5, replacement, generator)
        return list(sampler), list(data.DataLoader(range(6), batch_size=2, sampler=sampler)), list(sampler)

    both(run)


@pytest.mark.parametrize("lengths", [[3, 7], [0.3, 0.3, 0.4], [0.5, 0.5], [10], [0.9, 0.1], [0.25, 0.25, 0.25, 0.25]])
@pytest.mark.parametrize("own_generator", [False, True])
def test_random_split(lengths, own_generator):
    def run(module, data):
        options = {"generator": module.Generator().manual_seed(42)} if own_generator else {}
        return [subset.indices for subset in data.random_split(range(10), lengths, **options)]

    both(run)


@pytest.mark.parametrize("count, replicas", [(10, 3), (9, 3), (2, 5), (101, 4)])
@pytest.mark.parametrize("options", [{}, {"shuffle": False}, {"drop_last": True}, {"seed": 9}], ids=str)
def test_distributed_sampler(count, replicas, options):
    def run(module, data):
        found = []
        for rank in range(replicas):
            sampler = data.DistributedSampler(range(count), replicas, rank, **options)
            for epoch in range(2):
                sampler.set_epoch(epoch)
                found.append((list(sampler), len(sampler)))
        return found

    both(run)


def test_subset_random_sampler_and_batch_sampler():
    def run(module, data):
        sampler = data.BatchSampler(data.SubsetRandomSampler([5, 1, 8, 3, 2]), 2, False)
        loader = data.DataLoader(range(10), batch_sampler=sampler)
        return list(loader), list(loader), len(loader)

    both(run)


Point = collections.namedtuple("Point", "x y")
BATCHES = [
    [1, 2],
    [1.0, 2.0],
    [1.0, 2],
    [1, 2.5],
    [True, False],
    [1, True],
    [np.float64(1), np.float64(2)],
    [np.float32(1), np.float32(2)],
    [np.float16(1)],
    [np.int32(1), np.int32(2)],
    [np.bool_(True)],
    [np.zeros((), np.float32), np.ones((), np.float32)],
    [np.zeros((2, 0), np.uint8)] * 2,
    [np.zeros(2, np.int32), np.zeros(2, np.float32)],
    [np.zeros(2, np.float64), np.zeros(2, np.float32)],
    ["a", "b"],
    [b"a", b"b"],
    [("a", 1), ("b", 2)],
    [[1, 2.0], [3, 4.0]],
    [{"a": 1, "b": (1, 2.0)}, {"a": 3, "b": (4, 5.0)}],
    [collections.OrderedDict(a=1)] * 2,
    [Point(1, 2.0), Point(3, 4.0)],
    [range(3), range(3)],
    [{}],
    [None],
    [object],
    [(1, 2), (3,)],
    [{"a": 1}, {"b": 1}],
    [np.array(["a"])],
    [np.zeros(2), np.zeros(3)],
]


@pytest.mark.parametrize("batch", BATCHES, ids=str)
@pytest.mark.parametrize("function", ["default_collate", "default_convert"])
def test_collate(batch, function):
    found = []
    for _, data in SIDES:
        try:
            found.append(plain(getattr(data, function)(batch)))
        except Exception as error:
            found.append(type(error))
    assert found[0] == found[1]


OPTIONS = [
    {"num_workers": -1},
    {"timeout": -1},
    {"prefetch_factor": 2},
    {"num_workers": 1, "prefetch_factor": -1},
    {"persistent_workers": True},
    {"sampler": [0], "shuffle": True},
    {"batch_sampler": [[0]], "batch_size": 2},
    {"batch_sampler": [[0]], "shuffle": True},
    {"batch_sampler": [[0]], "sampler": [0]},
    {"batch_sampler": [[0]], "drop_last": True},
    {"batch_size": None, "drop_last": True},
    {"batch_size": 0},
    {"batch_size": 1.5},
    {"drop_last": 1},
    {"multiprocessing_context": "fork"},
    {"num_workers": 1, "multiprocessing_context": "thread"},
    {"num_workers": 1, "multiprocessing_context": 3},
    {"generator": None},
    {"shuffle": False, "sampler": [0]},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("streams", [False, True])
def test_option_errors(options, streams):
    found = []
    for _, data in SIDES:

        class Stream(data.IterableDataset):
            def __repr__(self):
                return "Stream"

        try:
            data.DataLoader(Stream() if streams else [1, 2], **options)
            found.append(None)
        except Exception as error:
            found.append((type(error), str(error)))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", ["batch_size", "sampler", "drop_last", "dataset", "persistent_workers"])
def test_fixed_attributes(name):
    messages = []
    for _, data in SIDES:
        with pytest.raises(ValueError) as caught:
            setattr(data.DataLoader([1]), name, None)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


@pytest.mark.parametrize("batch_size", [None, 2, 3])
@pytest.mark.parametrize("drop_last", [False, True])
def test_streams(batch_size, drop_last):
    if batch_size is None and drop_last:
        return

    def run(module, data):
        class Stream(data.IterableDataset):
            def __iter__(self):
                return iter(range(7))

            def __len__(self):
                return 7

        loader = data.DataLoader(Stream(), batch_size=batch_size, drop_last=drop_last)
        return list(loader), list(loader), len(loader)

    both(run)


def test_a_worker_s_numpy_seed():
    from torch.utils.data._utils.worker import _generate_state

    import rushlight.utils.data._utils.worker as worker

    for base_seed, number in [(12345678901234567, 0), (5, 3), (2**62 + 1, 7), (0, 0)]:
        before = np.random.get_state()
        try:
            worker._seed_everything(base_seed, number)
            ours = np.random.rand(4)
            np.random.seed(_generate_state(base_seed, number))
            assert (ours == np.random.rand(4)).all()
        finally:
            np.random.set_state(before)
