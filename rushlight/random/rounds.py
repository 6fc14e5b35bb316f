"""Owns the loop that fills a large array in rounds: words from one thread in order, arithmetic beside it on others.

May import only the standard library and numpy.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

# The words come at about 2 ns each from one thread; more workers than this have nothing to do.
_WORKERS = min(6, os.cpu_count() or 1)
THREADED_FROM = 1 << 20  # elements; below, starting threads costs more than it saves


def fill(
    out: np.ndarray,
    draw: Callable[[int], np.ndarray],
    transform: Callable[[np.ndarray, np.ndarray], None],
    step: int,
    threaded_step: int,
) -> None:
    """Fill ``out`` round by round with ``transform(draw(n), part)``.

    Args:
        out: a one-dimensional array.
        draw: gives the words for the next ``n`` elements; called in order, from this thread.
        transform: turns words into elements, written to the part of ``out`` it is given; may run on another thread.
        step: elements a round, so that a round stays in the cache.
        threaded_step: elements a round with threads; longer, for fewer hand-overs of the interpreter lock.
    """
    if out.size < THREADED_FROM or _WORKERS < 2:
        for start in range(0, out.size, step):
            part = out[start : start + step]
            transform(draw(part.size), part)
        return
    with ThreadPoolExecutor(_WORKERS) as pool:
        running: deque = deque()
        for start in range(0, out.size, threaded_step):
            part = out[start : start + threaded_step]
            running.append(pool.submit(transform, draw(part.size), part))
            if len(running) > 2 * _WORKERS:  # bounds the memory held by words that wait
                running.popleft().result()
        for future in running:
            future.result()
