"""Owns what runs in a worker process: seeding, the loop that fetches, and errors on their way to the parent.

May import this folder and the generators.
"""

from __future__ import annotations

import dataclasses
import os
import queue
import random
import signal
import threading
import traceback

import numpy as np

from rushlight.random import manual_seed

from . import collate, transport
from .fetch import _DatasetKind


@dataclasses.dataclass(frozen=True)
class WorkerInfo:
    """What a worker knows about itself.

    Attributes:
        id: its number, from 0 to ``num_workers - 1``.
        num_workers: how many there are.
        seed: the seed of its generators: the epoch's base seed plus ``id``.
        dataset: its own copy of the dataset.
    """

    id: int
    num_workers: int
    seed: int
    dataset: object


_worker_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """What the present worker process knows about itself; None in the main process.

    Example:
        >>> get_worker_info() is None
        True
    """
    return _worker_info


class _Readable(str):
    """Text that KeyError prints as it is, not as a repr."""

    def __repr__(self) -> str:
        return str(self)


class WorkerError:
    """An exception on its way from a worker to the parent, with its traceback as text."""

    def __init__(self, error: BaseException, worker_id: int):
        self.kind: type[BaseException] | None = type(error)
        self.message = (
            f"Caught {type(error).__name__} in DataLoader worker process {worker_id}.\n"
            f"Original {''.join(traceback.format_exception(error))}"
        )

    def without_kind(self) -> WorkerError:
        """The same error for a parent that cannot know its class."""
        self.kind = None
        return self

    def reraise(self):
        """Raise the exception's class with the worker's traceback as its message.

        Raises:
            RuntimeError: the class cannot be made from one message.
        """
        kind, message = self.kind, self.message
        if kind is KeyError:
            message = _Readable(message)
        try:
            if kind is None:
                error: BaseException = RuntimeError(message)
            elif getattr(kind, "message", None):
                error = kind(message=message)  # type: ignore[call-arg]
            else:
                error = kind(message)
        except Exception:
            error = RuntimeError(message)
        raise error from None


@dataclasses.dataclass
class Setup:
    """What every worker of one iterator is told."""

    dataset_kind: int
    dataset: object
    auto_collation: bool
    collate_fn: object
    drop_last: bool
    init_fn: object
    num_workers: int
    base_seed: int

    def fetcher(self):
        """A reader over the dataset, from its beginning."""
        return _DatasetKind.create_fetcher(
            self.dataset_kind, self.dataset, self.auto_collation, self.collate_fn, self.drop_last
        )


class StreamEnd:
    """A worker's answer where its copy of an IterableDataset has no more."""


class Resume:
    """The parent's order to start over, with the number of the new epoch."""

    def __init__(self, epoch: int):
        self.epoch = epoch


def _seed_everything(base_seed: int, worker_id: int) -> None:
    seed = base_seed + worker_id
    random.seed(seed)
    manual_seed(seed)
    # numpy shares Python's generator algorithm, so it gets a seed of its own, by torch's derivation.
    entropy = (worker_id, base_seed & 0xFFFFFFFF, base_seed >> 32, 0)
    np.random.seed(np.random.SeedSequence(entropy).generate_state(4))


class _Inbox:
    """Takes orders off the pipe as they come, so that the parent never waits to send one."""

    def __init__(self, conn):
        self.epoch = 0
        self.stopped = False
        self.orders: queue.SimpleQueue = queue.SimpleQueue()
        threading.Thread(target=self._listen, args=(conn,), daemon=True).start()

    def _listen(self, conn) -> None:
        while True:
            try:
                order = transport.receive(conn)
            except (EOFError, OSError):
                # The parent died; nobody waits for what this process may be doing.
                os._exit(1)
            if isinstance(order, Resume):
                self.epoch = order.epoch
            elif order is None:
                self.stopped = True
            self.orders.put(order)


def run(parcel, orders, results, worker_id: int, inherited: tuple) -> None:
    """The main function of a worker process.

    Args:
        parcel: holds the ``Setup`` as its ``content``.
        orders: the connection on which tasks ``(epoch, number, index)`` come in, then None.
        results: the connection on which ``(epoch, number, data)`` go out.
        worker_id: this worker's number.
        inherited: the parent's ends of the connections, where a fork has copied them here.
    """
    # Ctrl-C reaches all processes of a terminal; the parent gets to decide.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for end in inherited:
        end.close()
    if not inherited:
        _keep_off_accelerators()
    inbox = _Inbox(orders)
    setup: Setup | None = None
    fetcher = failure = None
    try:
        opened: Setup = parcel.content
        setup, fetcher = opened, _prepare(opened, worker_id)
    except Exception as error:
        failure = WorkerError(error, worker_id)
    ended = False
    while (order := inbox.orders.get()) is not None:
        if isinstance(order, Resume):
            ended = False
            if setup is not None and failure is None:
                try:
                    fetcher = setup.fetcher()
                except Exception as error:
                    failure = WorkerError(error, worker_id)
            continue
        epoch, number, index = order
        if inbox.stopped or ended or epoch != inbox.epoch:
            continue
        data: object = failure
        if setup is not None and fetcher is not None and failure is None:
            try:
                data = fetcher.fetch(index)
            except Exception as error:
                ended = isinstance(error, StopIteration) and setup.dataset_kind == _DatasetKind.Iterable
                data = StreamEnd() if ended else WorkerError(error, worker_id)
        if inbox.stopped:
            break
        try:
            _answer(results, (epoch, number, data), worker_id)
        except (BrokenPipeError, ConnectionResetError):
            break


def _keep_off_accelerators() -> None:
    """Hold XLA to the CPU here: an accelerator belongs to the parent."""
    import jax

    jax.config.update("jax_platforms", "cpu")


def _prepare(setup: Setup, worker_id: int):
    """Seed, run the user's init function, and open the dataset."""
    global _worker_info
    _seed_everything(setup.base_seed, worker_id)
    seed = setup.base_seed + worker_id
    _worker_info = WorkerInfo(id=worker_id, num_workers=setup.num_workers, seed=seed, dataset=setup.dataset)
    if setup.init_fn is not None:
        setup.init_fn(worker_id)  # type: ignore[operator]
    collate.ship_arrays(setup.collate_fn in (collate.default_collate, collate.default_convert))
    return setup.fetcher()


def _answer(conn, message: tuple, worker_id: int) -> None:
    """Send a result; where it cannot be pickled, send that instead."""
    try:
        transport.send(conn, message)
    except (BrokenPipeError, ConnectionResetError):
        raise
    except Exception as error:
        epoch, number, data = message
        told = data.without_kind() if isinstance(data, WorkerError) else WorkerError(error, worker_id)
        transport.send(conn, (epoch, number, told))
