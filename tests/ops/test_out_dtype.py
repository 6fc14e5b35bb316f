"""Products of half precision in float32: exact sums, gradients in the factors' dtype, and what is refused."""

import numpy as np
import pytest

import rushlight as torch


def factors(dtype, *shapes):
    rng = np.random.default_rng(0)
    return [torch.tensor(rng.standard_normal(shape)).to(getattr(torch, dtype)) for shape in shapes]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("compiled", [False, True])
def test_products_are_not_rounded(dtype, compiled):
    def run(a, b, c):
        wide = torch.float32
        return (
            torch.mm(a, b, out_dtype=wide),
            torch.bmm(a[None], b[None], wide)[0],
            torch.addmm(c, a, b, out_dtype=wide, beta=0.5, alpha=2),
            torch.baddbmm(c[None].float(), a[None], b[None], out_dtype=wide)[0],
            torch.mm(a, b, out_dtype=getattr(torch, dtype)),
        )

    a, b, c = factors(dtype, (8, 64), (64, 8), (8, 8))
    found = (torch.compile(run) if compiled else run)(a, b, c)
    exact, base = a.double().numpy() @ b.double().numpy(), c.double().numpy()
    for made, expected in zip(found, (exact, exact, 0.5 * base + 2 * exact, base + exact), strict=False):
        assert made.dtype == torch.float32
        np.testing.assert_allclose(made.numpy(), expected, rtol=1e-5, atol=1e-5)
    assert found[-1].dtype == getattr(torch, dtype)
    assert found[-1].tolist() == torch.mm(a, b).tolist()
    assert np.abs(found[-1].float().numpy() - exact).max() > 1e-4


def test_gradients_have_the_factors_dtype():
    a, b = (x.requires_grad_() for x in factors("bfloat16", (2, 3), (3, 4)))
    torch.mm(a, b, out_dtype=torch.float32).sum().backward()
    assert a.grad.dtype == b.grad.dtype == torch.bfloat16
    np.testing.assert_allclose(a.grad.float().numpy()[0], b.detach().float().numpy().sum(1), rtol=1e-2, atol=1e-2)


def test_other_dtypes_are_refused():
    x = torch.ones(2, 2)
    assert torch.mm(x, x, out_dtype=torch.float32).tolist() == [[2, 2], [2, 2]]
    for factor, wanted in ((x, torch.float64), (x.bfloat16(), torch.float16), (x.half(), torch.float64)):
        with pytest.raises(RuntimeError, match=r"out_dtype must be the same as input dtype or fp32.*received"):
            torch.mm(factor, factor, out_dtype=wanted)


def test_quantized_tensors_are_refused():
    with pytest.raises(NotImplementedError, match=r"\(input\.float\(\) - zero_point\) \* scale"):
        torch._make_per_tensor_quantized_tensor(torch.ones(2, dtype=torch.int8), 0.1, 0)
