"""Lazy layers against PyTorch: what they are before, during and after the call that gives them their shapes."""

import copy
import pickle

import pytest
from parity._seeded import refused, said, same_state
from parity._table import plain

import rushlight

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

LAYERS = [
    ("LazyLinear", lambda t: t.nn.LazyLinear(3), (2, 4)),
    ("LazyLinear no bias", lambda t: t.nn.LazyLinear(3, bias=False, dtype=t.float64), (2, 5, 4)),
    ("LazyConv1d", lambda t: t.nn.LazyConv1d(4, 3, stride=2), (2, 3, 7)),
    ("LazyConv2d", lambda t: t.nn.LazyConv2d(4, (3, 2), padding=1, groups=2, bias=False), (2, 6, 5, 4)),
    ("LazyConv3d unbatched", lambda t: t.nn.LazyConv3d(2, 1, padding_mode="circular"), (3, 2, 3, 2)),
    ("LazyConvTranspose1d", lambda t: t.nn.LazyConvTranspose1d(4, 3, 2, output_padding=1), (2, 3, 4)),
    ("LazyConvTranspose2d", lambda t: t.nn.LazyConvTranspose2d(4, 2, groups=2), (3, 4, 2, 2)),
    ("LazyConvTranspose3d", lambda t: t.nn.LazyConvTranspose3d(2, 1, bias=False), (1, 3, 2, 2, 2)),
    ("LazyBatchNorm1d", lambda t: t.nn.LazyBatchNorm1d(), (4, 3)),
    ("LazyBatchNorm2d", lambda t: t.nn.LazyBatchNorm2d(1e-3, None, bias=False), (2, 3, 2, 2)),
    ("LazyBatchNorm3d", lambda t: t.nn.LazyBatchNorm3d(affine=False, track_running_stats=False), (2, 3, 2, 2, 2)),
    ("LazyInstanceNorm1d", lambda t: t.nn.LazyInstanceNorm1d(), (2, 3, 4)),
    ("LazyInstanceNorm2d", lambda t: t.nn.LazyInstanceNorm2d(affine=False), (2, 3, 2, 2)),
    ("LazyInstanceNorm3d", lambda t: t.nn.LazyInstanceNorm3d(track_running_stats=False), (2, 3, 2, 2, 2)),
]


def ready(t, build, shape):
    """A layer that was called once, on numbers from the same stream in both libraries."""
    t.manual_seed(4)
    layer = build(t)
    before = repr(layer), list(layer.state_dict()), [type(p).__name__ for p in layer.state_dict().values()]
    weight = next(layer.parameters(), None)
    x = t.rand(shape, dtype=t.float64 if weight is not None and weight.dtype == t.float64 else t.float32)
    out = layer(x)
    assert not any(hasattr(layer, name) for name in ("_initialize_hook", "_load_hook"))
    assert not layer._forward_pre_hooks and not layer._load_state_dict_pre_hooks
    assert weight is next(layer.parameters(), None)
    return layer, before, out


@pytest.mark.parametrize("name, build, shape", LAYERS, ids=[r[0] for r in LAYERS])
def test_first_call(name, build, shape):
    (ours, before, got), (theirs, expected, wanted) = (ready(t, build, shape) for t in (rushlight, torch))
    assert before == expected
    assert repr(ours) == repr(theirs) and type(ours).__name__ == type(theirs).__name__
    assert [type(p).__name__ for p in ours.parameters()] == [type(p).__name__ for p in theirs.parameters()]
    same_state(name, ours, theirs, exact=not name.startswith(("LazyB", "LazyI")), dtype="float32")
    assert plain(got) == pytest.approx(plain(wanted), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name, build, shape", LAYERS, ids=[r[0] for r in LAYERS])
def test_loading_gives_shapes(name, build, shape):
    made, _, _ = ready(rushlight, build, shape)
    lazy = build(rushlight)
    lazy.load_state_dict(made.state_dict())
    assert not lazy.has_uninitialized_params() and type(lazy).__name__ == name.split()[0]
    same_state(name, lazy, made)
    twin = copy.deepcopy(lazy)
    twin(rushlight.rand(shape, dtype=next(iter(made.state_dict().values()), rushlight.zeros(1)).dtype))
    assert type(twin) is type(made) and repr(twin) == repr(made)


@pytest.mark.parametrize("name, build, shape", LAYERS, ids=[r[0] for r in LAYERS])
def test_copies_stay_lazy(name, build, shape):
    layer = build(rushlight)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert twin.has_uninitialized_params() == layer.has_uninitialized_params()
        assert repr(twin) == repr(layer)
        first = next(twin.parameters(), None)
        twin(rushlight.rand(shape, dtype=rushlight.float32 if first is None else first.dtype))
        assert type(twin) is layer.cls_to_become
        assert type(layer) is not layer.cls_to_become and layer._forward_pre_hooks


def loads(t, source, target):
    """Load one lazy or ready layer into another."""
    layers = [t.nn.LazyLinear(3), t.nn.LazyLinear(3), t.nn.Linear(4, 3)]
    layers[1](t.zeros(1, 4))
    layers.append(t.nn.LazyLinear(3))
    return repr(layers[target].load_state_dict(layers[source].state_dict())), repr(layers[target])


@pytest.mark.parametrize("source", [0, 1, 2])
@pytest.mark.parametrize("target", [1, 2, 3])
def test_load(source, target):
    ours, theirs = (refused(t, lambda t: loads(t, source, target)) for t in (rushlight, torch))
    assert type(ours[0]) is type(theirs[0]) and ours[1] == theirs[1]
    if theirs[0] is not None:
        assert said(ours[0]).startswith(said(theirs[0]))


def own(t, complete=True):
    """A user's lazy module, which does not turn into another class."""

    class Own(t.nn.modules.lazy.LazyModuleMixin, t.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = t.nn.UninitializedParameter()

        def initialize_parameters(self, x, factor=1.0):
            if complete:
                self.scale.materialize(x.shape[1:])
                t.nn.init.constant_(self.scale, factor)

        def forward(self, x, factor=1.0):
            return x * self.scale

    return Own()


def test_own_module():
    for t in (rushlight, torch):
        layer = own(t)
        assert layer(t.ones(2, 3), factor=3.0).tolist() == [[3.0] * 3] * 2
        assert type(layer).__name__ == "Own" and type(layer.scale) is t.nn.Parameter


def nothing(t):
    class Empty(t.nn.modules.lazy.LazyModuleMixin, t.nn.Module):
        pass

    return Empty()


REFUSED = [
    ("not complete", lambda t: own(t, complete=False)(t.ones(2))),
    ("not defined", lambda t: nothing(t)(t.ones(2))),
    ("data parallel", lambda t: t.nn.LazyLinear(2)._replicate_for_data_parallel()),
    ("share memory", lambda t: t.nn.LazyLinear(2).weight.share_memory_()),
]


@pytest.mark.parametrize("name, function", REFUSED, ids=[r[0] for r in REFUSED])
def test_refused(name, function):
    ours, theirs = (refused(t, function)[0] for t in (rushlight, torch))
    assert type(ours) is type(theirs) and said(ours) == said(theirs)
