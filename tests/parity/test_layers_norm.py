"""The normalisation layers against PyTorch: initial values, results, gradients, statistics, printed forms, refusals."""

import numpy as np
import pytest
from parity._seeded import check_layer, check_refusal, same_state
from parity._table import f, make

import rushlight

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

ALL_DTYPES = ("float64", "float32", "bfloat16")
DEFAULTS = ("BatchNorm1d", "BatchNorm2d", "InstanceNorm1d", "LayerNorm", "GroupNorm", "RMSNorm")
LAYERS = [
    ("BatchNorm1d", lambda t, **k: t.nn.BatchNorm1d(4, **k), [f(6, 4)]),
    ("BatchNorm1d 3d", lambda t, **k: t.nn.BatchNorm1d(4, eps=0.1, momentum=0.3, **k), [f(3, 4, 5)]),
    ("BatchNorm1d average", lambda t, **k: t.nn.BatchNorm1d(4, momentum=None, **k), [f(6, 4)]),
    ("BatchNorm1d untracked", lambda t, **k: t.nn.BatchNorm1d(4, track_running_stats=False, **k), [f(6, 4)]),
    ("BatchNorm1d plain", lambda t, **k: t.nn.BatchNorm1d(4, affine=False, **k), [f(6, 4)]),
    ("BatchNorm2d", lambda t, **k: t.nn.BatchNorm2d(3, **k), [f(2, 3, 4, 4)]),
    ("BatchNorm2d no bias", lambda t, **k: t.nn.BatchNorm2d(3, bias=False, **k), [f(2, 3, 4, 4)]),
    ("BatchNorm2d nothing", lambda t, **k: t.nn.BatchNorm2d(3, 1e-3, None, False, False, **k), [f(2, 3, 4, 4)]),
    ("BatchNorm3d", lambda t, **k: t.nn.BatchNorm3d(2, **k), [f(2, 2, 2, 3, 2)]),
    ("SyncBatchNorm", lambda t, **k: t.nn.SyncBatchNorm(3, **k), [f(4, 3)]),
    ("SyncBatchNorm average", lambda t, **k: t.nn.SyncBatchNorm(3, momentum=None, bias=False, **k), [f(2, 3, 3, 2, 2)]),
    ("InstanceNorm1d", lambda t, **k: t.nn.InstanceNorm1d(3, **k), [f(2, 3, 5)]),
    ("InstanceNorm1d unbatched", lambda t, **k: t.nn.InstanceNorm1d(3, affine=True, **k), [f(3, 5)]),
    ("InstanceNorm1d other size", lambda t, **k: t.nn.InstanceNorm1d(7, **k), [f(2, 3, 5)]),
    ("InstanceNorm2d", lambda t, **k: t.nn.InstanceNorm2d(3, affine=True, track_running_stats=True, **k), [f(2, 3, 3, 4)]),
    ("InstanceNorm2d no bias", lambda t, **k: t.nn.InstanceNorm2d(3, 1e-3, 0.3, True, bias=False, **k), [f(2, 3, 3, 4)]),
    ("InstanceNorm3d", lambda t, **k: t.nn.InstanceNorm3d(2, track_running_stats=True, momentum=None, **k), [f(2, 2, 2, 3, 2)]),
    ("LayerNorm", lambda t, **k: t.nn.LayerNorm(5, **k), [f(4, 5)]),
    ("LayerNorm shape", lambda t, **k: t.nn.LayerNorm([3, 4], eps=1e-2, **k), [f(2, 3, 4)]),
    ("LayerNorm size", lambda t, **k: t.nn.LayerNorm(t.Size([4]), bias=False, **k), [f(2, 3, 4)]),
    ("LayerNorm plain", lambda t, **k: t.nn.LayerNorm((4,), elementwise_affine=False, **k), [f(2, 3, 4)]),
    ("GroupNorm", lambda t, **k: t.nn.GroupNorm(2, 4, **k), [f(3, 4, 5)]),
    ("GroupNorm 2d", lambda t, **k: t.nn.GroupNorm(3, 6, 1e-3, bias=False, **k), [f(2, 6, 2, 3)]),
    ("GroupNorm plain", lambda t, **k: t.nn.GroupNorm(4, 4, affine=False, **k), [f(2, 4, 3)]),
    ("RMSNorm", lambda t, **k: t.nn.RMSNorm(5, **k), [f(4, 5)]),
    ("RMSNorm options", lambda t, **k: t.nn.RMSNorm([3, 4], 0.1, elementwise_affine=False, **k), [f(2, 3, 4)]),
]  # fmt: skip


@pytest.mark.parametrize("name, build, specs", LAYERS, ids=[r[0] for r in LAYERS])
def test_layer(name, build, specs):
    modes = (True, False) if name.startswith(("Batch", "Sync", "Instance")) else (True,)
    check_layer(name, build, specs, dtypes=ALL_DTYPES if name in DEFAULTS else ("float64",), modes=modes)


def test_response_norms():
    build = lambda t: t.nn.LocalResponseNorm(3, alpha=0.5, beta=0.6, k=2.0)  # noqa: E731
    check_layer("LocalResponseNorm", build, [f(2, 5, 3, 2)], typed=False, dtypes=("float64", "float32"))


@pytest.mark.parametrize("size, channels", [(1, 4), (3, 7), (4, 7), (5, 3), (5, 9)])
def test_cross_map(size, channels):
    # Values only: torch's own gradient of this layer is not that of its values (docs/differences-from-torch.md).
    x = np.random.default_rng(size).uniform(-2, 2, (2, channels, 3, 2))
    layers = [lib.nn.CrossMapLRN2d(size, alpha=0.7, beta=0.6, k=1.5) for lib in (torch, rushlight)]
    theirs, ours = (m(make(lib, x, "float64")) for m, lib in zip(layers, (torch, rushlight)))
    assert repr(layers[0]) == repr(layers[1])
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), 1e-12)


def test_eager():
    build = lambda t, **k: t.nn.BatchNorm1d(4, momentum=None, **k)  # noqa: E731
    check_layer("BatchNorm1d eager", build, [f(6, 4)], eager=True, modes=(True, False))


def modes(t, tracked, training, stats):
    """A batch normalisation whose options were changed after it was built."""
    rng = np.random.default_rng(3)
    m = t.nn.BatchNorm1d(3, momentum=0.5, dtype=t.float64)
    m.train(training)
    m.track_running_stats = tracked
    if not stats:
        m.running_mean = m.running_var = None
    m.weight.data = make(t, rng.uniform(1, 2, 3), "float64")
    out = [m(make(t, rng.uniform(-1, 1, (4, 3)), "float64")) for _ in range(2)]
    held = [] if not stats else [m.running_mean, m.running_var]
    return [x.detach().numpy() for x in (*out, *held, m.num_batches_tracked)]


@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("stats", [True, False])
def test_changed_options(tracked, training, stats):
    for ours, theirs in zip(*(modes(lib, tracked, training, stats) for lib in (rushlight, torch))):
        np.testing.assert_allclose(ours, theirs, 1e-12)


def net(t):
    return t.nn.Sequential(
        t.nn.BatchNorm2d(3, eps=1e-3), t.nn.Sequential(t.nn.BatchNorm1d(2, affine=False), t.nn.Linear(2, 2)).eval()
    )


def test_convert_sync():
    made = []
    for t in (torch, rushlight):
        t.manual_seed(0)
        before = net(t)
        after = t.nn.SyncBatchNorm.convert_sync_batchnorm(before)
        assert after is before and after[0].weight is before[0].weight and not after[1][0].training
        made.append(after)
    assert repr(made[0]) == repr(made[1])
    same_state("converted", made[1], made[0])


def old_state(t, layer, version, keys):
    """What loading a state dict of an older version reports and leaves behind."""
    m = layer(t)
    m(t.ones(2, 3, 4))
    state = t.nn.Module().state_dict()
    for key in keys:
        state[key] = t.full((3,), 2.0)
    state._metadata[""] = {} if version is None else {"version": version}
    try:
        m.load_state_dict(state)
    except RuntimeError as error:
        return str(error)
    return [(k, v.tolist()) for k, v in m.state_dict().items()]


ALL = ["weight", "bias", "running_mean", "running_var"]


@pytest.mark.parametrize("version", [None, 1, 2])
@pytest.mark.parametrize("keys", [ALL, ALL[:2]])
def test_old_state(version, keys):
    layers = [
        lambda t: t.nn.BatchNorm1d(3),
        lambda t: t.nn.BatchNorm1d(3, track_running_stats=False),
        lambda t: t.nn.InstanceNorm1d(3, affine=True),
    ]
    for layer in layers:
        ours, theirs = (old_state(t, layer, version, keys) for t in (rushlight, torch))
        assert ours == theirs


REFUSED = [
    ("BatchNorm1d dims", lambda t: t.nn.BatchNorm1d(3)(t.zeros(3))),
    ("BatchNorm2d dims", lambda t: t.nn.BatchNorm2d(3)(t.zeros(2, 3))),
    ("BatchNorm3d dims", lambda t: t.nn.BatchNorm3d(3)(t.zeros(2, 3))),
    ("BatchNorm one value", lambda t: t.nn.BatchNorm1d(3)(t.zeros(1, 3))),
    ("BatchNorm channels", lambda t: t.nn.BatchNorm1d(3)(t.zeros(2, 4))),
    ("BatchNorm channels eval", lambda t: t.nn.BatchNorm1d(3).eval()(t.zeros(2, 4))),
    ("BatchNorm integers", lambda t: t.nn.BatchNorm1d(3, dtype=t.int32)),
    ("SyncBatchNorm dims", lambda t: t.nn.SyncBatchNorm(3)(t.zeros(2))),
    ("SyncBatchNorm no channels", lambda t: t.nn.SyncBatchNorm(0)(t.zeros(2, 0))),
    ("_NormBase", lambda t: t.nn.modules.batchnorm._BatchNorm(3)(t.zeros(2, 3))),
    ("InstanceNorm1d dims", lambda t: t.nn.InstanceNorm1d(3)(t.zeros(3))),
    ("InstanceNorm2d dims", lambda t: t.nn.InstanceNorm2d(3)(t.zeros(2, 3))),
    ("InstanceNorm3d dims", lambda t: t.nn.InstanceNorm3d(3)(t.zeros(2, 3))),
    ("InstanceNorm channels", lambda t: t.nn.InstanceNorm1d(3, affine=True)(t.zeros(2, 4, 5))),
    ("InstanceNorm one value", lambda t: t.nn.InstanceNorm1d(3)(t.zeros(2, 3, 1))),
    ("LayerNorm shape", lambda t: t.nn.LayerNorm(3)(t.zeros(2, 4))),
    ("LayerNorm text", lambda t: t.nn.LayerNorm(None)),
    ("GroupNorm channels", lambda t: t.nn.GroupNorm(3, 4)),
    ("GroupNorm none", lambda t: t.nn.GroupNorm(0, 4)),
    ("GroupNorm input", lambda t: t.nn.GroupNorm(2, 4)(t.zeros(2, 6, 3))),
    ("RMSNorm shape", lambda t: t.nn.RMSNorm(3)(t.zeros(2, 4))),
    ("LocalResponseNorm dims", lambda t: t.nn.LocalResponseNorm(3)(t.zeros(2, 4))),
    ("CrossMapLRN2d dims", lambda t: t.nn.CrossMapLRN2d(3)(t.zeros(2, 4))),
]


@pytest.mark.parametrize("name, function", REFUSED, ids=[r[0] for r in REFUSED])
def test_refused(name, function):
    check_refusal(name, function)
