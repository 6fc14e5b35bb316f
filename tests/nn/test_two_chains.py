"""Recurrent layers over many sequences, which a CPU takes in two halves, give what few at a time give."""

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.ops import nn_rnn


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
def test_values_and_gradients(kind, packed):
    torch.manual_seed(0)
    size = nn_rnn._TWO_CHAINS + 2
    layer = kind(3, 4, num_layers=2, bidirectional=True)
    x, weights = torch.randn(5, size, 3), torch.randn(5, size, 8)
    lengths = torch.tensor([5] * 3 + [3] * (size - 3))

    def run(part):
        given = x[:, part].clone().requires_grad_()
        data = nn.utils.rnn.pack_padded_sequence(given, lengths[part]) if packed else given
        out, state = layer(data)
        if packed:
            out = nn.utils.rnn.pad_packed_sequence(out, total_length=5)[0]
        grads = torch.autograd.grad((out * weights[:, part]).sum(), [given, *layer.parameters()])
        return [out, *(state if isinstance(state, tuple) else [state]), grads[0]], grads[1:]

    whole, gradients = run(slice(0, size))
    parts = [run(slice(at, at + 3)) for at in range(0, size, 3)]
    for got, *expected in zip(whole, *(p[0] for p in parts)):
        torch.testing.assert_close(got, torch.cat(expected, 1), rtol=1e-4, atol=1e-5)
    for got, *expected in zip(gradients, *(p[1] for p in parts)):
        torch.testing.assert_close(got, sum(expected), rtol=1e-4, atol=1e-4)
