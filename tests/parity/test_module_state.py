"""Programs that save, load, copy and pickle modules, run in both libraries; what they report must be the same."""

import copy
import pickle
from collections import OrderedDict

import pytest
from module_programs import run, small, tree

import rushlight

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity


def sevens(t, m):
    return OrderedDict((key, t.full_like(v, 7.0)) for key, v in m.state_dict().items())


def saving(t, log):
    net = tree(t)
    state = net.state_dict()
    log.add(type(state).__name__, state, type(state._metadata).__name__, state._metadata)
    log.add(net.state_dict(prefix="p."), net.state_dict(keep_vars=True))
    given = OrderedDict(first=1)
    log.add(net.state_dict(destination=given, prefix="x.") is given, list(given), hasattr(given, "_metadata"))
    given._metadata = OrderedDict()
    net[0].state_dict(destination=given, prefix="y.")
    log.add(given._metadata, net[0].state_dict({}, "q.", True))


def sharing(t, log):
    m = small(t)()
    state = m.state_dict()
    state["weight"][0] = 1000
    state["bias"].requires_grad = True
    state["mean"].add_(1)
    log.add(m.weight, m.bias, m.mean, state)
    with t.no_grad():
        m.weight.zero_()
    log.add(state["weight"], state["weight"].data_ptr() == m.weight.data_ptr())


def versions(t, log):
    class Versioned(small(t)):
        _version = 4

        def _load_from_state_dict(self, state, prefix, local_metadata, strict, missing, unexpected, errors):
            log.add(list(state), prefix, local_metadata, strict, missing, unexpected, errors)
            super()._load_from_state_dict(state, prefix, local_metadata, strict, missing, unexpected, errors)

    net = t.nn.Sequential(Versioned(), t.nn.Sequential(Versioned()))
    state = net.state_dict()
    log.add(net.load_state_dict(state), net.load_state_dict(dict(state)), net.load_state_dict(state, strict=False))
    log.add(t.nn.Module.dump_patches, t.nn.Module._version, net[0]._version)


def loading(t, log):
    net = tree(t)
    given = sevens(t, net)
    before = list(net.parameters())
    log.add(net.load_state_dict(given), net.state_dict(), all(a is b for a, b in zip(before, net.parameters())))
    given["0.weight"].zero_()
    log.add(net[0].weight, repr(net.load_state_dict({}, strict=False)), str(net.load_state_dict(given)))
    for dtype in (t.float64, t.float16, t.bfloat16, t.int32):
        net.load_state_dict({key: v.to(dtype) for key, v in given.items()})
        log.add(net[1][0].weight)


def problems(t, log):
    net = t.nn.Sequential(small(t)(), small(t)(3))
    full = net.state_dict()

    def attempt(change, **kwargs):
        state = OrderedDict(full)
        change(state)
        log.tried(lambda: net.load_state_dict(state, **kwargs))

    attempt(lambda s: s.pop("0.bias"))
    attempt(lambda s: s.update(extra=t.ones(1)))
    attempt(lambda s: (s.pop("0.bias"), s.update({"1.weight": t.ones(4), "1.bias": t.ones(1, 3)})))
    attempt(lambda s: s.update({"1.weight": 3, "1.mean": [1.0]}))
    attempt(lambda s: s.update({"1.weight": t.ones(4)}), strict=False)
    attempt(lambda s: s.update({"1.weight": t.ones(4)}), assign=True)
    attempt(lambda s: s.update({"1.other": t.ones(4), "9": t.ones(1), "1": t.ones(1)}), strict=False)
    attempt(lambda s: s.update({"0._extra_state": 3}), strict=False)
    attempt(lambda s: s.update({"0._extra_state": 3}))
    log.tried(lambda: net.load_state_dict([]))
    log.tried(lambda: net.load_state_dict(None))


def zero_dim(t, log):
    m = t.nn.Module()
    m.w = t.nn.Parameter(t.tensor(1.0))
    m.load_state_dict({"w": t.tensor([4.0])})
    log.add(m.w)
    log.tried(lambda: m.load_state_dict({"w": t.tensor([4.0, 5.0])}))


def assigning(t, log):
    m = small(t)()
    m.weight.requires_grad_(False)
    given = sevens(t, m)
    given["bias"] = t.nn.Parameter(t.ones(2, dtype=t.float64), requires_grad=False)
    m.load_state_dict(given, assign=True)
    log.add(m.weight, m.bias, m.mean, m.mean is given["mean"], m.bias is given["bias"])
    with t.device("meta"):
        empty = small(t)()
    log.add(str(empty.weight.device), str(empty.load_state_dict(given)), str(empty.weight.device))
    empty.load_state_dict(given, assign=True)
    log.add(empty.weight, empty.mean)


def extra_state(t, log):
    class Counted(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.count = 1

        def get_extra_state(self):
            return {"count": self.count}

        def set_extra_state(self, state):
            self.count = state["count"]

    net = t.nn.Sequential(Counted(), small(t)())
    net[0].count = 5
    state = net.state_dict()
    other = t.nn.Sequential(Counted(), small(t)())
    log.add(state, other.load_state_dict(state), other[0].count)
    del state["0._extra_state"]
    log.tried(lambda: other.load_state_dict(state))
    log.add(other.load_state_dict(state, strict=False))


def hooks(t, log):
    net = t.nn.Sequential(small(t)())
    net.register_state_dict_pre_hook(lambda m, prefix, keep: log.add("pre", type(m).__name__, prefix, keep))
    net[0].register_state_dict_pre_hook(lambda m, prefix, keep: log.add("pre", type(m).__name__, prefix, keep))
    net[0].register_state_dict_post_hook(lambda m, s, prefix, meta: log.add("post", list(s), prefix, meta))
    handle = net._register_state_dict_hook(lambda m, s, prefix, meta: OrderedDict(mine=1))
    log.add(net.state_dict(keep_vars=True))
    handle.remove()
    public = lambda m, s, prefix, meta: {}  # noqa: E731
    other = small(t)()
    other.register_state_dict_post_hook(public)
    log.tried(other.state_dict)
    log.tried(lambda: other._register_state_dict_hook(public))
    net[0]._register_load_state_dict_pre_hook(lambda *a: log.add("load", len(a), list(a[0]), *a[1:]))
    net[0]._register_load_state_dict_pre_hook(lambda *a: log.add("with", len(a), type(a[0]).__name__), with_module=True)
    net[0].register_load_state_dict_pre_hook(lambda *a: log.add("public", len(a), type(a[0]).__name__))
    net[0].register_load_state_dict_post_hook(lambda m, keys: log.add("loaded", type(m).__name__, keys))
    net.register_load_state_dict_post_hook(lambda m, keys: keys.missing_keys.clear())
    log.add(net.load_state_dict({"0.weight": t.ones(2)}, strict=True))
    other.register_load_state_dict_post_hook(lambda m, keys: keys)
    log.tried(lambda: other.load_state_dict({}, strict=False))


def overriding(t, log):
    class Own(small(t)):
        def _save_to_state_dict(self, destination, prefix, keep_vars):
            super()._save_to_state_dict(destination, prefix, keep_vars)
            destination[prefix + "more"] = self.size

        def _load_from_state_dict(self, state_dict, prefix, *args):
            self.size = state_dict.pop(prefix + "more")
            super()._load_from_state_dict(state_dict, prefix, *args)

    net = t.nn.Sequential(Own(3))
    state = net.state_dict()
    net[0].size = 0
    log.add(state, net.load_state_dict(state), net[0].size, list(state))


def shared(t, log):
    net = t.nn.Module()
    net.a = net.b = small(t)()
    net.c = small(t)()
    net.c.weight = net.a.weight
    log.add(list(net.state_dict()), [n for n, _ in net.named_parameters()])
    given = sevens(t, net)
    given["b.weight"] = t.tensor([1.0, 2.0])
    net.load_state_dict(given)
    log.add(net.a.weight, net.b.bias)
    other = copy.deepcopy(net)
    log.add(other.a is other.b, other.c.weight is other.a.weight, other.a is net.a, other.state_dict())


def copying(t, log):
    net = tree(t)
    net[0].register_forward_hook(lambda m, a, out: out + 1)
    net[0].frozen = t.nn.Parameter(t.ones(1), requires_grad=False)
    net[0](t.ones(2)).sum().backward()
    net.eval()
    other = copy.deepcopy(net)
    log.add(
        other,
        other.training,
        other[0].weight.grad,
        net[0].weight.grad,
        other[0](t.ones(2)),
        len(other[0]._forward_hooks),
    )
    log.add([p.requires_grad for p in other.parameters()], other.named["b"] is other[0])
    with t.no_grad():
        other[0].weight.fill_(3)
    other[0]._forward_hooks.clear()
    log.add(net[0].weight, len(net[0]._forward_hooks), other[0]._non_persistent_buffers_set)
    shallow = copy.copy(net[0])
    log.add(shallow.weight is net[0].weight, shallow._parameters is net[0]._parameters)
    m = t.nn.Module()
    m.t = t.ones(1, requires_grad=True) * 2
    log.tried(lambda: copy.deepcopy(m))


def pickling(t, log):
    net = t.nn.Sequential(t.nn.Sequential(), t.nn.ModuleList([t.nn.Module()]), t.nn.ModuleDict({"a": t.nn.Module()}))
    net[1][0].p = t.nn.Parameter(t.arange(3.0))
    net[1][0].register_buffer("b", t.ones(2), persistent=False)
    net.list = t.nn.ParameterList([t.ones(1), 3])
    net.dict = t.nn.ParameterDict({"x": t.ones(1)})
    net.eval()
    other = pickle.loads(pickle.dumps(net))
    log.add(other, other.state_dict(), other.training, other[1][0]._non_persistent_buffers_set, other.list, other.dict)
    state = net[1][0].__getstate__()
    log.add(sorted(k for k in state if k in ("training", "_parameters", "_buffers", "_modules")))


def setting_state(t, log):
    m = t.nn.Module.__new__(t.nn.Module)
    m.__setstate__({"training": False, "_parameters": {}, "_buffers": {}, "_modules": {}, "_forward_hooks": OrderedDict(),
                    "_forward_pre_hooks": OrderedDict(), "_backward_hooks": OrderedDict()})  # fmt: skip
    log.add(m.training, m._non_persistent_buffers_set, m._state_dict_hooks, m._load_state_dict_pre_hooks)
    log.add(m._load_state_dict_post_hooks, m._forward_hooks_with_kwargs, m._is_full_backward_hook, m)


PROGRAMS = [
    saving, sharing, versions, loading, problems, zero_dim, assigning, extra_state, hooks, overriding, shared, copying,
    pickling, setting_state,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_same_as_torch(program):
    expected, received = run(program, torch), run(program, rushlight)
    for index, (want, have) in enumerate(zip(expected, received)):
        assert have == want, f"report {index} of {program.__name__}"
    assert len(received) == len(expected), (received[len(expected) :], expected[len(received) :])
