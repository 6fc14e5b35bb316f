"""The reference models are ordinary user code: the same source over PyTorch gives the same weights and outputs."""

import importlib.util
import types
from pathlib import Path

import pytest

import rushlight
from rushlight.models import darknet, resnet

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity


def over_torch(module):
    """The source of a model file, run over PyTorch: only its import line changes."""
    spec = importlib.util.find_spec(module.__name__)
    source = Path(spec.origin).read_text()
    assert source.count("from rushlight import") == 1
    made = types.ModuleType("torch_" + module.__name__.rpartition(".")[2])
    exec(compile(source.replace("from rushlight import", "from torch import"), spec.origin, "exec"), made.__dict__)
    return made


def both(module, build, seed=0):
    """The model in PyTorch and here, from the same seed."""
    made = []
    for t, source in ((torch, over_torch(module)), (rushlight, module)):
        t.manual_seed(seed)
        made.append(build(source))
    return made


def small_resnet(source):
    return source.ResNet(source.BasicBlock, [1, 1, 1, 1], num_classes=5)


def small_bottleneck(source):
    return source.ResNet(source.Bottleneck, [1, 1, 1, 1], num_classes=5, groups=2, width_per_group=32)


MODELS = [(resnet, small_resnet), (resnet, small_bottleneck), (darknet, lambda source: source.DarkNet([1, 1, 1, 1, 1]))]
IDS = ["basic", "bottleneck", "darknet"]


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "darknet53"])
def test_names_shapes_and_repr(name):
    module = darknet if name == "darknet53" else resnet
    with torch.device("meta"):
        theirs = getattr(over_torch(module), name)()
    with rushlight.device("meta"):
        ours = getattr(module, name)()
    shapes = [[(key, tuple(t.shape), str(t.dtype)) for key, t in m.state_dict().items()] for m in (theirs, ours)]
    assert [(k, s, d.replace("rushlight", "torch")) for k, s, d in shapes[1]] == shapes[0]
    assert repr(ours) == repr(theirs)
    assert [n for n, _ in ours.named_modules()] == [n for n, _ in theirs.named_modules()]


@pytest.mark.parametrize("module, build", MODELS, ids=IDS)
def test_initial_weights_from_the_same_seed(module, build):
    theirs, ours = both(module, build)
    for (name, want), have in zip(theirs.state_dict().items(), ours.state_dict().values(), strict=True):
        torch.testing.assert_close(
            torch.tensor(have.numpy()), want, rtol=3e-7, atol=3e-8, msg=lambda m, n=name: f"{n}: {m}"
        )


# Every new shape of a convolution is a compilation, so the networks that run are small ones.
@pytest.mark.parametrize(
    "module, build", [MODELS[0], (darknet, lambda source: source.DarkNet([1, 0, 0, 0, 0]))], ids=IDS[::2]
)
def test_outputs_gradients_and_statistics(module, build):
    theirs, ours = both(module, build)
    ours.load_state_dict({key: rushlight.tensor(t.numpy()) for key, t in theirs.state_dict().items()})
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    results = []
    for m, image in ((theirs, x), (ours, rushlight.tensor(x.numpy()))):
        out = m(image)
        outs = out if isinstance(out, tuple) else (out,)
        sum((o * o).mean() for o in outs).backward()
        results.append(([o.detach() for o in outs], [p.grad for p in m.parameters()], list(m.buffers())))
    (want_out, want_grads, want_buffers), (have_out, have_grads, have_buffers) = results
    for want, have in zip(want_out, have_out, strict=True):
        assert_near(want, have, 1e-4)
    for want, have in zip(want_buffers, have_buffers, strict=True):
        assert_near(want, have, 1e-4)
    # Statistics of few values amplify rounding on the way down: float32 against float64 differs as much in PyTorch.
    for want, have in zip(want_grads, have_grads, strict=True):
        assert_near(want, have, 2e-2)
    if module is resnet:
        assert_near(theirs.eval()(x).detach(), ours.eval()(rushlight.tensor(x.numpy())).detach(), 1e-4)


def assert_near(want, have, relative: float) -> None:
    """The difference is small against the size of the whole tensor."""
    want, have = want.double(), torch.tensor(have.numpy()).double()
    assert want.shape == have.shape
    assert (want - have).norm() <= relative * max(want.norm().item(), 1e-6), ((want - have).norm(), want.norm())
