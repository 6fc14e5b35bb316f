"""``nn.utils``, run in both libraries with one seed: clipping, vectors, fusion, parametrizations, pruning, errors."""

import copy

import numpy as np
import pytest
from module_programs import Log

import rushlight

torch = pytest.importorskip("torch")
pytest.importorskip("torch.nn.utils.prune")
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]


def parameters(t, dtypes=("float32",) * 3):
    """Parameters with gradients, one without, and one that has many elements."""
    made = []
    for i, (name, shape) in enumerate(zip(dtypes, ((2, 3), (4,), ()))):
        p = t.nn.Parameter(t.ones(shape, dtype=getattr(t, name)))
        p.grad = t.arange(1.0, p.numel() + 1).reshape(shape).to(p.dtype) - i
        made.append(p)
    return [*made, t.nn.Parameter(t.ones(2))]


def clipping(t, log):
    u = t.nn.utils
    for order in (2.0, 1, float("inf"), -float("inf"), 0, 3):
        ps = parameters(t)
        log.add(u.clip_grad_norm_(ps, 1.5, norm_type=order), [p.grad for p in ps])
    ps = parameters(t, ("float64", "float32", "bfloat16"))
    log.add(u.get_total_norm([p.grad for p in ps[:3]]), u.clip_grad_norm_(iter(ps), 0.5), [p.grad for p in ps])
    ps = parameters(t)
    log.add(u.clip_grad_norm_(ps[0], 1e9), ps[0].grad, u.clip_grad_value_(ps, 1.5), [p.grad for p in ps])
    log.add(u.clip_grads_with_norm_(ps, 1.0, t.tensor(4.0)), [p.grad for p in ps])
    ps[0].grad[0, 0] = float("nan")
    log.tried(lambda: u.clip_grad_norm_(ps, 1.0, error_if_nonfinite=True))
    log.add(u.clip_grad_norm_([], 1.0), u.clip_grad_norm_((p for p in ()), 1.0), u.get_total_norm([]))
    log.add(u.clip_grad_norm(parameters(t), 1.0))


def vectors(t, log):
    u, ps = t.nn.utils, parameters(t)
    vector = u.parameters_to_vector(ps)
    log.add(vector)
    u.vector_to_parameters(vector.detach() * 2, ps)
    log.add(*ps)
    log.tried(lambda: u.vector_to_parameters([1.0], ps))


def fusing(t, log):
    u, nn = t.nn.utils, t.nn
    for conv, transpose in ((nn.Conv2d(2, 4, 2, bias=False), False), (nn.ConvTranspose1d(2, 4, 2), True)):
        bn = (nn.BatchNorm1d if transpose else nn.BatchNorm2d)(4)
        x = t.randn(3, 2, 5, *([] if transpose else [5]))
        bn(conv(x))
        conv.eval(), bn.eval()
        fused = u.fuse_conv_bn_eval(conv, bn, transpose)
        log.add(fused, list(fused.state_dict()), fused(x), (fused(x) - bn(conv(x))).abs().max() < 1e-5)
    linear, bn = nn.Linear(2, 3), nn.BatchNorm1d(3)
    log.tried(lambda: u.fuse_linear_bn_eval(linear, bn))
    log.tried(lambda: u.fuse_linear_bn_eval(linear.eval(), nn.BatchNorm1d(2).eval()))
    log.tried(lambda: u.fuse_conv_bn_eval(conv, nn.BatchNorm1d(4, track_running_stats=False).eval()))
    log.add(u.fuse_linear_bn_eval(linear, bn.eval())(t.ones(1, 2)))
    log.add(u.skip_init(nn.Linear, 2, 3).weight.shape, u.convert_conv2d_weight_memory_format(conv, t.channels_last))
    log.tried(lambda: u.skip_init(nn.Identity, 2, 3))
    log.tried(lambda: u.skip_init(dict))


def old_norms(t, log):
    u, nn = t.nn.utils, t.nn
    for dim in (0, 1, None):
        m = u.weight_norm(nn.Linear(3, 2), dim=dim)
        m(t.ones(1, 3)).sum().backward()
        log.add(m, list(m.state_dict()), m.weight_g, m.weight_g.grad, m.weight_v.grad, m.weight)
    log.tried(lambda: u.weight_norm(m))
    u.remove_weight_norm(m)
    log.add(list(m.state_dict()), len(m._forward_pre_hooks), m(t.ones(1, 3)))
    log.tried(lambda: u.remove_weight_norm(m))
    m = u.spectral_norm(nn.Conv1d(2, 3, 2))
    for _ in range(2):
        m(t.ones(1, 2, 4)).sum().backward()
    log.add(list(m.state_dict()), m.weight, m.weight_u, m.weight_orig.grad, m.state_dict()._metadata)
    log.tried(lambda: u.spectral_norm(m))
    other = u.spectral_norm(nn.Conv1d(2, 3, 2))
    log.add(other.load_state_dict(m.state_dict()), other.eval()(t.ones(1, 2, 4)))
    old = {k: v for k, v in m.state_dict().items() if k != "weight_v"}
    old["weight"] = m.weight.detach()
    log.add(other.load_state_dict(old), (other.weight_v - m.weight_v).abs().max() < 1e-4)
    u.remove_spectral_norm(m)
    log.add(list(m.state_dict()), len(m._state_dict_hooks), len(m._forward_pre_hooks))
    log.tried(lambda: u.remove_spectral_norm(m))
    log.tried(lambda: u.spectral_norm(nn.Linear(2, 2), n_power_iterations=0))
    log.add(u.spectral_norm(nn.ConvTranspose2d(2, 3, 2)).weight_u.shape)


def make_parametrizations(t):
    class Symmetric(t.nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).transpose(-1, -2)

        def right_inverse(self, a):
            return a.triu()

    class Sum(t.nn.Module):
        def forward(self, a, b):
            return a + b

        def right_inverse(self, x):
            return x * 0.25, x * 0.75

    class Wrong(t.nn.Module):
        def __init__(self, change):
            super().__init__()
            self.change = change

        def forward(self, x):
            return self.change(x)

    return Symmetric, Sum, Wrong


def parametrizing(t, log):
    nn, p = t.nn, t.nn.utils.parametrize
    Symmetric, Sum, Wrong = make_parametrizations(t)
    m = nn.Linear(3, 3)
    p.register_parametrization(m, "weight", Symmetric())
    log.add(m, type(m).__name__, p.type_before_parametrizations(m).__name__, list(m.state_dict()), m.weight)
    (m(t.ones(1, 3)) ** 2).sum().backward()
    log.add(m.parametrizations.weight.original.grad, m.parametrizations["weight"].original)
    m.weight = t.ones(3, 3)
    log.add(m.weight, m.parametrizations.weight.original)
    with p.cached():
        log.add(m.weight is m.weight)
    log.add(m.weight is m.weight)
    twin = copy.deepcopy(m)
    log.add(type(twin).__name__, twin.weight, twin.weight is not m.weight)
    log.tried(lambda: m.__getstate__())
    p.register_parametrization(m, "bias", Sum())
    log.add(list(m.state_dict()), m.bias, m.parametrizations.bias.ntensors, p.is_parametrized(m, "bias"))
    m.bias = t.ones(3)
    log.add(m.bias, m.parametrizations.bias.original0)
    log.tried(lambda: p.remove_parametrizations(m, "bias", leave_parametrized=False))
    p.remove_parametrizations(m, "bias")
    p.remove_parametrizations(m, "weight", leave_parametrized=False)
    log.add(m, type(m).__name__, m.weight, m.bias, p.is_parametrized(m), list(m.state_dict()))
    log.tried(lambda: p.remove_parametrizations(m, "weight"))
    log.tried(lambda: p.register_parametrization(m, "nothing", Symmetric()))
    for change in (lambda x: x.double(), lambda x: x[0], lambda x: 3):
        log.tried(lambda change=change: p.register_parametrization(nn.Linear(3, 3), "weight", Wrong(change)))
        layer = p.register_parametrization(nn.Linear(3, 3), "weight", Symmetric())
        log.tried(lambda layer=layer, change=change: p.register_parametrization(layer, "weight", Wrong(change)))
    wrong = p.register_parametrization(nn.Linear(3, 3), "weight", Wrong(lambda x: x * 2))
    log.tried(lambda: setattr(wrong, "weight", t.ones(3, 3)))
    log.tried(lambda: p.ParametrizationList([], t.ones(1)))
    source = p.register_parametrization(nn.Linear(3, 3), "weight", Symmetric())
    target = p.transfer_parametrizations_and_params(source, nn.Linear(3, 3))
    log.add(target, target.parametrizations.weight.original is source.parametrizations.weight.original)
    buffered = nn.BatchNorm1d(3)
    p.register_parametrization(buffered, "running_mean", Wrong(lambda x: x + 1))
    log.add(buffered.running_mean, [n for n, _ in buffered.named_buffers()])


def ready_made(t, log):
    nn, p = t.nn, t.nn.utils.parametrizations
    x = t.ones(2, 4)
    m = p.weight_norm(nn.Linear(4, 3))
    m(x).sum().backward()
    log.add(m, list(m.state_dict()), m.weight, [q.grad for q in m.parameters()])
    old = {"weight_g": t.full((3, 1), 2.0), "weight_v": t.ones(3, 4), "bias": t.zeros(3)}
    log.add(m.load_state_dict(old), m.weight)
    m = p.spectral_norm(nn.Linear(4, 3), n_power_iterations=2)
    m(x).sum().backward()
    log.add(m, list(m.state_dict()), m.eval().weight, [q.grad for q in m.parameters()])
    log.add(p.spectral_norm(nn.Linear(4, 3), "bias").bias, p.spectral_norm(nn.ConvTranspose1d(2, 3, 2)).weight)
    log.tried(lambda: p.spectral_norm(nn.Linear(4, 3), dim=2))
    log.tried(lambda: p.spectral_norm(nn.Linear(4, 3), n_power_iterations=0))
    log.tried(lambda: p.spectral_norm(nn.Linear(4, 3), "nothing"))
    for sizes in ((3, 3), (4, 2), (2, 4)):
        for kind in (None, "matrix_exp", "cayley", "householder"):
            for trivial in (True, False):
                m = p.orthogonal(nn.Linear(*sizes), orthogonal_map=kind, use_trivialization=trivial)
                log.add(m, list(m.state_dict()), m.weight)
    (m(t.ones(1, 2)) ** 3).sum().backward()
    log.add(m.parametrizations.weight.original.grad)
    m.weight = t.eye(4)[:, :2]
    log.add(m.weight.abs())
    log.tried(lambda: setattr(m, "weight", t.eye(2)))
    cayley = p.orthogonal(nn.Linear(2, 2), orthogonal_map="cayley", use_trivialization=False)
    log.tried(lambda: setattr(cayley, "weight", t.eye(2)))
    log.tried(lambda: p.orthogonal(nn.Linear(2, 2), orthogonal_map="qr"))
    log.tried(lambda: p.orthogonal(nn.Linear(2, 2), "bias"))
    log.tried(lambda: p.orthogonal(nn.Linear(2, 2), "nothing"))


def pruning(t, log):
    nn, p = t.nn, t.nn.utils.prune
    m = nn.Linear(4, 3)
    p.l1_unstructured(m, "weight", 0.25)
    log.add(list(m.state_dict()), m.weight, m.weight_mask, p.is_pruned(m), p.is_pruned(nn.Linear(1, 1)))
    p.random_unstructured(m, "weight", 3)
    p.ln_structured(m, "weight", 1, 2, 0)
    log.add(m.weight_mask, len(m._forward_pre_hooks))
    m(t.ones(2, 4)).sum().backward()
    log.add(m.weight_orig.grad)
    p.random_structured(m, "weight", 1, 1)
    p.identity(m, "bias")
    log.add(m.weight_mask, m.bias_mask)
    p.remove(m, "weight")
    log.add(list(m.state_dict()), m.weight)
    log.tried(lambda: p.remove(m, "weight"))
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    p.global_unstructured([(net[0], "weight"), (net[1], "weight")], p.L1Unstructured, amount=0.5)
    log.add(net[0].weight_mask, net[1].weight_mask)
    p.custom_from_mask(net[1], "bias", t.tensor([0, 1]))
    log.add(net[1].bias, net)
    scores = t.arange(6.0).reshape(2, 3)
    p.l1_unstructured(nn.Linear(3, 2), "weight", 2, importance_scores=scores)
    log.add(p.L1Unstructured(2).prune(scores), type(p.L1Unstructured(1)))
    for amount in (-1, 1.5, "a", 99):
        log.tried(lambda amount=amount: p.l1_unstructured(nn.Linear(3, 2), "weight", amount))
    log.tried(lambda: p.l1_unstructured(nn.Linear(3, 2), "weight", 1, importance_scores=t.ones(3)))
    log.tried(lambda: p.ln_structured(nn.Linear(3, 2), "bias", 1, 2, 0))
    log.tried(lambda: p.ln_structured(nn.Linear(3, 2), "weight", 1, 2, 2))
    log.tried(lambda: p.global_unstructured([(net[0], "weight")], p.RandomStructured, amount=1))
    log.tried(lambda: p.global_unstructured(3, p.L1Unstructured))
    log.tried(lambda: p.PruningContainer(p.L1Unstructured(1)))


def stateless(t, log):
    from_module = t.nn.Linear(2, 1)
    weights = {"weight": t.ones(1, 2), "bias": t.zeros(1)}
    call = t.nn.utils.stateless.functional_call
    log.add(call(from_module, weights, t.tensor([1.0, 2.0])), from_module.weight.shape)
    log.tried(lambda: call(from_module, {"bias": t.ones(1)}, t.ones(2), strict=True))


PROGRAMS = [clipping, vectors, fusing, old_norms, parametrizing, ready_made, pruning, stateless]


def close(a, b):
    """Equal, but for what rounding does to numbers."""
    if isinstance(a, float) and isinstance(b, float):
        return a == b or np.isclose(a, b, 1e-4, 2e-6, equal_nan=True)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(close(x, y) for x, y in zip(a, b))
    return a == b


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_program(program):
    ours, theirs = Log(), Log()
    for t, log in ((rushlight, ours), (torch, theirs)):
        t.manual_seed(7)
        program(t, log)
    for i, (a, b) in enumerate(zip(ours, theirs)):
        assert close(a, b), f"report {i}: {a} is not {b}"
    assert len(ours) == len(theirs)
