"""``torch._foreach_*``: an operator on every tensor of a list, against torch."""

import re

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")

NAMES = sorted(name for name in dir(torch) if name.startswith("_foreach_"))
UNARY = (
    "abs", "acos", "asin", "atan", "ceil", "cos", "cosh", "erf", "erfc", "exp", "expm1", "floor", "frac", "lgamma",
    "log", "log10", "log1p", "log2", "neg", "reciprocal", "round", "rsqrt", "sigmoid", "sign", "sin", "sinh", "sqrt",
    "tan", "tanh", "trunc",
)  # fmt: skip
BINARY = ("add", "sub", "mul", "div", "maximum", "minimum", "clamp_min", "clamp_max", "pow")
FLOATS = ([0.25, 0.5, 0.75], [[0.125], [0.875]], 0.375)
OTHERS = ([0.5, 0.5, 0.25], [[0.75], [0.0625]], 2.0)


def tensors(library, values=FLOATS, dtype="float32"):
    return [library.tensor(value, dtype=getattr(library, dtype)) for value in values]


def numbers(library, dtype="int64"):
    return [library.tensor(value, dtype=getattr(library, dtype)) for value in ([1, 2, 3], [[4]])]


def shown(value):
    """What is compared of a result: kinds, dtypes, shapes and values; or the exception."""
    if isinstance(value, tuple | list):
        return [type(value).__name__, *(shown(item) for item in value)]
    return str(value.dtype), tuple(value.shape), value.detach().numpy()


def outcome(expression, library):
    try:
        return shown(expression(library))
    except Exception as problem:
        # The first line without the list of overloads and what ours add.
        return type(problem), re.split(r" - |\n", str(problem))[0]


def same(expected, received):
    if isinstance(expected, list):
        assert expected[0] == received[0] and len(expected) == len(received), (expected, received)
        for one, other in zip(expected[1:], received[1:], strict=True):
            same(one, other)
        return
    if isinstance(expected[0], type):
        assert expected[0] is received[0], (expected, received)
        assert received[1].startswith(expected[1]), (expected, received)
        return
    assert expected[:2] == received[:2], (expected, received)
    np.testing.assert_allclose(received[2], expected[2], rtol=3e-6, atol=1e-6)


def agree(expression):
    same(outcome(expression, torch), outcome(expression, rushlight))


def test_every_name_is_there():
    assert len(NAMES) > 85
    assert [name for name in NAMES if not hasattr(rushlight, name)] == []


@pytest.mark.parametrize("name", UNARY)
def test_unary(name):
    agree(lambda t: getattr(t, f"_foreach_{name}")(tensors(t)))
    agree(lambda t: getattr(t, f"_foreach_{name}_")(tensors(t)))
    agree(lambda t: getattr(t, f"_foreach_{name}")(tuple(tensors(t, dtype="float64"))))
    if name != "frac":  # its message names the kernel
        agree(lambda t: getattr(t, f"_foreach_{name}")(numbers(t)))
        agree(lambda t: getattr(t, f"_foreach_{name}_")(numbers(t)))


OPERANDS = {
    "number": lambda t: 0.5,
    "whole number": lambda t: 2,
    "truth value": lambda t: True,
    "numbers": lambda t: [0.5, 2, 1.5],
    "tensors": lambda t: tensors(t, OTHERS),
    "tensors of another dtype": lambda t: tensors(t, OTHERS, "float64"),
    "a tensor of no dimension": lambda t: t.tensor(2.0),
    "too few numbers": lambda t: [0.5],
    "too few tensors": lambda t: tensors(t, OTHERS)[:2],
    "a text": lambda t: "x",
    "numbers and tensors": lambda t: [1.0, t.ones(()), 1.0],
}


@pytest.mark.parametrize("operand", OPERANDS)
@pytest.mark.parametrize("name", BINARY)
def test_binary(name, operand):
    make = OPERANDS[operand]
    agree(lambda t: getattr(t, f"_foreach_{name}")(tensors(t), make(t)))
    agree(lambda t: getattr(t, f"_foreach_{name}_")(tensors(t), make(t)))


@pytest.mark.parametrize("name", BINARY)
def test_binary_of_whole_numbers(name):
    agree(lambda t: getattr(t, f"_foreach_{name}")(numbers(t), 2))
    agree(lambda t: getattr(t, f"_foreach_{name}")(numbers(t), 1.5))
    agree(lambda t: getattr(t, f"_foreach_{name}")(numbers(t), numbers(t, "int32")))
    if name in ("add", "sub", "mul", "div", "pow"):  # a bound's message spells the dtype in another way
        agree(lambda t: getattr(t, f"_foreach_{name}_")(numbers(t), 1.5))


ROWS = {
    "alpha": lambda t: t._foreach_add(tensors(t), tensors(t, OTHERS), alpha=3),
    "alpha in place": lambda t: t._foreach_sub_(tensors(t), tensors(t, OTHERS), alpha=0.5),
    "alpha of one": lambda t: t._foreach_add(tensors(t), t.tensor(2.0), alpha=3),
    "alpha of a number": lambda t: t._foreach_add(tensors(t), 1, alpha=2),
    "by name": lambda t: t._foreach_add(self=tensors(t), other=tensors(t, OTHERS)),
    "scalar by name": lambda t: t._foreach_mul(self=tensors(t), scalar=2),
    "scalars by name": lambda t: t._foreach_mul_(tensors(t), scalars=[1, 2, 3]),
    "exponent by name": lambda t: t._foreach_pow_(tensors(t), exponent=[1, 2, 3]),
    "number to powers": lambda t: t._foreach_pow(2.0, tensors(t)),
    "addcmul": lambda t: t._foreach_addcmul(tensors(t), tensors(t, OTHERS), tensors(t)),
    "addcmul value": lambda t: t._foreach_addcmul_(tensors(t), tensors(t, OTHERS), tensors(t), value=0.5),
    "addcmul numbers": lambda t: t._foreach_addcmul(tensors(t), tensors(t), tensors(t), [1, 2, 3.5]),
    "addcmul packed": lambda t: t._foreach_addcmul_(tensors(t), tensors(t), tensors(t), t.tensor([1, 2, 3.5])),
    "addcmul by name": lambda t: t._foreach_addcmul(tensors(t), tensors(t), tensors(t), scalars=[1, 2, 3]),
    "addcmul short": lambda t: t._foreach_addcmul(tensors(t), tensors(t), tensors(t)[:2]),
    "addcmul few": lambda t: t._foreach_addcmul(tensors(t), tensors(t), tensors(t), [1.0]),
    "addcmul packed few": lambda t: t._foreach_addcmul(tensors(t), tensors(t), tensors(t), t.ones(2)),
    "addcmul packed 0": lambda t: t._foreach_addcmul(tensors(t), tensors(t), tensors(t), t.tensor(1.0)),
    "addcmul packed apart": lambda t: t._foreach_addcmul(tensors(t), tensors(t), tensors(t), t.ones(6)[::2]),
    "addcdiv": lambda t: t._foreach_addcdiv(tensors(t), tensors(t), tensors(t, OTHERS), -0.5),
    "addcdiv numbers": lambda t: t._foreach_addcdiv_(tensors(t), tensors(t), tensors(t, OTHERS), [1, 2, 3]),
    "lerp": lambda t: t._foreach_lerp(tensors(t), tensors(t, OTHERS), 0.25),
    "lerp in place": lambda t: t._foreach_lerp_(tensors(t), tensors(t, OTHERS), weight=0.75),
    "lerp tensors": lambda t: t._foreach_lerp(tensors(t), tensors(t, OTHERS), tensors(t)),
    "lerp by name": lambda t: t._foreach_lerp_(tensors(t), tensors(t, OTHERS), weights=tensors(t)),
    "lerp numbers": lambda t: t._foreach_lerp(tensors(t), tensors(t, OTHERS), [0.0, 0.5, 1.0]),
    "lerp short": lambda t: t._foreach_lerp_(tensors(t), tensors(t)[:1], 0.5),
    "lerp few": lambda t: t._foreach_lerp(tensors(t), tensors(t), [0.5]),
    "norm": lambda t: t._foreach_norm(tensors(t)),
    "norm 1": lambda t: t._foreach_norm(tensors(t), 1),
    "norm inf": lambda t: t._foreach_norm(tensors(t), ord=float("inf")),
    "norm dtype": lambda t: t._foreach_norm(tensors(t), 2, t.float64),
    "norm of whole": lambda t: t._foreach_norm(numbers(t)),
    "norm text": lambda t: t._foreach_norm(tensors(t), "inf"),
    "powsum": lambda t: t._foreach_powsum(tensors(t), 3),
    "powsum 0": lambda t: t._foreach_powsum([t.tensor([0.0, 2.0])], 0),
    "powsum dtype": lambda t: t._foreach_powsum(tensors(t), dtype=t.float64),
    "powsum complex": lambda t: t._foreach_powsum([t.tensor([3 + 4j])]),
    "max": lambda t: t._foreach_max(tensors(t)),
    "max of none": lambda t: t._foreach_max([t.ones(0)]),
    "two operands": lambda t: t._foreach_add(tensors(t), 1, scalar=2),
    "clone": lambda t: t._foreach_clone(tensors(t), memory_format=t.preserve_format),
    "copy": lambda t: t._foreach_copy_(tensors(t), tensors(t, OTHERS, "float64")),
    "copy short": lambda t: t._foreach_copy_(tensors(t), tensors(t)[:1]),
    "copy shapes": lambda t: t._foreach_copy_(tensors(t), [t.ones(4)] * 3),
    "zero": lambda t: t._foreach_zero_(tensors(t)),
    "mm": lambda t: t._foreach_mm([t.ones(1, 2), t.ones(3, 1)], [t.ones(2, 1), t.ones(1, 2)]),
    "mm short": lambda t: t._foreach_mm([t.ones(1, 2)], []),
    "mm of none": lambda t: t._foreach_mm([], []),
    "add vector": lambda t: t._foreach_add(tensors(t), t.ones(3)),
    "mul vector": lambda t: t._foreach_mul_(tensors(t), t.ones(1)),
    "div vector": lambda t: t._foreach_div(tensors(t), t.ones(3, 2)),
    "add shapes": lambda t: t._foreach_add_([t.ones(2)], [t.ones(3)]),
    "complex": lambda t: t._foreach_mul(tensors(t), 1j),
    "bool": lambda t: t._foreach_sub([t.tensor([True])], [t.tensor([True])]),
    "no list": lambda t: t._foreach_abs(t.ones(2)),
    "no tensors": lambda t: t._foreach_abs([1, 2]),
    "leaf": lambda t: t._foreach_add_([t.ones(2, requires_grad=True)], 1),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_row(row):
    agree(ROWS[row])


@pytest.mark.parametrize("name", [name for name in NAMES if name != "_foreach_mm"])
def test_empty_list(name):
    kind = name.removeprefix("_foreach_").removesuffix("_")
    rest = {"addcmul": ([], []), "addcdiv": ([], []), "lerp": ([], 0.5), "copy": ([],)}.get(kind, ())
    rest = (1,) if kind in BINARY else rest
    agree(lambda t: getattr(t, name)([], *rest))


def test_in_place_keeps_the_list_its_tensors_and_their_views():
    for library in (torch, rushlight):
        base = library.zeros(2, 2)
        given = [base[0], library.zeros(1)]
        versions = [x._version for x in given]
        assert library._foreach_add_(given, [1.0, 2.0]) is given
        assert [x._version - v for x, v in zip(given, versions, strict=True)] == [1, 1]
        assert base.tolist() == [[1.0, 1.0], [0.0, 0.0]] and given[1].tolist() == [2.0]
        both = tuple(given)
        assert library._foreach_zero_(both) is both


def test_lists_of_different_length_change_nothing():
    given = [rushlight.zeros(2), rushlight.zeros(2)]
    with pytest.raises(RuntimeError, match="same number"):
        rushlight._foreach_add_(given, [1.0])
    with pytest.raises(TypeError, match="invalid combination of arguments"):
        rushlight._foreach_add_(given, [1.0, "two"])
    assert all(x.tolist() == [0.0, 0.0] for x in given)


def test_gradients():
    results = []
    for library in (torch, rushlight):
        leaves = [x.requires_grad_() for x in tensors(library)]
        made = library._foreach_mul(library._foreach_sin(leaves), tensors(library, OTHERS))
        made = library._foreach_addcmul_(list(made), leaves, leaves, 0.5)
        total = sum(x.sum() for x in library._foreach_norm(made))
        total.backward()
        results.append([x.grad.numpy() for x in leaves])
    for expected, received in zip(*results, strict=True):
        np.testing.assert_allclose(received, expected, rtol=1e-5)


def test_groups_by_device_and_dtype():
    found = []
    for library in (torch, rushlight):
        first = [library.ones(1), library.ones(2, dtype=library.float64), library.ones(3)]
        for group in (
            library.optim.Optimizer._group_tensors_by_device_and_dtype,
            __import__(f"{library.__name__}.utils._foreach_utils", fromlist="x")._group_tensors_by_device_and_dtype,
        ):
            pieces = group([first, first, []], with_indices=True)
            found.append({str(key): ([len(x) for x in made], places) for key, (made, places) in pieces.items()})
            assert all(places == [] for _, places in group([first]).values())
            assert group([first, [None] * 3])[library.device("cpu"), library.float32][0][1] == [None, None]
            for wrong in ([], [[]], [first, first[:1]], [[None], first[:1]]):
                with pytest.raises(RuntimeError, match=r"Expected|first list"):
                    group(wrong)
    assert found[0] == found[1] == found[2] == found[3]


def test_compiled():
    @rushlight.compile(fullgraph=True)
    def step(weights, averages):
        rushlight._foreach_lerp_(averages, weights, 0.5)
        rushlight._foreach_addcdiv_(weights, averages, rushlight._foreach_add(averages, 1.0), value=-0.1)
        return rushlight._foreach_norm(weights)

    weights, averages = tensors(rushlight), tensors(rushlight, OTHERS)
    plain, means = tensors(torch), tensors(torch, OTHERS)
    for _ in range(2):
        made = step(weights, averages)
        torch._foreach_lerp_(means, plain, 0.5)
        torch._foreach_addcdiv_(plain, means, torch._foreach_add(means, 1.0), value=-0.1)
        same(shown(torch._foreach_norm(plain)), shown(made))
    same(shown(plain), shown(weights))
