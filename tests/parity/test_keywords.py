"""Overloads of single operators that go by the names of their keywords: copies, membership."""

import pytest

import rushlight

torch = pytest.importorskip("torch")

CALLS = [
    lambda t, x: t.isin(element=1, test_elements=x),
    lambda t, x: t.isin(element=1.0, test_elements=x),
    lambda t, x: t.isin(elements=x, test_element=1),
    lambda t, x: t.isin(x, test_element=2, invert=True),
    lambda t, x: t.isin(1, x),
    lambda t, x: t.isin(x, 1),
    lambda t, x: t.isin(elements=x, test_elements=x[:2], assume_unique=True),
    lambda t, x: t.isin(x, x[2:], out=t.empty(4, dtype=t.bool)),
    lambda t, x: t.isin(element=1, test_element=1),
    lambda t, x: t.isin(1, 1),
    lambda t, x: t.isin(element=x, test_elements=x),
    lambda t, x: t.zeros(4).copy_(other=x),
    lambda t, x: t.zeros(4).copy_(other=x, non_blocking=True),
    lambda t, x: t.zeros(4).copy_(3),
    lambda t, x: t.zeros(2, dtype=t.int64).copy_(True),
    lambda t, x: t.zeros(4).copy_(src=x),
    lambda t, x: t.zeros(4).copy_(),
    lambda t, x: t.zeros(4).copy_("a"),
]


def outcome(call, lib):
    try:
        made = call(lib, lib.arange(4.0))
    except Exception as error:
        return type(error).__name__
    return str(made.dtype), made.tolist()


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_overloads(number):
    expected, received = (outcome(CALLS[number], lib) for lib in (torch, rushlight))
    assert received == expected
