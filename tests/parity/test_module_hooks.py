"""Programs with hooks, run in both libraries: order, arguments, results, exceptions and warnings must be the same."""

import pytest
from module_programs import run, small

import rushlight

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity


def linear(t):
    """A layer that is one step of the tape in both libraries."""

    class Scale(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = t.nn.Parameter(t.tensor([1.0, 2.0]))

        def forward(self, x):
            return x * self.weight

    return Scale()


def forward_hooks(t, log):
    m = small(t)()
    note = lambda name, out=None: lambda *args: log.add(name, *args[1:]) or out  # noqa: E731
    handles = [
        m.register_forward_pre_hook(note("pre1")),
        m.register_forward_pre_hook(note("pre2", (t.ones(2) * 5,))),
        m.register_forward_pre_hook(note("pre0", t.ones(2) * 4), prepend=True),
        m.register_forward_pre_hook(note("prek", ((t.ones(2) * 3,), {})), with_kwargs=True),
        m.register_forward_hook(note("post1")),
        m.register_forward_hook(note("post2", t.zeros(1))),
        m.register_forward_hook(note("postk", "result"), with_kwargs=True),
        m.register_forward_hook(note("post0"), prepend=True),
    ]
    log.add(m(t.ones(2)))
    for handle in handles[1:7]:
        handle.remove()
        handle.remove()
    log.add(m(t.ones(2)), len(m._forward_hooks), len(m._forward_pre_hooks))
    with m.register_forward_hook(note("with")):
        m(t.ones(2))
    log.add(m(t.ones(2)))


def keyword_hooks(t, log):
    class Named(t.nn.Module):
        def forward(self, x, *, y=1):
            return x * y

    m = Named()
    m.register_forward_pre_hook(lambda m, a, k: log.add("pre", a, k) or (a, {"y": k["y"] + 1}), with_kwargs=True)
    m.register_forward_hook(lambda m, a, k, out: log.add("post", a, k, out), with_kwargs=True)
    log.add(m(t.ones(1), y=2))
    m.register_forward_pre_hook(lambda m, a, k: a, with_kwargs=True)
    log.tried(lambda: m(t.ones(1), y=2))


def always_call(t, log):
    class Fails(t.nn.Module):
        def forward(self, x):
            if x is None:
                raise ValueError("forward failed")
            return x

    m = Fails()
    m.register_forward_hook(lambda m, a, out: log.add("plain", out))
    m.register_forward_hook(lambda m, a, out: log.add("always", out), always_call=True)
    m.register_forward_hook(lambda m, a, k, out: log.add("kwargs", k, out), always_call=True, with_kwargs=True)
    log.tried(lambda: m(None))
    log.tried(lambda: m(1))

    def fails(m, a, out):
        raise KeyError("hook")

    handle = m.register_forward_hook(fails, always_call=True, prepend=True)
    log.tried(lambda: m(None))
    log.tried(lambda: m(1))
    handle.remove()
    m.register_forward_pre_hook(lambda m, a: 1 / 0)
    log.tried(lambda: m(1))


def global_hooks(t, log):
    module = t.nn.modules.module
    m = t.nn.Sequential(small(t)())
    handles = [
        m[0].register_forward_hook(lambda m, a, out: log.add("own")),
        module.register_module_forward_pre_hook(lambda m, a: log.add("pre", type(m).__name__, a)),
        module.register_module_forward_hook(lambda m, a, out: log.add("post", type(m).__name__, out)),
        module.register_module_forward_hook(lambda m, a, k, out: log.add("postk", k), with_kwargs=True),
        module.register_module_full_backward_pre_hook(lambda m, g: log.add("bpre", type(m).__name__, g)),
        module.register_module_full_backward_hook(lambda m, i, o: log.add("bpost", type(m).__name__, i, o)),
    ]
    log.tried(lambda: module.register_module_backward_hook(print))
    x = t.ones(2, requires_grad=True)
    m(x).sum().backward()
    for handle in handles:
        handle.remove()
    log.add(m(x), "silent", x.grad)


def global_always(t, log):
    module = t.nn.modules.module
    with module.register_module_forward_hook(lambda m, a, out: log.add("always", out), always_call=True):
        log.tried(lambda: t.nn.Module()(1))
    with module.register_module_forward_hook(lambda m, a, out: 1 / 0, always_call=True):
        log.tried(lambda: t.nn.Module()(1))


def registration_hooks(t, log):
    module = t.nn.modules.module
    note = lambda name: lambda m, key, value: log.add(name, key, value)  # noqa: E731
    handles = [
        module.register_module_parameter_registration_hook(note("parameter")),
        module.register_module_buffer_registration_hook(note("buffer")),
        module.register_module_module_registration_hook(note("module")),
    ]
    net = t.nn.Sequential(small(t)())
    net.part = t.nn.Sequential()
    net[0].weight = t.nn.Parameter(t.ones(1))
    net[0].mean = t.ones(1)
    net.part = None
    for handle in handles:
        handle.remove()
    other = t.nn.Sequential()
    with module.register_module_module_registration_hook(lambda m, key, value: other):
        net.part = t.nn.ModuleList()
        log.add(net.part is other)
    net.part = t.nn.ModuleList()
    log.add(net)


def full_backward(t, log):
    m = linear(t)
    m.register_full_backward_hook(lambda m, i, o: log.add("post", i, o))
    m.register_full_backward_hook(lambda m, i, o: (i[0] * 10,))
    m.register_full_backward_hook(lambda m, i, o: log.add("first", i, o), prepend=True)
    m.register_full_backward_pre_hook(lambda m, o: log.add("pre", o))
    m.register_full_backward_pre_hook(lambda m, o: (o[0] * 2,))
    m.register_full_backward_pre_hook(lambda m, o: log.add("pre0", o), prepend=True)
    log.tried(lambda: m.register_backward_hook(print))
    x = t.ones(2, requires_grad=True)
    m(x).sum().backward()
    log.add(x.grad, m.weight.grad)
    (g,) = t.autograd.grad(m(x).sum(), m.weight)
    log.add(g)
    (g,) = t.autograd.grad((m(x) ** 2).sum(), x, create_graph=True)
    log.add(g.detach(), g.requires_grad)
    with t.no_grad():
        log.add(m(x))


def several_values(t, log):
    class Several(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = t.nn.Parameter(t.ones(2))

        def forward(self, x, n, y, z=None):
            return x * self.w, y * 2, x.detach(), n

    m = Several()
    m.register_full_backward_hook(lambda m, i, o: log.add("post", i, o))
    m.register_full_backward_pre_hook(lambda m, o: log.add("pre", o))
    x, y = t.ones(2, requires_grad=True), t.ones(2)
    out = m(x, 3, y)
    log.add([getattr(o, "requires_grad", o) for o in out])
    out[0].sum().backward()
    y.requires_grad_()
    m(x, 3, y, z=x)[1].sum().backward()
    log.add(x.grad, y.grad)
    m(x.detach(), 3, y.detach())[0].sum().backward()


def wrong_backward_results(t, log):
    x = t.ones(2, requires_grad=True)
    m = linear(t)
    with m.register_full_backward_hook(lambda m, i, o: (i[0], i[0])):
        log.tried(lambda: m(x).sum().backward())
    with m.register_full_backward_pre_hook(lambda m, o: (o[0], o[0])):
        log.tried(lambda: m(x).sum().backward())
    with m.register_full_backward_hook(lambda m, i, o: (o[0],)):
        log.tried(lambda: m(x.detach()).sum().backward())

    class Dict(t.nn.Module):
        def forward(self, x):
            return {"a": x * 2}

    d = Dict()
    d.register_full_backward_hook(lambda m, i, o: log.add("never"))
    d(x)["a"].sum().backward()

    class InPlace(t.nn.Module):
        def forward(self, x):
            return x.mul_(2)

    p = InPlace()
    p.register_full_backward_hook(lambda m, i, o: None)
    log.tried(lambda: p(x * 1))
    with t.no_grad():
        log.tried(lambda: p(x * 1))


def legacy_backward(t, log):
    x = t.ones(2, requires_grad=True)
    m = linear(t)
    m.register_backward_hook(lambda m, i, o: log.add("legacy", i, o))
    log.tried(lambda: m.register_full_backward_hook(print))
    m(x * 1).sum().backward()

    class Nested(t.nn.Module):
        def forward(self, x):
            return {"a": x * 2}

    class Two(t.nn.Module):
        def forward(self, x):
            return x * 2, x * 3

    for module in (Nested(), Two()):
        module.register_backward_hook(lambda m, i, o: log.add(type(m).__name__, len(i), len(o)))
        out = module(x * 1)  # a graph of its own: the first backward frees the one it walks
        (out["a"] if isinstance(out, dict) else out[0]).sum().backward()


def handles(t, log):
    m = small(t)()
    handle = m.register_forward_hook(lambda *a: log.add("called"))
    other = m.register_forward_hook(lambda *a: None)
    log.add(isinstance(handle, t.utils.hooks.RemovableHandle), other.id == handle.id + 1, handle.id in m._forward_hooks)
    m._forward_hooks.clear()
    m(t.ones(2))
    handle.remove()
    m._forward_hooks[99] = lambda *a: log.add("by hand")
    m(t.ones(2))
    log.add(m._forward_hooks_with_kwargs, m._forward_hooks_always_called, m._forward_pre_hooks_with_kwargs)


PROGRAMS = [
    forward_hooks, keyword_hooks, always_call, global_hooks, global_always, registration_hooks, full_backward,
    several_values, wrong_backward_results, legacy_backward, handles,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_same_as_torch(program):
    expected, received = run(program, torch), run(program, rushlight)
    for index, (want, have) in enumerate(zip(expected, received)):
        assert have == want, f"report {index} of {program.__name__}"
    assert len(received) == len(expected), (received[len(expected) :], expected[len(received) :])
