"""Programs over modules, run in both libraries; results, printed forms, exceptions and warnings must be the same."""

from collections import OrderedDict

import pytest
from module_programs import run, small, tree

import rushlight

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity


def slots(t, log):
    m = small(t)()
    log.add(m, list(m._parameters), list(m._buffers), m._non_persistent_buffers_set, m.absent, m.nothing)
    m.nothing = t.ones(1)
    m.absent = t.nn.Parameter(t.ones(1))
    m.child = None
    m.child = small(t)()
    m._parameters["late"] = t.nn.Parameter(t.zeros(1))
    log.add(m.late, m, list(m.__dict__["_modules"]), [n for n, _ in m.named_parameters()], "child" in dir(m))
    del m.child, m.late, m.scratch
    log.add(m._non_persistent_buffers_set, [n for n, _ in m.named_buffers()])
    log.tried(lambda: m.child)
    log.tried(lambda: delattr(m, "child"))
    m.bias = None
    log.add(m.bias, list(m.state_dict()))
    m.weight = t.nn.Parameter(t.zeros(3))
    log.add(m.weight, list(m._parameters))


def replace_kind(t, log):
    m = small(t)()
    m.thing = 3
    m.thing = t.nn.Parameter(t.zeros(1))
    log.add("thing" in m.__dict__, list(m._parameters))
    m.mean = t.nn.Parameter(t.zeros(1))
    log.add(list(m._parameters), list(m._buffers))
    m.part = small(t)()
    m.part = t.nn.Parameter(t.zeros(1))
    log.add(list(m._modules), list(m._parameters))
    m.scratch = small(t)()
    log.add(list(m._modules), m._non_persistent_buffers_set)
    m.extra = t.nn.Buffer(t.ones(2), persistent=False)
    m.kept = t.nn.Buffer(t.ones(2))
    log.add(list(m.state_dict()), m.extra.persistent, isinstance(m.kept, t.nn.Buffer), type(m.kept) is t.Tensor)
    m.plain = t.ones(1)
    log.add("plain" in m.__dict__)


def refused(t, log):
    m = small(t)()
    log.tried(lambda: setattr(m, "weight", t.ones(2)))
    log.tried(lambda: setattr(m, "weight", 3))
    log.tried(lambda: setattr(m, "weight", small(t)))
    log.tried(lambda: setattr(m, "weight", t.nn.Sequential()))
    log.tried(lambda: setattr(m, "mean", 3))
    log.tried(lambda: setattr(m, "mean", "x"))
    m.child = t.nn.Sequential()
    log.tried(lambda: setattr(m, "child", 3))
    log.tried(lambda: setattr(m, "child", t.ones(1)))
    for name in ("a.b", "", 3, "weight", "size", "forward"):
        log.tried(lambda name=name: m.register_parameter(name, t.nn.Parameter(t.ones(1))))
        log.tried(lambda name=name: m.register_buffer(name, t.ones(1)))
        log.tried(lambda name=name: m.add_module(name, t.nn.Sequential()))
    log.tried(lambda: m.register_parameter("p", t.ones(1)))
    log.tried(lambda: m.register_parameter("p", 5))
    log.tried(lambda: m.register_parameter("p", t.nn.Parameter))
    log.tried(lambda: m.register_buffer("p", 5))
    log.tried(lambda: m.add_module("p", 5))
    log.tried(lambda: m.add_module("p", t.ones(1)))
    log.tried(lambda: m.missing)
    log.tried(lambda: t.nn.Module(3))
    log.tried(lambda: t.nn.Module(x=3))
    log.tried(lambda: t.nn.Module()(3))


def before_init(t, log):
    class Early(t.nn.Module):
        def __init__(self, value):
            self.value = value
            super().__init__()

    log.tried(lambda: Early(t.nn.Parameter(t.ones(1))))
    log.tried(lambda: Early(t.nn.Module()))
    log.tried(lambda: Early(t.nn.Buffer(t.ones(1))))
    log.add(Early(3).value, Early(t.ones(1)).value)

    class Never(t.nn.Module):
        def __init__(self):
            self.register_buffer("x", t.ones(1))

    log.tried(Never)


def super_init(t, log):
    class Other:
        def __init__(self, x):
            self.x = x

    class Both(t.nn.Module, Other):
        call_super_init = True

        def __init__(self, x):
            super().__init__(x)

    log.add(Both(3).x)


def non_leaf_parameter(t, log):
    p = t.nn.Parameter(t.ones(1))
    log.tried(lambda: t.nn.Module().register_parameter("p", p * 2))
    m = t.nn.Module()
    log.add(isinstance(p * 2, t.nn.Parameter), isinstance(p, t.Tensor), type(p.data) is t.Tensor, p.is_leaf)
    m.p = p
    log.add(m)


def parameters(t, log):
    data = t.arange(3.0)
    p = t.nn.Parameter(data)
    data[0] = 9
    log.add(p, repr(p), str(p), p.requires_grad, t.nn.Parameter(data, requires_grad=False), t.nn.Parameter())
    log.add(repr(t.nn.Parameter(t.ones(2, 2, dtype=t.float64), False)))
    log.add(type(p), type(t.nn.Buffer(data)) is t.Tensor, repr(t.nn.Buffer(data)), t.nn.parameter.is_lazy(p))
    u = t.nn.UninitializedParameter()
    log.add(repr(u), t.nn.parameter.is_lazy(u))
    log.tried(lambda: u.shape)
    u.materialize((2, 3), dtype=t.float64)
    log.add(tuple(u.shape), u.dtype is t.float64, type(u), u.requires_grad)
    b = t.nn.UninitializedBuffer()
    log.add(isinstance(b, t.nn.Buffer))
    b.materialize((1,))
    log.add(type(b) is t.Tensor, tuple(b.shape))


def traversal(t, log):
    net = tree(t)
    log.add([n for n, _ in net.named_modules()], [n for n, _ in net.named_modules(prefix="p")])
    log.add([n for n, _ in net.named_modules(remove_duplicate=False)])
    log.add([n for n, _ in net.named_modules(memo={net[0]})])
    log.add([n for n, _ in net.named_children()], [type(m).__name__ for m in net.children()])
    for kwargs in ({}, {"prefix": "p"}, {"recurse": False}, {"remove_duplicate": False}):
        log.add([n for n, _ in net.named_parameters(**kwargs)], [n for n, _ in net.named_buffers(**kwargs)])
        log.add([n for n, _ in net[0].named_parameters(**kwargs)], [n for n, _ in net[0].named_buffers(**kwargs)])
    log.add(len(list(net.parameters())), len(list(net.buffers())), len(list(net.modules())))
    log.add(len(list(net.parameters(recurse=False))), len(list(net.modules(remove_duplicate=False))))
    for walk in (net.parameters, net.named_parameters, net.buffers, net.named_buffers, net.modules, net.named_modules):
        log.add(type(walk()).__name__)
    log.add(type(net.children()).__name__, type(net.named_children()).__name__, list(net.state_dict()), net)


def change_while_walking(t, log):
    net = tree(t)
    seen = []
    for name, module in net.named_modules():
        seen.append(name)
        if name == "1":
            module[0] = t.nn.Sequential(small(t)())
    log.add(seen)
    walk = net.named_modules()
    next(walk)
    net[1] = small(t)()
    log.add([n for n, _ in walk])

    def grow():
        for _, m in net.named_children():
            net.add_module("new", m)

    log.tried(grow)


def by_path(t, log):
    net = tree(t)
    for path in ("", "1", "1.0", "named.a", "1.7", "named.a.weight", "nothing.at.all", "1.0.size"):
        log.tried(lambda path=path: net.get_submodule(path))
    for path in ("1.0.weight", "1.0.mean", "1.0.absent", "weight", "1.0.size", "1", "x.y"):
        log.tried(lambda path=path: net.get_parameter(path))
        log.tried(lambda path=path: net.get_buffer(path))
    log.tried(lambda: net.set_submodule("1.0", t.nn.Sequential()))
    log.tried(lambda: net.set_submodule("fresh", t.nn.Sequential()))
    log.tried(lambda: net.set_submodule("other", t.nn.Sequential(), strict=True))
    log.tried(lambda: net.set_submodule("", t.nn.Sequential()))
    log.tried(lambda: net.set_submodule("1", 5))
    log.tried(lambda: net.set_submodule("1.1.weight", t.nn.Sequential()))
    log.tried(lambda: net.set_submodule("none.at", t.nn.Sequential()))
    log.add(net)


def over_the_tree(t, log):
    net = tree(t)
    order = []
    log.add(net.apply(lambda m: order.append(type(m).__name__)) is net, order)
    log.add(net.training, net.eval() is net, [m.training for m in net.modules()])
    log.add(net.train() is net, [m.training for m in net.modules()])
    log.tried(lambda: net.train(1))
    net.requires_grad_(False)
    log.add([p.requires_grad for p in net.parameters()])
    net.requires_grad_()
    net[0](t.ones(2)).sum().backward()
    log.add([p.grad for p in net.parameters()])
    net.zero_grad(set_to_none=False)
    log.add([p.grad for p in net.parameters()])
    net.zero_grad()
    log.add([p.grad for p in net.parameters()])


def moving(t, log):
    net = tree(t)
    before = list(net.parameters())
    net[0](t.ones(2)).sum().backward()
    grad = net[0].weight.grad
    net[0].register_buffer("count", t.tensor(3))
    for step in (
        net.double, net.half, net.bfloat16, net.float, lambda: net.to(t.float64), lambda: net.to("cpu"),
        lambda: net.to(t.ones(1, dtype=t.float16)), lambda: net.to("cpu", t.float64), lambda: net.to(dtype=t.float32),
        lambda: net.to(device="cpu", dtype=t.float64, non_blocking=True), net.cpu, lambda: net.type(t.float32),
        net.share_memory, lambda: net.to(memory_format=t.channels_last), lambda: net.type("torch.FloatTensor"),
    ):  # fmt: skip
        log.add(step() is net, [str(x.dtype) for x in net.parameters()], [str(x.dtype) for x in net.buffers()])
        log.add(str(net[0].weight.grad.dtype), net[0].weight.grad is grad)
    log.add(all(a is b for a, b in zip(before, net.parameters())))
    log.tried(lambda: net.to(t.int32))
    log.tried(lambda: net.to(dtype=t.bool))
    log.add(str(net.to_empty(device="meta")[0].weight.device), net[0].weight is before[0], net[0].weight.requires_grad)
    log.tried(lambda: net.to("cpu"))
    log.add(tuple(net.to_empty(device="cpu")[0].weight.shape), type(net[0].weight), net[0].weight.is_leaf)


def printing(t, log):
    class Lines(t.nn.Module):
        def extra_repr(self):
            return "one\ntwo"

    class Blank(t.nn.Module):
        def __repr__(self):
            return "Blank(\n\n  x\n)"

    small_ = small(t)
    log.add(t.nn.Module(), t.nn.Sequential(), t.nn.ModuleList(), t.nn.ModuleDict(), Lines())
    log.add(t.nn.Sequential(Lines(), t.nn.Sequential(Lines(), Blank())))
    m = Lines()
    m.x = small_()
    m.y = None
    m.z = t.nn.ModuleList([small_(), small_(), small_(3), Lines(), Lines(), Blank(), Blank()])
    log.add(m, t.nn.ModuleList([m, m]), t.nn.Sequential(t.nn.ModuleList([small_()] * 4)))
    log.add([n for n in dir(t.nn.Sequential(small_())) if n[0].isdigit()])


def sequential(t, log):
    small_ = small(t)
    a, b, c = small_(1), small_(2), small_(3)
    s = t.nn.Sequential(a, b, c)
    log.add(len(s), s[0] is a, s[-1] is c, s[1:], s[::-1], [type(m).__name__ for m in s])
    log.add(s + t.nn.Sequential(small_(4)), s * 2, 2 * s, t.nn.Sequential(OrderedDict(x=a, y=b)))
    named = t.nn.Sequential(OrderedDict(x=a, y=b))
    log.add(named.x is a, named[1] is b, named[:1], list(named.state_dict()))
    named[0] = c
    log.add(named)
    del named[0]
    log.add(named)
    s += t.nn.Sequential(small_(5))
    s *= 2
    log.add(s)
    del s[0]
    del s[1:5:2]
    log.add(s)
    log.add(
        s.append(small_(6)) is s, s.extend([small_(7), small_(8)]), s.insert(0, small_(9)), s.insert(-1, small_(10))
    )
    log.add(s.pop(0), s.pop(slice(0, 2)), s, s._get_item_by_idx(iter("abcdefgh"), 1))
    for bad in (
        lambda: s[99], lambda: s.insert(99, a), lambda: s.insert(0, 3), lambda: s + [a], lambda: s * 0, lambda: s * 1.5,
        lambda: t.nn.Sequential([a]), lambda: s.append(3), lambda: s["x"], lambda: s.__setitem__(99, a),
        lambda: s.__iadd__([a]), lambda: s.__imul__(-1), lambda: s.__delitem__(50),
    ):  # fmt: skip
        log.tried(bad)
    log.add(t.nn.Sequential(small_(), small_())(t.ones(2)))


def module_list(t, log):
    small_ = small(t)
    m = t.nn.ModuleList([small_(1), small_(2)])
    log.add(len(m), m[0], m[-1], m[0:1], [x.size for x in m], m + [small_(3)], m)
    m += [small_(4)]
    log.add(
        m.append(small_(5)) is m, m.extend(small_(i) for i in (6, 7)), m.insert(1, small_(8)), m.pop(0), m.pop(-1), m
    )
    m[0] = small_(9)
    del m[1]
    del m[1:3]
    log.add(m, list(m.state_dict()))
    for bad in (
        lambda: m[99], lambda: m.extend(3), lambda: m.append(3), lambda: m(1), lambda: t.nn.ModuleList(3), lambda: m["a"],
        lambda: m.__setitem__(0, 3), lambda: m + 3, lambda: t.nn.ModuleList([3]),
    ):  # fmt: skip
        log.tried(bad)


def module_dict(t, log):
    small_ = small(t)
    m = t.nn.ModuleDict({"b": small_(1), "a": small_(2)})
    m["c"] = small_(3)
    log.add(len(m), list(m), m["a"], "a" in m, "z" in m, list(m.keys()), list(m.items()), list(m.values()), m)
    m.update([("d", small_(4))])
    m.update(t.nn.ModuleDict({"e": small_(5)}))
    log.add(m.pop("a"), m)
    del m["b"]
    for bad in (
        lambda: m["zz"], lambda: m.update(3), lambda: m.update([("a",)]), lambda: m.__setitem__("x", 3), lambda: m(1),
        lambda: m.__setitem__("a.b", small_()), lambda: m.__setitem__("keys", small_()), lambda: m.pop("zz"),
        lambda: m.__setitem__(3, small_()),
    ):  # fmt: skip
        log.tried(bad)
    m.clear()
    log.add(m, len(m))


def parameter_list(t, log):
    p = t.nn.ParameterList([t.ones(2), t.nn.Parameter(t.zeros(1, 2)), 3, "x"])
    log.add(len(p), p, p[0], p[-1], p[1:3], list(p), [n for n, _ in p.named_parameters()])
    p += [t.ones(3)]
    log.add(p.append(t.zeros(1)) is p, p.extend([5]), p)
    p[0] = t.zeros(4)
    log.add(p, t.nn.ParameterList(), t.nn.Sequential(p))
    for bad in (
        lambda: p[99], lambda: p.extend(t.ones(2)), lambda: p.extend(3), lambda: p(), lambda: p["a"],
        lambda: p.__setitem__(0, 3),
    ):  # fmt: skip
        log.tried(bad)


def parameter_dict(t, log):
    p = t.nn.ParameterDict({"b": t.ones(2), "a": t.nn.Parameter(t.zeros(1)), "c": 3})
    log.add(len(p), p, p["a"], list(p), "a" in p, list(p.keys()), list(p.values()), [k for k, _ in p.items()])
    log.add(p.get("zz"), p.get("zz", 1), p.setdefault("d", t.ones(1)), p.setdefault("e"), list(reversed(p)))
    log.add(p.copy(), p.pop("b"), p.popitem(), p.fromkeys(["x", "y"], 1), p)
    log.add(p | t.nn.ParameterDict({"q": t.ones(1)}), [n for n, _ in p.named_parameters()])
    p |= t.nn.ParameterDict({"r": t.ones(1)})
    p.update([("s", t.ones(2))])
    log.add(p)
    del p["r"]
    for bad in (
        lambda: p["zz"], lambda: p.update(3), lambda: p.update([("a",)]), lambda: p(1),
        lambda: p.__delitem__("zz"),
    ):  # fmt: skip
        log.tried(bad)
    p.clear()
    log.add(p)


def parallel(t, log):
    small_ = small(t)
    inner = t.nn.DataParallel(t.nn.Sequential(small_()))
    net = t.nn.DataParallel(t.nn.Sequential(small_(), inner))
    log.add(net, list(net.state_dict()), [n for n, _ in net.named_parameters()], net(t.ones(2)), net.device_ids)
    log.add(net.module[0].size)


def deprecated_container(t, log):
    log.add(t.nn.modules.container.Container(a=t.nn.Sequential()))


PROGRAMS = [
    slots, replace_kind, refused, before_init, super_init, non_leaf_parameter, parameters, traversal,
    change_while_walking, by_path, over_the_tree, moving, printing, sequential, module_list, module_dict,
    parameter_list, parameter_dict, parallel, deprecated_container,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_same_as_torch(program):
    expected, received = run(program, torch), run(program, rushlight)
    for index, (want, have) in enumerate(zip(expected, received)):
        assert have == want, f"report {index} of {program.__name__}"
    assert len(received) == len(expected), (received[len(expected) :], expected[len(received) :])
