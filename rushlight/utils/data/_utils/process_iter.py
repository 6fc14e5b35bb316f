"""Owns the iterator that reads through worker processes: it hands out indices, keeps order, and ends its workers.

May import this folder.
"""

from __future__ import annotations

import itertools
import os
import pickle
import time
import weakref
from multiprocessing import connection

from . import transport
from .iterator import _BaseDataLoaderIter
from .launch import default_context, worker_environment
from .worker import Resume, Setup, StreamEnd, WorkerError, run

# How long workers may take to finish what they are doing before they are terminated.
_GRACE = 5.0


class _Worker:
    """One process with its two connections."""

    def __init__(self, context, parcel, number: int, others: list[_Worker]):
        orders, self.orders = context.Pipe(duplex=True)
        self.results, results = context.Pipe(duplex=True)
        inherited: tuple = ()
        if context.get_start_method() == "fork":
            # A forked child holds all our ends too; while it does, nobody can see us close them.
            inherited = tuple(end for worker in (*others, self) for end in (worker.orders, worker.results))
        args = (parcel, orders, results, number, inherited)
        self.process = context.Process(target=run, args=args, daemon=True)
        self.told_to_stop = False
        try:
            with worker_environment():
                self.process.start()
        finally:
            # The ends of the child: holding them here would hide its death.
            orders.close()
            results.close()

    @property
    def pid(self) -> int | None:
        """The process's number, for those who watch it."""
        return self.process.pid

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self.process.is_alive()

    def order(self, message) -> None:
        """Send an order; a worker that is gone is noticed when its answer is awaited."""
        try:
            transport.send(self.orders, message)
        except OSError:
            pass

    def stop(self) -> None:
        if not self.told_to_stop:
            self.told_to_stop = True
            self.order(None)


def _end(workers: list[_Worker], owner: int) -> None:
    """End the processes: ask, wait a little, then terminate."""
    if os.getpid() != owner:
        return
    for worker in workers:
        worker.stop()
        # A worker that is blocked in sending gets an error now.
        worker.results.close()
    deadline = time.monotonic() + _GRACE
    for worker in workers:
        worker.process.join(max(0.0, deadline - time.monotonic()))
        if worker.process.is_alive():
            worker.process.terminate()
            worker.process.join(_GRACE)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.orders.close()
    workers.clear()


class _MultiProcessingDataLoaderIter(_BaseDataLoaderIter):
    def __init__(self, loader) -> None:
        super().__init__(loader)
        self._prefetch_factor = loader.prefetch_factor
        self._in_order = loader.in_order
        if self._prefetch_factor <= 0:
            raise AssertionError("prefetch_factor must be greater than 0 for MultiProcessingDataLoaderIter")
        context = default_context() if loader.multiprocessing_context is None else loader.multiprocessing_context
        setup = Setup(
            self._dataset_kind,
            self._dataset,
            self._auto_collation,
            self._collate_fn,
            self._drop_last,
            loader.worker_init_fn,
            self._num_workers,
            self._base_seed,
        )
        self._workers: list[_Worker] = []
        # Runs when the iterator is dropped, also in the middle of a loop, and when the interpreter ends.
        self._finalizer = weakref.finalize(self, _end, self._workers, os.getpid())
        parcel = transport.Parcel(setup)
        try:
            for number in range(self._num_workers):
                self._workers.append(_Worker(context, parcel, number, self._workers))
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            self._finalizer()
            raise pickle.PicklingError(
                f"DataLoader could not send its dataset, collate_fn or worker_init_fn to a worker process: {error}. "
                "Workers are not forked, so expected picklable objects: define functions and classes at the top level "
                "of a module (no lambdas), or use num_workers=0."
            ) from error
        except BaseException:
            self._finalizer()
            raise
        finally:
            parcel.close()
        self._epoch = 0
        self._reset(loader, first_iter=True)

    def _reset(self, loader, first_iter: bool = False) -> None:
        super()._reset(loader, first_iter)
        self._send_idx = 0
        self._rcvd_idx = 0
        self._owner: dict[int, int] = {}
        self._ready: dict[int, object] = {}
        self._active = [True] * self._num_workers
        self._load = [0] * self._num_workers
        self._cycle = itertools.cycle(range(self._num_workers))
        if not first_iter:
            self._epoch += 1
            for worker in self._workers:
                worker.order(Resume(self._epoch))
        for _ in range(self._prefetch_factor * self._num_workers):
            self._try_put_index()

    def _choose_worker(self) -> int | None:
        """The next worker in turn that still has data, and room where order does not matter."""
        room = self._prefetch_factor * self._num_workers
        for _ in range(self._num_workers):
            number = next(self._cycle)
            if self._active[number] and (self._in_order or self._load[number] < room // sum(self._active)):
                return number
        return None

    def _try_put_index(self) -> None:
        try:
            index = self._next_index()
        except StopIteration:
            return
        number = self._choose_worker()
        if number is None:
            return
        self._workers[number].order((self._epoch, self._send_idx, index))
        self._owner[self._send_idx] = number
        self._load[number] += 1
        self._send_idx += 1

    def _next_data(self):
        while True:
            self._skip_unanswered()
            if self._rcvd_idx == self._send_idx:
                if not self._persistent_workers:
                    self._finalizer()
                raise StopIteration
            if self._rcvd_idx in self._ready:
                number, data = self._rcvd_idx, self._ready.pop(self._rcvd_idx)
            else:
                number, data = self._receive()
                if isinstance(data, StreamEnd):
                    self._stream_ended(self._owner[number])
                    continue
                if self._in_order and number != self._rcvd_idx:
                    self._ready[number] = data
                    continue
            self._load[self._owner.pop(number)] -= 1
            self._try_put_index()
            if isinstance(data, WorkerError):
                data.reraise()
            return data

    def _skip_unanswered(self) -> None:
        """Step over tasks that were delivered already, or whose worker's stream ended before them."""
        while self._rcvd_idx < self._send_idx and self._rcvd_idx not in self._ready:
            number = self._owner.get(self._rcvd_idx)
            if number is not None and self._active[number]:
                return
            self._owner.pop(self._rcvd_idx, None)
            self._rcvd_idx += 1

    def _stream_ended(self, number: int) -> None:
        self._active[number] = False
        if not self._persistent_workers:
            self._workers[number].stop()
        self._try_put_index()

    def _receive(self) -> tuple[int, object]:
        """The next answer of this epoch from any worker.

        Raises:
            RuntimeError: a worker died, or the timeout passed.
        """
        deadline = time.monotonic() + self._timeout if self._timeout > 0 else None
        while True:
            awaited = {}
            for number, worker in enumerate(self._workers):
                if self._active[number]:
                    awaited[worker.results] = awaited[worker.process.sentinel] = worker
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            found = connection.wait(list(awaited), left)
            if not found:
                raise RuntimeError(f"DataLoader timed out after {self._timeout} seconds")
            # An answer that is in the pipe counts even where its worker has died since.
            waiting = [item for item in found if not isinstance(item, int)]
            if not waiting:
                self._report_death(awaited[found[0]])
            try:
                epoch, number, data = transport.receive(waiting[0])
            except (EOFError, ConnectionResetError):
                self._report_death(awaited[waiting[0]])
            if epoch == self._epoch:
                return number, data

    def _report_death(self, worker: _Worker):
        worker.process.join(_GRACE)
        pid, code = worker.process.pid, worker.process.exitcode
        self._active[self._workers.index(worker)] = False
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
        raise RuntimeError(
            f"DataLoader worker (pid(s) {pid}) exited unexpectedly: it {how}, and its own output says why. If that "
            "speaks of starting a process before bootstrapping, put the script's code under "
            '`if __name__ == "__main__":`, because workers import it.'
        )
