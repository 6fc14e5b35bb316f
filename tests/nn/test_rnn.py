"""Recurrent layers by themselves: padding does not matter, directions mirror each other, states may go on."""

import pickle

import numpy as np
import pytest

import rushlight as torch
from rushlight.nn.utils import rnn as r


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_a_packed_batch_is_its_sequences_one_by_one(kind):
    torch.manual_seed(0)
    layer = getattr(torch.nn, kind)(3, 4, bidirectional=True)
    parts = [torch.randn(n, 3) for n in (2, 5, 1)]
    out, _ = layer(r.pack_sequence(parts, enforce_sorted=False))
    padded, lengths = r.pad_packed_sequence(out)
    assert lengths.tolist() == [2, 5, 1]
    for i, part in enumerate(parts):
        assert torch.allclose(padded[: len(part), i], layer(part)[0], atol=1e-6)


def test_lengths_may_vary_within_one_compiled_program():
    layer = torch.nn.GRU(3, 4)
    from rushlight.ops import nn_rnn

    for longest in (9, 12, 16):
        layer(r.pack_sequence([torch.ones(longest, 3), torch.ones(2, 3)]))
    (program,) = [p for key, p in nn_rnn.stack.programs.items() if "GRU" in key][-1:]
    assert program.fwd._cache_size() == 1


def test_a_sequence_may_be_cut_in_two():
    layer = torch.nn.LSTM(3, 4, num_layers=2, proj_size=2)
    x = torch.randn(6, 2, 3)
    whole, _ = layer(x)
    first, state = layer(x[:4])
    second, _ = layer(x[4:], state)
    assert torch.allclose(torch.cat([first, second]), whole, atol=1e-6)


def test_a_layer_is_its_cell_step_by_step():
    layer = torch.nn.LSTM(3, 4)
    cell = torch.nn.LSTMCell(3, 4)
    cell.load_state_dict({name.removesuffix("_l0"): p for name, p in layer.state_dict().items()})
    x, state = torch.randn(3, 2, 3), None
    out, _ = layer(x)
    for step in range(3):
        state = cell(x[step], state)
        assert torch.allclose(state[0], out[step], atol=1e-6)


def test_gradients_by_numbers():
    torch.manual_seed(1)
    layer = torch.nn.LSTM(2, 3, proj_size=2, dtype=torch.float64)
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a: layer(a)[0], x)
    assert torch.autograd.gradgradcheck(
        lambda a: torch.nn.functional.relu(layer(a)[1][1]), x[:2].detach().requires_grad_()
    )


def test_forward_derivatives():
    layer = torch.nn.GRU(2, 3)
    x = torch.randn(4, 1, 2)
    _, moved = torch.func.jvp(lambda a: layer(a)[0], (x,), (torch.ones_like(x),))
    step = 1e-3
    rough = (layer(x + step)[0] - layer(x - step)[0]) / (2 * step)
    assert np.allclose(moved.detach().numpy(), rough.detach().numpy(), atol=1e-3)


def test_weights_may_be_replaced_and_pickled():
    layer = torch.nn.GRU(2, 3)
    layer.weight_hh_l0 = torch.nn.Parameter(torch.zeros(9, 3))
    assert layer._flat_weights[1] is layer.weight_hh_l0 and layer.all_weights[0][1] is layer.weight_hh_l0
    x = torch.ones(2, 1, 2)
    copy = pickle.loads(pickle.dumps(layer))
    assert torch.equal(copy(x)[0], layer(x)[0])
    layer.flatten_parameters()
    given = {name: torch.zeros_like(p) for name, p in layer.named_parameters()}
    assert torch.func.functional_call(layer, given, (x,))[0].abs().sum() == 0


def test_unpadding_leaves_the_batch_as_it_is():
    padded = torch.arange(6.0).reshape(3, 2)
    parts = r.unpad_sequence(padded, torch.tensor([3, 1]))
    assert [p.tolist() for p in parts] == [[0.0, 2.0, 4.0], [1.0]]
    assert padded.shape == (3, 2)


def test_lengths_beyond_the_input_are_refused():
    with pytest.raises(RuntimeError, match="Expected lengths of at most 3"):
        r.pack_padded_sequence(torch.ones(3, 1, 2), [4])
