"""Golden behaviours of the layers with little arithmetic, of pooling and of losses, without PyTorch."""

import copy
import pickle

import pytest

import rushlight as torch
from rushlight import nn


def close(tensor, expected):
    assert torch.allclose(tensor, torch.tensor(expected), atol=1e-4), tensor


def test_activations():
    x = torch.tensor([-2.0, 0.0, 3.0])
    close(nn.ReLU()(x), [0.0, 0.0, 3.0])
    close(nn.LeakyReLU(0.1)(x), [-0.2, 0.0, 3.0])
    close(nn.GELU()(x), [-0.0455, 0.0, 2.9960])
    close(nn.SiLU()(x), [-0.2384, 0.0, 2.8577])
    close(nn.Softmax(-1)(x), [0.0064, 0.0471, 0.9465])
    assert nn.ReLU(inplace=True)(x) is x and x.min() == 0


def test_the_same_seed_draws_the_same_table_and_mask():
    torch.manual_seed(0)
    table = nn.Embedding(3, 2, padding_idx=0)
    close(table.weight[1:], [[-2.1788, 0.5684], [-1.0845, -1.3986]])
    assert table.weight[0].tolist() == [0.0, 0.0]
    torch.manual_seed(0)
    assert nn.Dropout(0.5)(torch.ones(5)).tolist() == [0.0, 0.0, 2.0, 0.0, 0.0]


def test_evaluation_drops_nothing():
    x = torch.ones(3)
    layer = nn.Dropout(0.9).eval()
    assert layer(x) is x and layer.train()(x) is not x


def test_the_padding_row_gets_no_gradient():
    table = nn.Embedding(4, 2, padding_idx=1)
    table(torch.tensor([0, 1, 1, 3])).sum().backward()
    assert table.weight.grad.sum(1).tolist() == [2.0, 0.0, 0.0, 2.0]


@pytest.mark.parametrize("kind", [nn.Embedding, nn.EmbeddingBag])
def test_sparse_gradients_are_refused_and_sparse_lookups_are_not(kind):
    table, index = kind(4, 2, sparse=True), torch.tensor([[0, 1]])
    with pytest.raises(NotImplementedError, match=r"sparse=True.*Use sparse=False"):
        table(index)
    with torch.no_grad():
        assert table(index).shape[-1] == 2
    table.weight.requires_grad = False
    table(index)


def test_pooling_and_its_inverse():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    values, where = nn.MaxPool2d(2, return_indices=True)(x)
    assert values.flatten().tolist() == [5.0, 7.0, 13.0, 15.0] == where.flatten().tolist()
    back = nn.MaxUnpool2d(2)(values, where)
    assert back.shape == x.shape and back.sum() == values.sum()
    assert nn.AdaptiveAvgPool2d(1)(x).item() == 7.5


def test_losses():
    scores, classes = torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1])
    close(nn.CrossEntropyLoss()(scores, classes), 0.4100)
    close(nn.NLLLoss(reduction="sum")(scores.log_softmax(1), classes), 0.8201)
    close(nn.MSELoss(reduction="none")(scores, torch.ones(2, 2)), [[1.0, 1.0], [1.0, 1.0]])
    with pytest.raises(IndexError, match="Target 2 is out of bounds"):
        nn.CrossEntropyLoss()(scores, torch.tensor([0, 2]))


def test_ctc_of_one_step_is_the_label():
    logits = torch.tensor([[[0.5, 1.0, -1.0]]], requires_grad=True)
    logs = logits.log_softmax(-1)
    loss = nn.CTCLoss(reduction="none")(logs, torch.tensor([[1]]), (1,), (1,))
    assert torch.allclose(loss, -logs[0, :, 1])
    loss.sum().backward()
    assert torch.allclose(logits.grad.sum(), torch.tensor(0.0), atol=1e-6)


def test_chunks_change_nothing():
    x, target = torch.randn(10, 4), torch.randint(0, 9, (10,))
    whole = nn.LinearCrossEntropyLoss(4, 9)
    parts = copy.deepcopy(whole)
    parts.options = nn.LinearCrossEntropyOptions(batch_chunk_size=3)
    losses = []
    for layer in (whole, parts):
        loss = layer(x, target)
        loss.backward()
        losses.append((loss, layer.linear.weight.grad))
    assert torch.allclose(losses[0][0], losses[1][0])
    assert torch.allclose(losses[0][1], losses[1][1], atol=1e-6)


def test_pickles_name_the_public_files():
    for layer in (nn.Softmax(1), nn.AdaptiveMaxPool2d(2), nn.CosineEmbeddingLoss()):
        assert f"modules.{type(layer).__module__.rpartition('.')[2]}".encode() in pickle.dumps(layer)
        assert not type(layer).__module__.rpartition(".")[2].startswith("_")


def test_errors_of_shared_constructors_name_the_layer():
    with pytest.raises(TypeError, match=r"^ReLU6?\.__init__\(\)"):
        nn.ReLU(True, False)  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match=r"^AvgPool2d\.__init__\(\)"):
        nn.AvgPool2d()  # pyright: ignore[reportCallIssue]

    class Own(nn.ReLU):
        pass

    assert Own.__init__ is nn.ReLU.__init__
