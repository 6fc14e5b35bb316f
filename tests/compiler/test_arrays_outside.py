"""Arrays that are no tensors: every change of one element is seen, and comparing them makes no copy."""

import array
import tracemalloc

import numpy as np
import pytest

import rushlight as torch
from rushlight.compiler._bytes import Bits

ARRAYS = {
    "float32": lambda: np.zeros(5, np.float32),
    "large": lambda: np.zeros(300_001, np.float32),
    "bytes": lambda: np.zeros((3, 7), np.uint8),
    "transposed": lambda: np.zeros((4, 300, 3)).transpose(2, 0, 1),
    "columns": lambda: np.zeros((400, 500))[:, ::2],
    "columns_of_complex": lambda: np.zeros((40, 50), complex)[:, ::2],
    "backwards": lambda: np.zeros((400, 500), np.int16)[::-1, ::-1],
    "records": lambda: np.zeros(6, [("a", "f4"), ("b", "i8")])["a"],
    "no_dimensions": lambda: np.zeros(()),
    "bytearray": lambda: bytearray(9),
    "array": lambda: array.array("d", [0.0] * 9),
    "memoryview": lambda: memoryview(bytearray(9))[::2],
}


def last(held):
    return float((held[(-1,) * held.ndim] if isinstance(held, np.ndarray) else held[-1]).real)


def put(held, value):
    place = (-1,) * held.ndim if isinstance(held, np.ndarray) else len(held) - 1
    held[place] = value


@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.parametrize("argument", [False, True], ids=["outside", "argument"])
def test_a_change_of_one_element_is_seen(kind, argument):
    held = ARRAYS[kind]()
    if argument and not isinstance(held, np.ndarray):
        pytest.skip("only numpy arrays are compared by value as arguments")
    run = torch.compile((lambda x, a: x * last(a)) if argument else (lambda x: x * last(held)))
    seen = []
    for value in (1, 1, 2, 1):
        put(held, value)
        seen.append(run(torch.ones(()), *[held] * argument).item())
    assert seen == [1.0, 1.0, 2.0, 1.0] and torch.compile.explain(run).compiles == 2


def test_bits_are_compared_and_not_values():
    a = np.array([0.0, np.nan])
    kept = Bits(a, True)
    assert kept == Bits(a, False) and hash(kept) == hash(Bits(a, False))
    a[0] = -0.0
    assert kept != Bits(a, False)
    assert Bits(np.zeros((3, 2)), True) != Bits(np.zeros((2, 3)), True)
    assert Bits(np.zeros(2), True) != Bits(np.zeros(2, np.int64), True)
    assert Bits(np.zeros((3, 3)), True) != Bits(np.zeros((3, 3)).T, True)
    grown = bytearray(3)
    kept = Bits(grown, True)
    grown.append(0)
    assert kept != Bits(grown, False)


@pytest.mark.parametrize("argument", [False, True], ids=["outside", "argument"])
def test_a_call_copies_no_array(argument):
    held = np.zeros(2_000_000)
    run = torch.compile((lambda x, a: x * a[0]) if argument else (lambda x: x * held[0]))
    x = torch.ones(2)
    run(x, *[held] * argument)
    tracemalloc.start()
    for _ in range(3):
        run(x, *[held] * argument)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < held.nbytes / 8
