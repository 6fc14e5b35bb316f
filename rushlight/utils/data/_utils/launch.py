"""Owns how worker processes start: a fork server of its own that has rushlight loaded and no XLA.

May import the standard library; the server's process imports rushlight.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import multiprocessing.context as context
import os
from collections.abc import Iterator
from multiprocessing import process, reduction, spawn, util

# A worker that opened the accelerator would take its memory from the training process, and one thread per worker is
# what torch gives them too.
_FORCED = {"JAX_PLATFORMS": "cpu"}
_PREFERRED = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NPROC": "1"}


@contextlib.contextmanager
def worker_environment() -> Iterator[None]:
    """Set the variables that a process started in this block is to inherit."""
    wanted = {**{name: os.environ.get(name, value) for name, value in _PREFERRED.items()}, **_FORCED}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def default_context() -> context.BaseContext:
    """The context that starts workers where the user names none."""
    return _OWN if _OWN is not None else multiprocessing.get_context("spawn")


_OWN: context.BaseContext | None = None

if "forkserver" in multiprocessing.get_all_start_methods():
    from multiprocessing import forkserver, popen_forkserver

    # The standard server is shared by the whole program, which may have loaded XLA into it or need an accelerator in
    # its processes; forking a process with XLA's threads can deadlock.
    _server = forkserver.ForkServer()
    _server.set_forkserver_preload(["rushlight.utils.data._utils.worker"])

    class _Popen(popen_forkserver.Popen):
        def _launch(self, process_obj) -> None:
            data = io.BytesIO()
            context.set_spawning_popen(self)
            try:
                reduction.dump(spawn.get_preparation_data(process_obj._name), data)
                reduction.dump(process_obj, data)
            finally:
                context.set_spawning_popen(None)
            self.sentinel, pipe = _server.connect_to_new_process(self._fds)  # type: ignore[attr-defined]
            # The child watches this end: it closes when this process ends.
            watched = os.dup(pipe)
            self.finalizer = util.Finalize(self, util.close_fds, (watched, self.sentinel))  # type: ignore[attr-defined]
            with open(pipe, "wb", closefd=True) as file:
                file.write(data.getbuffer())
            self.pid = forkserver.read_signed(self.sentinel)

    class _WorkerProcess(process.BaseProcess):
        _start_method = "forkserver"

        @staticmethod
        def _Popen(process_obj):
            return _Popen(process_obj)

    class _WorkerContext(context.BaseContext):
        _name = "forkserver"
        Process = _WorkerProcess

        def get_start_method(self, allow_none: bool = False) -> str:
            return self._name

    _OWN = _WorkerContext()
