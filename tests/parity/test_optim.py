"""Owns the proof that optimizers step as torch's do, and that their state crosses over in mid-training.

May import rushlight, torch and numpy.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import rushlight  # noqa: E402
from rushlight import optim  # noqa: E402

pytestmark = pytest.mark.parity

SHAPES = ((4, 5), ())
MORE_SHAPES = ((4, 5), (5,), (2, 3, 4), ())
STEPS = 50
TABLE = [
    ("SGD", {}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "foreach": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "maximize": True}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True, "fused": True}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.5, "amsgrad": True, "foreach": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5}),
    ("Adagrad", {"eps": 0.1, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"alpha": 0.5, "weight_decay": 0.1, "momentum": 0.9}),
    ("RMSprop", {"centered": True, "maximize": True, "eps": 1e-2}),
    ("RMSprop", {"centered": True, "momentum": 0.5, "eps": 1e-2}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.5, "eps": 1e-2, "weight_decay": 0.1, "maximize": True}),
    ("Adamax", {}),
    ("Adamax", {"lr": 0.1, "betas": (0.5, 0.9), "weight_decay": 0.1, "maximize": True}),
    ("NAdam", {}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "momentum_decay": 0.1, "maximize": True}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {}),
    ("RAdam", {"lr": 0.1, "betas": (0.5, 0.9), "weight_decay": 0.1, "maximize": True}),
    ("RAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("Rprop", {}),
    ("Rprop", {"lr": 0.1, "etas": (0.3, 1.5), "step_sizes": (1e-3, 0.5), "maximize": True}),
    ("ASGD", {}),
    ("ASGD", {"lr": 0.1, "lambd": 0.01, "alpha": 0.5, "t0": 10.0, "weight_decay": 0.1, "maximize": True}),
    ("Adafactor", {}),
    ("Adafactor", {"lr": 0.1, "beta2_decay": -0.5, "eps": (1e-3, 1e-2), "d": 2.0, "weight_decay": 0.1}),
    ("Adafactor", {"maximize": True}),
]
IDS = [f"{name}-{'-'.join(options) or 'defaults'}" for name, options in TABLE]


class Pair:
    """The same parameters in both libraries, given the same gradients."""

    def __init__(self, shapes=SHAPES, dtype=np.float32, seed=0):
        self.random = np.random.default_rng(seed)
        self.dtype = dtype
        start = [self.draw(shape) for shape in shapes]
        self.theirs = [torch.nn.Parameter(torch.tensor(a)) for a in start]
        self.ours = [rushlight.tensor(a, requires_grad=True) for a in start]

    def draw(self, shape):
        value = self.random.normal(size=shape)
        if np.issubdtype(self.dtype, np.complexfloating):
            value = value + 1j * self.random.normal(size=shape)
        return np.asarray(value, self.dtype)

    def grads(self, only=None):
        for i, (p, q) in enumerate(zip(self.theirs, self.ours)):
            if only is not None and i not in only:
                p.grad = q.grad = None
                continue
            grad = self.draw(tuple(p.shape))
            p.grad, q.grad = torch.tensor(grad), rushlight.tensor(grad)

    def agree(self, rtol=1e-5, atol=1e-5):
        for p, q in zip(self.theirs, self.ours):
            np.testing.assert_allclose(q.detach().numpy(), p.detach().numpy(), rtol, atol)


def both(pair, name, options, groups=None):
    made = []
    for kind, params in ((torch.optim, pair.theirs), (optim, pair.ours)):
        made.append(getattr(kind, name)(groups(params) if groups else params, **options))
    return made


def host(value):
    """A state value in a form that compares: tensors of either library as arrays with their dtype's name."""
    if isinstance(value, torch.Tensor):
        return value.detach().numpy(), str(value.dtype)
    if isinstance(value, rushlight.Tensor):
        return value.detach().numpy(), repr(value.dtype)
    return value


def same_state(theirs: dict, ours: dict, rtol=1e-5, atol=1e-5):
    assert list(theirs) == list(ours)
    assert theirs["param_groups"] == ours["param_groups"]
    assert [list(g) for g in theirs["param_groups"]] == [list(g) for g in ours["param_groups"]]
    assert list(theirs["state"]) == list(ours["state"])
    for number, state in theirs["state"].items():
        assert list(state) == list(ours["state"][number])
        for key, value in state.items():
            (a, kind), (b, our_kind) = host(value), host(ours["state"][number][key])
            assert kind == our_kind, key
            np.testing.assert_allclose(b, a, rtol, atol, err_msg=key)


@pytest.mark.parametrize("name, options", TABLE, ids=IDS)
def test_fifty_steps(name, options):
    pair = Pair(MORE_SHAPES if name in ("SGD", "Adafactor") else SHAPES)
    theirs, ours = both(pair, name, options)
    same_state(theirs.state_dict(), ours.state_dict())
    assert repr(theirs) == repr(ours)
    for _ in range(STEPS):
        pair.grads()
        theirs.step()
        ours.step()
    pair.agree()
    same_state(theirs.state_dict(), ours.state_dict())


@pytest.mark.parametrize("options", [{}, {"nesterov": False, "adjust_lr_fn": "match_rms_adamw"}], ids=str)
def test_muon(options):
    # The iteration runs in bfloat16, so that one unit in the last place of a product shows; hence the tolerance.
    pair = Pair(((6, 4), (3, 5)))
    theirs, ours = both(pair, "Muon", {"lr": 0.01, **options})
    for _ in range(10):
        pair.grads()
        theirs.step()
        ours.step()
    pair.agree(rtol=2e-2, atol=2e-3)
    same_state(theirs.state_dict(), ours.state_dict())


@pytest.mark.parametrize("name", ["SGD", "Adam", "Adagrad", "RMSprop", "NAdam", "ASGD", "Adafactor"])
def test_state_crosses_over_in_mid_training(name):
    """Each library goes on from the other's state, and both end where torch alone does."""
    options = {"lr": 0.1, **({"momentum": 0.9} if name in ("SGD", "RMSprop") else {})}
    pair = Pair()
    theirs, ours = both(pair, name, options)
    for _ in range(10):
        pair.grads()
        theirs.step()
        ours.step()
    to_them, to_us = Pair(), Pair()
    next_theirs, _ = both(to_them, name, {"lr": 1.0})
    _, next_ours = both(to_us, name, {"lr": 1.0})
    next_ours.load_state_dict(theirs.state_dict())
    saved = ours.state_dict()
    for state in saved["state"].values():
        state.update({k: torch.tensor(v.numpy()) for k, v in state.items() if isinstance(v, rushlight.Tensor)})
    next_theirs.load_state_dict(saved)
    same_state(next_theirs.state_dict(), next_ours.state_dict())
    assert next_ours.param_groups[0]["lr"] == 0.1
    mixed = Pair()
    mixed.random = pair.random
    mixed.theirs, mixed.ours = to_them.theirs, to_us.ours
    for mine, source in zip(mixed.theirs, pair.theirs):
        mine.data.copy_(source.data)
    for mine, source in zip(mixed.ours, pair.ours):
        mine._write(source._array())
    for _ in range(10):
        mixed.grads()
        for alone, with_theirs in zip(pair.theirs, mixed.theirs):
            alone.grad = with_theirs.grad.clone()
        theirs.step()
        next_theirs.step()
        next_ours.step()
    mixed.agree()
    for alone, with_theirs in zip(pair.theirs, mixed.theirs):
        np.testing.assert_allclose(with_theirs.detach(), alone.detach(), 1e-5, 1e-5)


def test_groups_and_parameters_of_different_ages():
    """Parameters that got their first gradient later have a step count of their own."""
    pair = Pair(MORE_SHAPES)

    def groups(params):
        return [{"params": params[:1], "lr": 0.5}, {"params": params[1:], "betas": (0.5, 0.5)}]

    theirs, ours = both(pair, "Adam", {"lr": 0.1}, groups)
    for only in ([0], [0, 1], [0, 1, 2], [3], [1, 3], None, None, None):
        pair.grads(only)
        theirs.step()
        ours.step()
    pair.agree()
    same_state(theirs.state_dict(), ours.state_dict())


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "NAdam"])
def test_changing_numbers_and_options_between_steps(name):
    pair = Pair()
    theirs, ours = both(pair, name, {"lr": 0.1})
    changes = [{"lr": 0.5}, {"weight_decay": 0.1}, {"maximize": True}, {"weight_decay": 0, "lr": 0.01}, {"lr": 0.02}]
    for change in changes:
        for made in (theirs, ours):
            made.param_groups[0].update(change)
        for _ in range(2):
            pair.grads()
            theirs.step()
            ours.step()
    pair.agree()


@pytest.mark.parametrize("name", ["SGD", "Adam", "Adagrad", "RMSprop", "Adadelta", "Adamax", "RAdam", "Rprop", "ASGD"])
def test_complex_parameters(name):
    pair = Pair(((3, 2), (4,)), np.complex64)
    theirs, ours = both(pair, name, {"lr": 0.1})
    for _ in range(10):
        pair.grads()
        theirs.step()
        ours.step()
    pair.agree()
    same_state(theirs.state_dict(), ours.state_dict())


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop", "Adafactor"])
def test_double_precision(name):
    pair = Pair(dtype=np.float64)
    theirs, ours = both(pair, name, {"lr": 0.1})
    for _ in range(10):
        pair.grads()
        theirs.step()
        ours.step()
    pair.agree(1e-12, 1e-12)


def test_half_precision_follows_the_fused_kernels():
    """bfloat16 is computed in 32 bits and rounded once, as torch's fused kernels do, not after each operation."""
    pair = Pair()
    pair.theirs = [torch.nn.Parameter(p.detach().bfloat16()) for p in pair.theirs]
    pair.ours = [q.detach().to(rushlight.bfloat16).requires_grad_() for q in pair.ours]
    theirs = torch.optim.Adam(pair.theirs, lr=0.1, fused=True)
    ours = optim.Adam(pair.ours, lr=0.1, fused=True)
    for _ in range(10):
        for p, q in zip(pair.theirs, pair.ours):
            grad = pair.draw(tuple(p.shape))
            p.grad, q.grad = torch.tensor(grad).bfloat16(), rushlight.tensor(grad).to(rushlight.bfloat16)
        theirs.step()
        ours.step()
    for p, q in zip(pair.theirs, pair.ours):
        np.testing.assert_allclose(q.detach().float().numpy(), p.detach().float().numpy(), 1e-2, 1e-2)


@pytest.mark.parametrize("name", ["SGD", "Adam", "Adagrad"])
def test_tensor_learning_rate(name):
    pair = Pair()
    theirs = getattr(torch.optim, name)(pair.theirs, lr=torch.tensor(0.1))
    ours = getattr(optim, name)(pair.ours, lr=rushlight.tensor(0.1))
    for i in range(5):
        theirs.param_groups[0]["lr"].fill_(0.1 / (i + 1))
        ours.param_groups[0]["lr"]._write(rushlight.tensor(0.1 / (i + 1))._array())
        pair.grads()
        theirs.step()
        ours.step()
    pair.agree()


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop"])
def test_gradients_flow_through_a_differentiable_step(name):
    start, grad, rate = np.array([1.0, -2.0], np.float32), np.array([0.3, 0.7], np.float32), np.float32(0.1)
    results = []
    for lib, kind in ((torch, torch.optim), (rushlight, optim)):
        leaf, direction = lib.tensor(start, requires_grad=True), lib.tensor(grad, requires_grad=True)
        lr = lib.tensor(rate, requires_grad=True)
        p = leaf * 2.0
        p.retain_grad()
        # torch's RMSprop takes no tensor here.
        made = getattr(kind, name)([p], lr=0.1 if name == "RMSprop" else lr, differentiable=True)
        for _ in range(3):
            p.grad = direction * 1.0
            made.step()
        loss = (p * p).sum()
        loss.backward()
        results.append([t.grad.numpy() for t in (leaf, direction, lr) if t.grad is not None])
    assert len(results[1]) == (2 if name == "RMSprop" else 3)
    for a, b in zip(*results):
        np.testing.assert_allclose(b, a, 1e-4, 1e-5)


ERRORS = [
    (lambda kind, p: kind.SGD([p], lr=-1.0), ValueError, "Invalid learning rate: -1.0"),
    (lambda kind, p: kind.SGD([p], lr=0.1, nesterov=True), ValueError, "Nesterov momentum requires a momentum"),
    (lambda kind, p: kind.SGD([p], fused=True, foreach=True), RuntimeError, "`fused` and `foreach`"),
    (lambda kind, p: kind.Adam([p], eps=-1.0), ValueError, "Invalid epsilon value: -1.0"),
    (lambda kind, p: kind.Adam([p], betas=(0.9, 1.0)), ValueError, "Invalid beta parameter at index 1: 1.0"),
    (lambda kind, p: kind.Adam([p], betas=(0, 0.5)), ValueError, "betas must be either both floats or both Tensors"),
    (lambda kind, p: kind.Adadelta([p], rho=2.0), ValueError, "Invalid rho value: 2.0"),
    (lambda kind, p: kind.Rprop([p], etas=(1.0, 2.0)), ValueError, "Invalid eta values: 1.0, 2.0"),
    (lambda kind, p: kind.Adafactor([p], d=0.5), ValueError, "Clipping threshold d should be >= 1 but is: 0.5"),
    (lambda kind, p: kind.Muon([p]), ValueError, "Muon only supports 2D parameters"),
    (lambda kind, p: kind.SGD(p), TypeError, "params argument given to the optimizer should be an iterable of Tensors"),
    (lambda kind, p: kind.SGD([]), ValueError, "optimizer got an empty parameter list"),
    (lambda kind, p: kind.SGD({p}), None, ""),
    (lambda kind, p: kind.SGD([{"params": {p}}]), TypeError, "need to be organized in ordered collections"),
    (lambda kind, p: kind.SGD([p, 3]), TypeError, "but one of the params is int"),
    (lambda kind, p: kind.SGD([p * 2]), ValueError, "can't optimize a non-leaf Tensor"),
    (lambda kind, p: kind.SGD([("a", p), p]), ValueError, "Some param names are missing"),
    (lambda kind, p: kind.SGD([{"params": p}, {"params": p}]), ValueError, "more than one parameter group"),
    (lambda kind, p: kind.SGD([p]).add_param_group([p]), TypeError, "param_group must be a dict"),
    (lambda kind, p: kind.SGD([p]).load_state_dict({"state": {}, "param_groups": []}), ValueError, "different number"),
]


@pytest.mark.parametrize("call, error, message", ERRORS, ids=[str(i) for i in range(len(ERRORS))])
def test_errors_are_torchs(call, error, message):
    for lib, kind in ((torch, torch.optim), (rushlight, optim)):
        p = lib.tensor([1.0, 2.0], requires_grad=True)
        if error is None:
            call(kind, p)
        else:
            with pytest.raises(error) as caught:
                call(kind, p)
            assert message in str(caught.value)


def test_duplicate_parameters_are_stepped_twice():
    pair = Pair(((3,),))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        theirs, ours = both(pair, "Adam", {"lr": 0.1}, lambda params: params * 2)
    assert [str(w.message)[:40] for w in caught] == ["optimizer contains a parameter group wit"] * 2
    for _ in range(3):
        pair.grads()
        theirs.step()
        ours.step()
    pair.agree()
    same_state(theirs.state_dict(), ours.state_dict())


LBFGS_OPTIONS = [
    {"lr": 0.1, "max_iter": 4},
    {"max_iter": 5, "line_search_fn": "strong_wolfe"},
    {"lr": 0.5, "max_iter": 6, "history_size": 2},
    {"lr": 0.5, "max_iter": 20, "max_eval": 3, "line_search_fn": "strong_wolfe"},
]


def bowl(lib, made, x, y, calls):
    """A closure over a function with a narrow valley and a quartic."""
    weight = lib.tensor(np.diag([1.0, 3.0, 10.0, 0.5]).astype(np.float32) + 0.1)

    def closure():
        calls.append(1)
        made.zero_grad()
        square = x * x
        loss = (square * square).sum() * 0.1 + ((weight * x).sum(1) * x).sum() + (y * y * y * y).sum() + (y - 1).sum()
        loss.backward()
        return loss

    return closure


@pytest.mark.parametrize("options", LBFGS_OPTIONS, ids=str)
def test_lbfgs(options):
    results = []
    for lib, kind in ((torch, torch.optim), (rushlight, optim)):
        x = lib.tensor(np.array([1.0, -2.0, 0.5, 3.0], np.float32), requires_grad=True)
        y = lib.tensor(np.array([2.0, -1.0], np.float32), requires_grad=True)
        made, calls = kind.LBFGS([x, y], **options), []
        losses = [made.step(bowl(lib, made, x, y, calls)).item() for _ in range(2)]
        state = made.state_dict()["state"][0]
        lengths = {k: len(v) for k, v in state.items() if isinstance(v, list)}
        results.append(
            (losses, x.detach().numpy(), y.detach().numpy(), len(calls), set(state), lengths, state["n_iter"])
        )
    (losses, x, y, *rest), (our_losses, our_x, our_y, *our_rest) = results
    assert our_rest == rest
    np.testing.assert_allclose(our_losses, losses, 1e-4, 1e-5)
    np.testing.assert_allclose(our_x, x, 1e-3, 1e-4)
    np.testing.assert_allclose(our_y, y, 1e-3, 1e-4)


def test_lbfgs_goes_on_from_torchs_state():
    made_by_torch, made_here = [], []
    for lib, kind, made in ((torch, torch.optim, made_by_torch), (rushlight, optim, made_here)):
        x = lib.tensor(np.array([1.0, -2.0, 0.5, 3.0], np.float32), requires_grad=True)
        y = lib.tensor(np.array([2.0, -1.0], np.float32), requires_grad=True)
        made += [x, y, kind.LBFGS([x, y], lr=0.1, max_iter=4)]
    x, y, theirs = made_by_torch
    theirs.step(bowl(torch, theirs, x, y, []))
    our_x, our_y, ours = made_here
    ours.load_state_dict(theirs.state_dict())
    our_x._write(rushlight.tensor(x.detach().numpy())._array())
    our_y._write(rushlight.tensor(y.detach().numpy())._array())
    for _ in range(2):
        theirs.step(bowl(torch, theirs, x, y, []))
        ours.step(bowl(rushlight, ours, our_x, our_y, []))
    np.testing.assert_allclose(our_x.detach().numpy(), x.detach().numpy(), 1e-4, 1e-5)
