"""DataLoader with worker processes: order, seeds, errors, and that no process outlives its loop."""

import gc
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import loader_sources as sources
import numpy as np
import pytest

import rushlight as torch
from rushlight.utils.data import DataLoader, TensorDataset

ROOT = Path(__file__).parents[3]


def alive(pid):
    """Whether a process exists and is not just waiting to be collected."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def gone(pids, within=10.0):
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if not any(map(alive, pids)):
            return True
        time.sleep(0.02)
    return False


def pids_of(iterator):
    return [worker.process.pid for worker in iterator._workers]


def values(loader):
    return [batch.tolist() if hasattr(batch, "tolist") else batch for batch in loader]


def test_batches_come_in_order_as_tensors():
    found = list(DataLoader(sources.Numbers(9), batch_size=2, num_workers=2))
    assert [i.tolist() for _, i in found] == [[0, 1], [2, 3], [4, 5], [6, 7], [8]]
    assert [x.tolist() for x, _ in found][1] == [[4.0], [9.0]]
    assert type(found[0][0]) is torch.Tensor and found[0][0].dtype is torch.float32


def test_a_slow_batch_does_not_change_the_order():
    loader = DataLoader(sources.Uneven(), batch_size=1, num_workers=2)
    assert values(loader) == [[0], [1], [2], [3], [4], [5]]
    loader = DataLoader(sources.Uneven(), batch_size=1, num_workers=2, in_order=False)
    found = values(loader)
    assert found[0] != [0] and sorted(found) == [[0], [1], [2], [3], [4], [5]]


def test_the_shuffle_is_that_of_a_single_process():
    orders = []
    for workers in (0, 2):
        torch.manual_seed(3)
        loader = DataLoader(range(20), batch_size=4, shuffle=True, num_workers=workers)
        orders.append([values(loader), values(loader), torch.rand(2).tolist()])
    assert orders[0] == orders[1]


@pytest.mark.parametrize("dtype", [np.float32, np.int64, bool, "bfloat16"])
def test_large_arrays_travel_whole(dtype):
    import ml_dtypes

    dtype = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    rows = (np.arange(3 * 200_000).reshape(3, -1) % 7).astype(dtype)
    found = [batch.numpy() if dtype != ml_dtypes.bfloat16 else batch.float().numpy() for batch in
             DataLoader(rows, batch_size=2, num_workers=1)]  # fmt: skip
    assert np.array_equal(np.concatenate(found), rows.astype(found[0].dtype))


def test_a_dataset_s_arrays_are_each_worker_s_own():
    array = np.zeros((4, 100_000), np.float32)
    found = list(DataLoader(sources.Held(array), batch_size=2, num_workers=2))
    assert [batch[:, 0].tolist() for batch in found] == [[1.0, 1.0], [1.0, 1.0]] and not array.any()


def test_tensors_in_the_dataset():
    rows = TensorDataset(torch.arange(6.0).reshape(3, 2), torch.tensor([0, 1, 2]))
    x, y = zip(*DataLoader(rows, batch_size=2, num_workers=1))
    assert [b.tolist() for b in x] == [[[0.0, 1.0], [2.0, 3.0]], [[4.0, 5.0]]] and y[1].tolist() == [2]


def test_a_collate_function_that_computes_with_tensors():
    loader = DataLoader(sources.Numbers(4), batch_size=2, num_workers=1, collate_fn=sources.as_tensors)
    assert values(loader) == [[0.0, 2.0], [4.0, 6.0]]


def test_workers_do_not_start_xla():
    (batch,) = DataLoader(sources.Backends(), batch_size=2, num_workers=1)
    assert batch["started"].tolist() == [False, False] and batch["value"].tolist() == [0.0, 1.0]


# Orders and seeds from torch 2.13.
@pytest.mark.parametrize(
    "n, split, batch_size, prefetch, drop_last, expected",
    [
        (5, False, None, 2, False, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]),
        (5, False, 2, 2, False, [[0, 1], [0, 1], [2, 3], [2, 3], [4], [4]]),
        (7, True, 2, 1, False, [[0, 2], [1, 3], [4, 6], [5]]),
        (7, True, 2, 2, True, [[0, 2], [1, 3], [4, 6]]),
        (10, True, 3, 2, False, [[0, 2, 4], [1, 3, 5], [6, 8], [7, 9]]),
    ],
)
def test_streams(n, split, batch_size, prefetch, drop_last, expected):
    loader = DataLoader(
        sources.Stream(n, split), batch_size=batch_size, num_workers=2, prefetch_factor=prefetch, drop_last=drop_last
    )
    assert values(loader) == expected


def test_seeds():
    torch.manual_seed(0)
    found = list(DataLoader(sources.Seeds(), batch_size=None, num_workers=2))
    seed = 900450186894289455
    assert [row[:3] for row in found[:2]] == [[0, 2, seed], [1, 2, seed + 1]]
    assert found[0][3:] == [0.21315340548154382, 0.8371640508861415]
    assert found[1][3:] == [0.7733861492043289, 0.6702704958690073]
    assert found[2][3] == random.Random(seed).random() or found[2][3] != found[0][3]


def test_init_functions():
    loader = DataLoader(sources.Stream(3), batch_size=None, num_workers=2, worker_init_fn=sources.tag)
    assert len(values(loader)) == 30
    loader = DataLoader(range(4), num_workers=2, worker_init_fn=sources.refuse)
    with pytest.raises(ValueError, match="Caught ValueError in DataLoader worker process 0") as caught:
        list(loader)
    assert "worker 0 refuses" in str(caught.value)


@pytest.mark.parametrize("error", [ValueError("bad row"), KeyError("bad row"), sources.Picky("bad row", 2)], ids=repr)
def test_errors_carry_the_worker_s_traceback(error):
    iterator = iter(DataLoader(sources.Broken(error), num_workers=2))
    assert next(iterator).tolist() == [0] and next(iterator).tolist() == [1]
    kind = RuntimeError if isinstance(error, sources.Picky) else type(error)
    with pytest.raises(kind) as caught:
        next(iterator)
    text = str(caught.value)
    assert text.startswith(f"Caught {type(error).__name__} in DataLoader worker process 0.\nOriginal Traceback (most")
    assert "bad row" in text and "loader_sources.py" in text
    # The loop may go on after an error.
    assert next(iterator).tolist() == [3]


def test_a_result_that_cannot_be_pickled():
    loader = DataLoader(range(2), num_workers=1, collate_fn=sources.as_function)
    with pytest.raises(Exception, match=r"Caught .* in DataLoader worker process 0") as caught:
        list(loader)
    assert "pickle" in str(caught.value)


def test_what_cannot_be_sent_is_said_at_once():
    with pytest.raises(Exception, match=r"Workers are not forked, so expected picklable objects.*num_workers=0"):
        iter(DataLoader(range(2), num_workers=1, collate_fn=lambda batch: batch))


def test_a_dead_worker():
    with pytest.raises(RuntimeError, match=r"worker \(pid\(s\) \d+\) exited unexpectedly: it ended with exit code 7"):
        list(DataLoader(sources.Deadly(), num_workers=1))
    iterator = iter(DataLoader(sources.Slow(30), num_workers=1))
    os.kill(pids_of(iterator)[0], signal.SIGKILL)
    with pytest.raises(RuntimeError, match="killed by signal 9"):
        next(iterator)


def test_timeout():
    iterator = iter(DataLoader(sources.Slow(30), num_workers=1, timeout=0.2))
    pids = pids_of(iterator)
    with pytest.raises(RuntimeError, match=r"DataLoader timed out after 0\.2 seconds"):
        next(iterator)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(AssertionError, match="prefetch_factor must be greater than 0"):
        iter(DataLoader(range(2), num_workers=1, prefetch_factor=0))


def test_persistent_workers_stay_and_start_over():
    loader = DataLoader(sources.Pids(), batch_size=None, num_workers=2, persistent_workers=True)
    first, second = set(loader), set(loader)
    assert first == second and len(first) == 2
    # An epoch that was left early leaves nothing behind in the next one.
    numbered = DataLoader(range(50), batch_size=5, num_workers=2, persistent_workers=True)
    next(iter(numbered))
    assert values(numbered) == values(DataLoader(range(50), batch_size=5))
    stream = DataLoader(sources.Stream(3), batch_size=None, num_workers=2, persistent_workers=True)
    assert values(stream) == values(stream) == [0, 0, 1, 1, 2, 2]
    pids = pids_of(loader._iterator)
    del loader
    assert gone(pids)


def test_workers_end_with_the_loop():
    iterator = iter(DataLoader(sources.Pids(), batch_size=None, num_workers=2))
    pids = set(iterator)
    assert gone(pids) and list(iterator) == []


def test_workers_end_when_the_loop_is_left():
    loader = DataLoader(sources.Numbers(50, 100_000), batch_size=5, num_workers=2)
    iterator = iter(loader)
    pids = pids_of(iterator)
    next(iterator)
    del iterator
    gc.collect()
    assert gone(pids)


def run_script(body, *, wait=True):
    script = "import sys\nsys.path[:0] = [{!r}, {!r}]\n".format(str(ROOT), str(ROOT / "tests")) + textwrap.dedent(body)
    path = Path(os.environ["RUSHLIGHT_TEST_SCRIPT"])
    path.write_text(script)
    process = subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return process if not wait else process.communicate(timeout=60) + (process.returncode,)


@pytest.fixture(autouse=True)
def script_path(tmp_path, monkeypatch):
    monkeypatch.setenv("RUSHLIGHT_TEST_SCRIPT", str(tmp_path / "script.py"))


def test_workers_die_with_their_parent():
    process = run_script(
        """
        import loader_sources
        from rushlight.utils.data import DataLoader
        if __name__ == "__main__":
            iterator = iter(DataLoader(loader_sources.Slow(60), num_workers=2))
            print(*[worker.process.pid for worker in iterator._workers], flush=True)
            next(iterator)
        """,
        wait=False,
    )
    pids = [int(pid) for pid in process.stdout.readline().split()]
    assert len(pids) == 2 and all(map(alive, pids))
    process.kill()
    process.communicate()
    assert gone(pids)


def test_the_interpreter_ends_in_the_middle_of_a_loop():
    out, err, code = run_script(
        """
        import loader_sources
        from rushlight.utils.data import DataLoader
        if __name__ == "__main__":
            kept = iter(DataLoader(loader_sources.Numbers(40, 100000), batch_size=4, num_workers=2))
            next(kept)
            print(*[worker.process.pid for worker in kept._workers])
        """
    )
    assert code == 0 and err == "" and gone([int(pid) for pid in out.split()])


def test_classes_of_the_script_itself_and_a_missing_guard():
    body = textwrap.dedent("""
        import rushlight as torch
        from rushlight.utils.data import DataLoader, Dataset
        class Mine(Dataset):
            def __len__(self): return 4
            def __getitem__(self, i): return i * 10
        def main():
            print([batch.tolist() for batch in DataLoader(Mine(), batch_size=2, num_workers=1)])
    """)
    out, err, code = run_script(body + 'if __name__ == "__main__": main()\n')
    assert (out, err, code) == ("[[0, 10], [20, 30]]\n", "", 0)
    out, err, code = run_script(body + "main()\n")
    assert code == 1 and "exited unexpectedly" in err and '`if __name__ == "__main__":`' in err


def test_other_start_methods():
    for method in ("spawn", "forkserver"):
        loader = DataLoader(sources.Numbers(4), batch_size=2, num_workers=1, multiprocessing_context=method)
        assert [i.tolist() for _, i in loader] == [[0, 1], [2, 3]]


def test_fork_where_the_user_insists():
    out, err, code = run_script(
        """
        import warnings
        from rushlight.utils.data import DataLoader
        if __name__ == "__main__":
            warnings.simplefilter("ignore")
            offset = 10
            loader = DataLoader([1, 2, 3], num_workers=2, multiprocessing_context="fork",
                                collate_fn=lambda batch: batch[0] + offset)
            print(list(loader))
            kept = iter(DataLoader(range(10**6), num_workers=2, multiprocessing_context="fork", batch_size=100000,
                        collate_fn=lambda batch: batch))
            next(kept)
        """
    )
    assert (out, err, code) == ("[11, 12, 13]\n", "", 0)
