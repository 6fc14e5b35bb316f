"""Formulas of several steps in half precision: they round once, to the digits that torch gives."""

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")

# name, expression(library, *inputs), shapes
ROWS = [
    ("lerp", lambda t, a, b: t.lerp(a, b, 0.1), [(2000,)] * 2),
    ("lerp by tensors", lambda t, a, b, c: t.lerp(a, b, c), [(2000,)] * 3),
    ("lerp in place", lambda t, a, b: a.clone().lerp_(b, 0.9), [(2000,)] * 2),
    ("addcmul", lambda t, a, b, c: t.addcmul(a, b, c, value=0.3), [(2000,)] * 3),
    ("addcdiv", lambda t, a, b, c: t.addcdiv(a, b, c + 4, value=0.3), [(2000,)] * 3),
    ("sigmoid", lambda t, a: t.sigmoid(a), [(2000,)]),
    ("addmm", lambda t, a, b, c: t.addmm(a, b, c, beta=-4.7, alpha=2.03), [(4, 5), (4, 64), (64, 5)]),
    ("addmm plain", lambda t, a, b, c: t.addmm(a, b, c), [(5,), (4, 64), (64, 5)]),
    ("baddbmm", lambda t, a, b, c: t.baddbmm(a, b, c, beta=0.5, alpha=2), [(2, 4, 5), (2, 4, 64), (2, 64, 5)]),
    ("linear of a vector", lambda t, *a: t.nn.functional.linear(*a), [(64,), (480, 64), (480,)]),
    ("linear", lambda t, *a: t.nn.functional.linear(*a), [(33, 64), (48, 64), (48,)]),
    ("linear of sequences", lambda t, *a: t.nn.functional.linear(*a), [(5, 7, 64), (48, 64), (48,)]),
    ("linear of images", lambda t, *a: t.nn.functional.linear(*a), [(2, 3, 7, 64), (48, 64), (48,)]),
    ("linear without bias", lambda t, *a: t.nn.functional.linear(*a), [(33, 64), (48, 64)]),
    ("conv1d", lambda t, *a: t.nn.functional.conv1d(*a), [(4, 8, 80), (16, 8, 3), (16,)]),
    ("conv2d", lambda t, *a: t.nn.functional.conv2d(*a, stride=2), [(2, 8, 20, 20), (16, 8, 3, 3), (16,)]),
    ("conv2d in groups", lambda t, *a: t.nn.functional.conv2d(*a, groups=8), [(2, 8, 20, 20), (8, 1, 3, 3), (8,)]),
    ("conv3d", lambda t, *a: t.nn.functional.conv3d(*a), [(2, 4, 8, 8, 8), (6, 4, 3, 3, 3), (6,)]),
]


def inputs(library, dtype, shapes):
    rng = np.random.default_rng(0)
    return [library.tensor(rng.standard_normal(shape)).to(getattr(library, dtype)) for shape in shapes]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize(("expression", "shapes"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_same_digits(expression, shapes, dtype):
    expected, received = (expression(t, *inputs(t, dtype, shapes)) for t in (torch, rushlight))
    assert str(expected.dtype) == str(received.dtype)
    expected, received = expected.double().numpy(), received.double().numpy()
    # The order of a sum may differ: a few of many results lie on the edge between two roundings.
    assert (expected != received).mean() <= 0.002, (expected != received).mean()


@pytest.mark.parametrize(("name", "expression", "shapes"), [
    ("addbmm", lambda t, a, b, c: t.addbmm(a, b, c, beta=-2.0), [(4, 5), (3, 4, 64), (3, 64, 5)]),
    ("addmv", lambda t, a, b, c: t.addmv(a, b, c, beta=-2.0, alpha=0.7), [(40,), (40, 64), (64,)]),
    ("add", lambda t, a, b: t.add(a, b, alpha=0.3), [(2000,)] * 2),
    ("sub", lambda t, a, b: t.sub(a, b, alpha=0.3), [(2000,)] * 2),
])  # fmt: skip
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_no_less_exact_than_torch(name, expression, shapes, dtype):
    made = [expression(t, *inputs(t, dtype, shapes)).double().numpy() for t in (torch, rushlight)]
    exact = expression(torch, *[x.double() for x in inputs(torch, dtype, shapes)]).numpy()
    theirs, ours = (np.sqrt(((x - exact) ** 2).mean()) for x in made)
    assert ours <= 1.05 * theirs


def test_addcdiv_does_not_overflow_between():
    one, large = rushlight.ones(1).half(), rushlight.tensor([60000.0]).half()
    assert rushlight.addcdiv(one, large, large, value=4.0).item() == 5.0


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_gradients_of_addmm_keep_their_dtype(dtype):
    found = []
    for t in (torch, rushlight):
        leaves = [x.requires_grad_() for x in inputs(t, dtype, [(4, 5), (4, 6), (6, 5)])]
        t.addmm(*leaves, beta=0.5, alpha=2.0).sum().backward()
        assert {x.grad.dtype for x in leaves} == {getattr(t, dtype)}
        found.append([x.grad.double().numpy() for x in leaves])
    for expected, received in zip(*found, strict=True):
        np.testing.assert_allclose(received, expected, rtol=2e-2, atol=2e-2)


def test_tangents_of_addmm():
    a, b, c = inputs(rushlight, "bfloat16", [(2, 2), (2, 3), (3, 2)])
    _, tangent = rushlight.func.jvp(lambda m: rushlight.addmm(a, m, c), (b,), (b,))
    assert tangent.dtype == rushlight.bfloat16
    np.testing.assert_allclose(tangent.double().numpy(), (b @ c).double().numpy(), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(("name", "shapes"), [
    ("conv_transpose1d", [(4, 8, 40), (8, 16, 3), (16,)]),
    ("conv_transpose2d", [(2, 8, 10, 10), (8, 16, 3, 3), (16,)]),
    ("conv_transpose3d", [(2, 4, 5, 5, 5), (4, 6, 3, 3, 3), (6,)]),
])  # fmt: skip
def test_transposed_convolutions(name, shapes):
    """In bfloat16; in float16, PyTorch rounds within these sums too."""
    expected, received = (
        getattr(t.nn.functional, name)(*inputs(t, "bfloat16", shapes)).double().numpy() for t in (torch, rushlight)
    )
    assert (expected != received).mean() <= 0.002


@pytest.mark.parametrize(("name", "shapes"), [
    ("linear", [(2, 3, 7, 64), (48, 64), (48,)]), ("conv2d", [(2, 8, 12, 12), (16, 8, 3, 3), (16,)]),
])  # fmt: skip
def test_gradients_of_layers_with_bias(name, shapes):
    found = []
    for t in (torch, rushlight):
        leaves = [x.requires_grad_() for x in inputs(t, "bfloat16", shapes)]
        made = getattr(t.nn.functional, name)(*leaves)
        made.backward(inputs(t, "bfloat16", [tuple(made.shape)])[0])
        assert {x.grad.dtype for x in leaves} == {t.bfloat16}
        found.append([x.grad.double().numpy() for x in leaves])
    for expected, received in zip(*found, strict=True):
        assert (expected != received).mean() <= 0.002


def test_layers_with_bias_round_once_inside_compile():
    layers = rushlight.nn.functional
    for name, shapes in (("linear", [(9, 64), (48, 64), (48,)]), ("conv2d", [(2, 8, 9, 9), (16, 8, 3, 3), (16,)])):
        values = inputs(rushlight, "bfloat16", shapes)
        compiled = rushlight.compile(lambda *a, name=name: getattr(layers, name)(*a))
        assert compiled(*values).tolist() == getattr(layers, name)(*values).tolist()
