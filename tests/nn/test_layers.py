"""The affine, convolution and normalisation layers without PyTorch: golden initial values and a few behaviours."""

import copy
import pickle

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn

# The first values that torch 2.13 draws after torch.manual_seed(0).
LAYERS = [
    (lambda: nn.Linear(3, 2), "weight", [-0.004322517663240433, 0.3097158372402191, -0.4751853346824646]),
    (lambda: nn.Linear(3, 2), "bias", [-0.011439144611358643, 0.45777493715286255]),
    (lambda: nn.Conv2d(4, 6, 3, groups=2), "weight", [-0.0017646604683250189, 0.12644097208976746]),
    (lambda: nn.Conv2d(4, 6, 3, groups=2), "bias", [-0.012987101450562477, 0.035389527678489685]),
    (lambda: nn.ConvTranspose1d(4, 6, 5), "weight", [-0.001366900047287345, 0.09794075042009354]),
    (lambda: nn.Bilinear(2, 3, 4), "bias", [-0.11397384107112885, 0.07482186704874039, 0.6402683854103088]),
    (lambda: nn.Linear(8, 8, dtype=torch.float64), "weight", [0.33237766509450606, 0.14695083538235879]),
    (lambda: nn.Linear(3, 2, dtype=torch.bfloat16), "weight", [-0.00433349609375, 0.310546875, -0.474609375]),
]
FILLED = [
    (lambda w: nn.init.normal_(w), [-1.1258398294448853, -1.152360200881958, -0.2505785822868347]),
    (lambda w: nn.init.trunc_normal_(w, std=2.0), [0.8793916702270508, 0.22482237219810486, -0.5011571645736694]),
    (lambda w: nn.init.kaiming_normal_(w, mode="fan_out"), [-0.7960889935493469, -0.8148416876792908]),
    (lambda w: nn.init.sparse_(w, 0.5), [-0.011258398182690144, 0.0, 0.0, -0.004338787868618965]),
]


@pytest.mark.parametrize("build, name, values", LAYERS)
def test_initial_values(build, name, values):
    torch.manual_seed(0)
    assert getattr(build(), name).flatten()[: len(values)].tolist() == values


@pytest.mark.parametrize("fill, values", FILLED)
def test_filled_values(fill, values):
    torch.manual_seed(0)
    assert fill(torch.empty(4, 5)).flatten()[: len(values)].tolist() == values


def test_linear_computes():
    layer = nn.Linear(2, 1)
    layer.load_state_dict({"weight": torch.tensor([[2.0, 3.0]]), "bias": torch.tensor([1.0])})
    x = torch.tensor([[1.0, 10.0]], requires_grad=True)
    layer(x).backward()
    assert layer(x).tolist() == [[33.0]]
    assert (x.grad.tolist(), layer.weight.grad.tolist(), layer.bias.grad.tolist()) == ([[2, 3]], [[1, 10]], [1])


def test_same_padding_is_uneven():
    layer = nn.Conv1d(1, 1, 2, padding="same", bias=False)
    nn.init.ones_(layer.weight)
    assert layer(torch.tensor([[[1.0, 2.0, 4.0]]])).tolist() == [[[3.0, 6.0, 4.0]]]


@pytest.mark.parametrize(
    "mode, ends", [("zeros", (3.0, 6.0)), ("reflect", (5.0, 8.0)), ("replicate", (4.0, 10.0)), ("circular", (7.0, 7.0))]
)
def test_padding_modes(mode, ends):
    layer = nn.Conv1d(1, 1, 3, padding=1, padding_mode=mode, bias=False)
    nn.init.ones_(layer.weight)
    out = layer(torch.tensor([[[1.0, 2.0, 4.0]]])).flatten().tolist()
    assert out == [ends[0], 7.0, ends[1]]


def test_batch_norm_statistics():
    layer = nn.BatchNorm1d(1, momentum=None)
    for values in ([0.0, 2.0], [4.0, 8.0]):
        layer(torch.tensor(values).reshape(2, 1))
    assert layer.running_mean.tolist() == [3.5] and layer.running_var.tolist() == [5.0]
    assert layer.num_batches_tracked.item() == 2 and layer.num_batches_tracked.dtype is torch.int64
    layer.eval()
    layer(torch.ones(1, 1))
    assert layer.num_batches_tracked.item() == 2
    layer.reset_running_stats()
    assert [b.item() for b in layer.buffers()] == [0.0, 1.0, 0]


def test_batch_norm_refusal_changes_nothing():
    layer = nn.BatchNorm1d(2)
    with pytest.raises(ValueError, match="Expected more than 1 value per channel when training"):
        layer(torch.zeros(1, 2))
    assert layer.num_batches_tracked.item() == 0


def test_synchronised_norm_in_one_process():
    x = torch.rand(4, 3, generator=torch.Generator().manual_seed(0))
    plain, synced = nn.BatchNorm1d(3), nn.SyncBatchNorm(3)
    np.testing.assert_array_equal(plain(x).detach().numpy(), synced(x).detach().numpy())
    assert plain.running_var.tolist() == synced.running_var.tolist()


def test_cross_map_gradient():
    # torch's own gradient of this layer is not that of its values; this one is.
    layer = nn.CrossMapLRN2d(3, alpha=0.9, beta=0.7, k=1.2)
    x = torch.rand(1, 6, 1, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(layer, (x,))


def test_instance_norm_warns_of_another_size():
    with pytest.warns(UserWarning, match="input's size at dim=1 does not match num_features"):
        nn.InstanceNorm1d(5)(torch.rand(2, 3, 4))


def test_factory_arguments():
    made = nn.Sequential(
        nn.Linear(2, 3, device="meta"), nn.BatchNorm1d(3, device="meta", dtype=torch.float64),
        nn.Conv2d(1, 2, 3, device="meta"), nn.LayerNorm(3, device="meta"), nn.LazyLinear(2, device="meta"),
    )  # fmt: skip
    assert all(t.is_meta for t in (*made.parameters(), *made.buffers()))
    assert made[1].running_var.dtype is torch.float64 and made[1].num_batches_tracked.dtype is torch.int64
    made[:4].to_empty(device="cpu")
    assert made[1].weight.device.type == "cpu"


def test_old_convolutions_load():
    # Pickles from before padding modes know none.
    layer = nn.Conv2d(1, 1, 1)
    state = layer.__getstate__()
    del state["padding_mode"]
    revived = nn.Conv2d.__new__(nn.Conv2d)
    revived.__setstate__(state)
    assert revived.padding_mode == "zeros"


def test_subclasses_may_change_parts():
    class Scaled(nn.Conv2d):
        def reset_parameters(self):
            nn.init.constant_(self.weight, 2.0)

        def forward(self, x):
            return self._conv_forward(x, self.weight * 2, self.bias)

    assert Scaled(1, 1, 1, bias=False)(torch.ones(1, 1, 1, 1)).item() == 4.0


@pytest.mark.parametrize(
    "layer", [nn.Linear(2, 3), nn.Conv2d(2, 3, 1), nn.BatchNorm1d(2), nn.LazyConv1d(2, 1), nn.GroupNorm(1, 2)]
)
def test_copies_are_apart(layer):
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert repr(twin) == repr(layer) and type(twin) is type(layer)
        if not isinstance(twin, nn.modules.lazy.LazyModuleMixin):
            before = layer.weight.tolist()
            nn.init.constant_(twin.weight, 9.0)
            assert layer.weight.tolist() == before and twin.weight.flatten()[0].item() == 9.0


def test_orthogonal_rows():
    w = nn.init.orthogonal_(torch.empty(3, 2, 4), gain=2.0).reshape(3, 8)
    np.testing.assert_allclose((w @ w.T).numpy(), 4 * np.eye(3), atol=1e-5)


def test_truncated_normal_stays_within():
    w = nn.init.trunc_normal_(torch.empty(200), mean=0.5, std=3.0, a=-1.0, b=1.0)
    assert bool((w >= -1).all() and (w <= 1).all()) and len(set(w.tolist())) > 150
