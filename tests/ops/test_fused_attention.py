"""Where a GPU's fused attention serves, it is given what plain attention is given. JAX's own kernel stands in here."""

from types import SimpleNamespace

import jax.numpy as jnp
import pytest

import rushlight as torch
from rushlight.ops import nn_attention

sdpa = torch.nn.functional.scaled_dot_product_attention


def _inputs(dtype=torch.bfloat16, heads=4, keys=4, length=16, against=16, size=8):
    torch.manual_seed(0)
    q = torch.randn(2, heads, length, size, dtype=dtype)
    return q, *(torch.randn(2, keys, against, size, dtype=dtype) for _ in range(2))


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({}, {}),
        ({"is_causal": True}, {}),
        ({"scale": 0.3}, {"against": 24}),
        ({"enable_gqa": True}, {"keys": 2}),
        ({"enable_gqa": True, "is_causal": True}, {"keys": 1}),
    ],
)
def test_values_and_gradients(options, sizes, monkeypatch):
    def run():
        given = [t.requires_grad_() for t in _inputs(**sizes)]
        out = sdpa(*given, **options)
        return out, *torch.autograd.grad(out.float().square().sum(), given)

    plain = run()
    monkeypatch.setattr(nn_attention, "_IMPLEMENTATION", "xla")
    monkeypatch.setattr(nn_attention, "_fuses", lambda *a: True)
    for a, b in zip(run(), plain):
        torch.testing.assert_close(a, b, rtol=5e-2, atol=5e-2)  # bfloat16 keeps 8 bits


def test_when_it_applies(monkeypatch):
    monkeypatch.setattr(nn_attention, "_fuses_here", lambda: True)

    def fuses(*shapes, dtype=jnp.bfloat16, device="cuda", mask=None, causal=False, grouped=False):
        q, k, v = (
            SimpleNamespace(device=SimpleNamespace(type=device), _array=lambda s=s: jnp.zeros(s, dtype)) for s in shapes
        )
        return nn_attention._fuses(q, k, v, mask, causal, grouped)

    one, few, long = (2, 4, 16, 64), (2, 2, 16, 64), (2, 4, 20, 64)
    assert fuses(one, one, one) and fuses(one, long, long) and fuses(one, one, one, causal=True, dtype=jnp.float16)
    assert fuses(one, few, few, grouped=True) and not fuses(one, few, few)
    assert not fuses(one, long, long, causal=True)  # torch aligns the triangle at the first key
    assert not fuses(one, one, one, dtype=jnp.float32) and not fuses(one, one, one, device="cpu")
    assert not fuses(one, one, one, mask=torch.ones(16, 16)) and not fuses(*[(2, 4, 16, 60)] * 3)
    assert not fuses(*[(2, 4, 16, 256)] * 3) and not fuses(*[(4, 16, 64)] * 3)


def test_not_on_a_cpu():
    nn_attention._fuses_here.cache_clear()
    assert not nn_attention._fuses_here() or torch.cuda.is_available()
