"""``torch._check`` and its relatives, and numpy's name of the dimension in joins, against torch."""

import pytest

import rushlight

torch = pytest.importorskip("torch")

ROWS = {
    "holds": lambda t: t._check(True, lambda: "x"),
    "fails": lambda t: t._check(1 > 2, lambda: "one is less"),
    "number as message": lambda t: t._check(False, lambda: 5),
    "no bool": lambda t: t._check(1),
    "tensor": lambda t: t._check(t.tensor(True)),
    "message no function": lambda t: t._check_value(False, "x"),
    "index": lambda t: t._check_index(False, lambda: "x"),
    "value": lambda t: t._check_value(False, lambda: "x"),
    "type": lambda t: t._check_type(False, lambda: "x"),
    "not implemented": lambda t: t._check_not_implemented(False, lambda: "x"),
    "with": lambda t: t._check_with(KeyError, False, lambda: "x"),
    "all hold": lambda t: t._check_tensor_all(t.ones(2) > 0),
    "all": lambda t: t._check_tensor_all(t.tensor([True, False]), lambda: "x"),
    "all with": lambda t: t._check_tensor_all_with(ValueError, t.tensor([False]), lambda: "x"),
    "all of numbers": lambda t: t._check_tensor_all(t.tensor([1])),
    "all of no tensor": lambda t: t._check_tensor_all(True),
}


def outcome(expression, library):
    try:
        return expression(library)
    except Exception as problem:
        return type(problem), str(problem)


@pytest.mark.parametrize("row", ROWS)
def test_row(row):
    assert outcome(ROWS[row], rushlight) == outcome(ROWS[row], torch)


@pytest.mark.filterwarnings("ignore:_check_is_size:FutureWarning")
@pytest.mark.parametrize("library", [torch, rushlight])
def test_silent_failures_and_sizes(library):
    library._check_is_size(3, max=3)
    for wrong in (lambda: library._check(False), lambda: library._check_is_size(-1),
                  lambda: library._check_is_size(4, max=3)):  # fmt: skip
        with pytest.raises(RuntimeError, match="Expected cond to be True, but got False"):
            wrong()


@pytest.mark.parametrize("name", ["cat", "concat", "concatenate", "stack"])
def test_joins_take_an_axis(name):
    made = [getattr(t, name)([t.ones(2, 3), t.zeros(2, 3)], axis=1).tolist() for t in (torch, rushlight)]
    assert made[0] == made[1]
