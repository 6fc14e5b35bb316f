"""torch.nn.attention.flex_attention, value by value; gradients against the formula, since PyTorch's CPU has none."""

import numpy as np
import pytest

import rushlight
import rushlight.nn.attention.flex_attention as ours

torch = pytest.importorskip("torch")
theirs = pytest.importorskip("torch.nn.attention.flex_attention")


def arrays(*shapes):
    generator = np.random.default_rng(0)
    return [generator.standard_normal(shape).astype(np.float32) for shape in shapes]


MODS = {
    "none": lambda t, table: None,
    "relative": lambda t, table: lambda score, b, h, q, k: score + 0.1 * (q - k),
    "table": lambda t, table: lambda score, b, h, q, k: score * table[h, q] + table[b, k],
    "condition": lambda t, table: lambda score, b, h, q, k: t.where(q >= k, score, score - 2.0),
}
MASKS = {
    "none": None,
    "causal": lambda b, h, q, k: q >= k,
    "window": lambda b, h, q, k: (q >= k) & (q - k < 2) & (q != 3),
    "by head": lambda b, h, q, k: (h == 0) | (k < 4),
}


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("mod", MODS)
@pytest.mark.parametrize("mask", MASKS)
def test_values(mod, mask):
    values = arrays((2, 4, 5, 8), (2, 2, 7, 8), (2, 2, 7, 6), (4, 7))
    results = []
    for t, flex in ((torch, theirs), (rushlight, ours)):
        q, k, v, table = map(t.tensor, values)
        block = MASKS[mask] and flex.create_block_mask(MASKS[mask], 2, 4, 5, 7, device="cpu")
        output, aux = flex.flex_attention(
            q, k, v, MODS[mod](t, table), block, enable_gqa=True, return_aux=flex.AuxRequest(lse=True)
        )
        results.append([x.numpy() for x in (output, aux.lse)])
    for expected, received in zip(*results, strict=True):
        np.testing.assert_allclose(received, expected, rtol=2e-5, atol=2e-6)


def test_masks_agree():
    for block in (2, (3, 2)):
        received, expected = (
            flex.create_block_mask(flex.and_masks(MASKS["causal"], MASKS["window"]), 2, None, 6, 7, "cpu", block)
            for flex in (ours, theirs)
        )
        assert received.to_dense().tolist() == expected.to_dense().tolist()
        assert received.sparsity() == pytest.approx(expected.sparsity())
        assert received.shape == expected.shape and received.numel() == expected.numel()
    both = [
        flex.create_mask(flex.or_masks(MASKS["causal"], flex.noop_mask), 1, 2, 3, 4, "cpu").tolist()
        for flex in (ours, theirs)
    ]
    assert both[0] == both[1]


def test_gradients_reach_inputs_and_captured_tensors():
    values = arrays((1, 2, 4, 3), (1, 2, 4, 3), (1, 2, 4, 3), (2, 4, 4))
    q, k, v, bias = (rushlight.tensor(value, requires_grad=True) for value in values)
    mask = ours.create_block_mask(MASKS["causal"], None, None, 4, 4)
    ours.flex_attention(q, k, v, lambda s, b, h, i, j: s + bias[h, i, j], mask).square().sum().backward()
    a, b, c, d = (torch.tensor(value, requires_grad=True) for value in values)
    hidden = torch.ones(4, 4).triu(1) * -1e9
    weights = (a @ b.mT / 3**0.5 + d + hidden).softmax(-1)
    (weights @ c).square().sum().backward()
    for received, expected in zip((q, k, v, bias), (a, b, c, d), strict=True):
        np.testing.assert_allclose(received.grad.numpy(), expected.grad.numpy(), rtol=2e-4, atol=2e-5)


def test_errors():
    x = rushlight.ones(1, 4, 3, 2)
    with pytest.raises(ValueError, match="4D tensors"):
        ours.flex_attention(x[0], x, x)
    with pytest.raises(ValueError, match="enable_gqa=True"):
        ours.flex_attention(x, x[:, :2], x[:, :2])
    with pytest.raises(ValueError, match="multiple of kv heads"):
        ours.flex_attention(x, x[:, :3], x[:, :3], enable_gqa=True)
    with pytest.raises(ValueError, match="sequence lengths"):
        ours.flex_attention(x, x, x, block_mask=ours.create_block_mask(MASKS["causal"], None, None, 2, 2))
    with pytest.raises(NotImplementedError, match="unknown_option"):
        ours.create_block_mask(MASKS["causal"], None, None, 2, 2, unknown_option=1)


def test_masks_from_lists_of_blocks():
    """The lists decide, and ``mask_mod`` in what they let through; PyTorch's own CPU path asks ``mask_mod`` alone."""
    counted = [[[1, 2, 0], [2, 1, 1]]]
    listed = [[[[0, 1, 2, 3], [3, 0, 1, 2], [1, 0, 2, 3]], [[2, 1, 0, 3], [0, 1, 2, 3], [3, 2, 1, 0]]]]
    blocks = []
    for t, flex in ((torch, theirs), (rushlight, ours)):
        counts, places = t.tensor(counted, dtype=t.int32), t.tensor(listed, dtype=t.int32)
        full = (t.ones_like(counts), places.flip(-1).contiguous())
        for more in ((), full):
            made = flex.BlockMask.from_kv_blocks(
                counts, places, *more, BLOCK_SIZE=2, mask_mod=lambda b, h, q, k: (q + k) % 2 == 0
            )
            assert tuple(made.shape) == (1, 2, 6, 8)
            blocks.append(made)
        with pytest.raises(RuntimeError):
            flex.BlockMask.from_kv_blocks(counts, places[0, 0, 0])
    for expected, received in zip(blocks[:2], blocks[2:]):
        np.testing.assert_array_equal(received.to_dense().numpy(), expected.to_dense().numpy())
    let = np.zeros((1, 2, 6, 8), bool)
    for h, row in np.ndindex(2, 3):
        for place, column in enumerate(listed[0][h][row]):
            part = let[0, h, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            if place < counted[0][h][row]:
                part |= np.eye(2, dtype=bool)
            if place == 3:
                part[:] = True
    values = arrays((1, 2, 6, 4), (1, 2, 8, 4), (1, 2, 8, 4))
    expected = torch.nn.functional.scaled_dot_product_attention(*map(torch.tensor, values), torch.tensor(let))
    received = ours.flex_attention(*map(rushlight.tensor, values), block_mask=blocks[3])
    np.testing.assert_allclose(received.numpy(), expected.numpy(), rtol=2e-5, atol=2e-6)
