"""torch.fx: what tracers record and refuse, and what becomes of traced modules, in both libraries."""

from __future__ import annotations

import copy
import math
import operator
import pickle
import types
from importlib import import_module
from pathlib import Path

import pytest
from module_programs import run

import rushlight

torch = pytest.importorskip("torch")
BOTH = (torch, rushlight)
SOURCE = (Path(__file__).parent / "_fx_wrapped.py").read_text()


def same(program):
    """Run a program in both libraries and compare what it reports, warnings and errors included."""
    theirs, ours = run(program, torch), run(program, rushlight)
    for one, other in zip(theirs, ours, strict=False):
        assert other == one
    assert len(theirs) == len(ours) > 0


def text(module):
    return module.code, str(module.graph)


def part(t, name):
    return import_module(f"{t.__name__}.fx.{name}")


def wrapped_module(t):
    module = types.ModuleType("marked")
    module.torch = t
    exec(compile(SOURCE.replace("torch = None", "torch = torch"), "marked.py", "exec"), vars(module))
    return module


# -- tracing -------------------------------------------------------------------------------------------------------


def control_flow(t, log):
    wrong = (
        lambda x: x + 1 if x > 0 else x, lambda x: [y + 1 for y in x], lambda x: len(x), lambda x: print(*x),
        lambda x: x and 1, lambda x: max(x, x + 1), lambda x: range(x), lambda x: t.relu(x + object()),
        lambda x: x.method({x: 1}), lambda x: {**x}, lambda x: int(x), lambda x: x.__index__(), lambda x: [1][x],
        lambda x: math.sqrt(x), lambda x: f"{x}", lambda x: x in [1], lambda x: [1] in x, lambda x: not x,
        lambda x: t.nn.functional.relu(x, 1, 2, 3) if x is None else x, lambda x: isinstance(x, t.Tensor),
        lambda x: callable(x), lambda x: hasattr(x, "anything"), lambda x: x.__class__.__name__, lambda x: x is None,
        lambda x: x[0:x.size(0)], lambda x: slice(x), lambda x: x.__len__(), lambda x: copy.copy(x) + 1,
    )  # fmt: skip
    for function in wrong:
        try:
            log.add(*text(t.fx.symbolic_trace(function)))
        except Exception as error:
            # A class defined in a test of one library is not the other's: only its kind and words count.
            log.add(type(error).__name__, [type(error).__mro__[1].__name__], str(error))
    log.tried(lambda: t.fx.symbolic_trace(len))
    log.tried(lambda: t.fx.symbolic_trace(t.nn.Linear(2, 2).forward))
    log.add(issubclass(part(t, "proxy").TraceError, ValueError))


def concrete(t, log):
    def f(x, flag, n=3, *, last=None):
        if flag:
            x = x + n
        return x * 2 if last is None else x - last

    def nested(d, pair):
        a, b = pair
        return {"sum": d["a"] + d["b"][0], "rest": [a, b]}

    PH = t.fx.PH
    cases = [
        (f, {"flag": True}), (f, {"flag": False, "n": 5}), (f, {"flag": 1.5, "last": None}), (f, {"flag": "a"}),
        (lambda x, y=None: x if y is None else y, {"y": None}), (lambda x, y: x + y, (PH, 3)),
        (lambda x, y: x + y, (3,)), (lambda *args: args[0] + args[1], (PH, PH)),
        (nested, {"d": {"a": PH, "b": [PH, 2]}, "pair": (PH, PH)}), (lambda x, s: x[0] + s, {"x": [PH, PH]}),
        (lambda x, d: x, {"d": object}),
    ]  # fmt: skip
    for function, values in cases:
        log.tried(lambda function=function, values=values: text(t.fx.symbolic_trace(function, concrete_args=values)))
    module = t.fx.symbolic_trace(nested, concrete_args=cases[8][1])
    result = module({"a": 1, "b": [2, 2]}, (3, 4))
    log.add(result, t.fx.Interpreter(module).run({"a": 1, "b": [2, 2]}, (3, 4)), repr(PH))
    specialised = t.fx.symbolic_trace(f, concrete_args={"flag": True})
    log.add(int(specialised(1, True, 3, 1)))
    log.tried(lambda: specialised(1, False, 3, 1))
    log.tried(lambda: t.fx.symbolic_trace(f, concrete_args={"flag": 1.5, "last": None})(1, 1.5, 3, 4))


def marked(t, log):
    module = wrapped_module(t)
    for name in ("use", "use_decorated"):
        made = t.fx.symbolic_trace(getattr(module, name))
        log.add(*text(made), [node.meta.get("is_wrapped") for node in made.graph.nodes])
        again = t.fx.symbolic_trace(made)
        log.add(*text(again))
    made = t.fx.symbolic_trace(module.use)
    x = t.ones(2)
    log.add(made(x, 3).tolist() == module.use(x, 3).tolist(), "wrapped" in repr(module.helper))

    def wrong():
        t.fx.wrap("len")

    log.tried(wrong)
    log.tried(lambda: t.fx.wrap(len))
    tracer = t.fx.Tracer(autowrap_modules=(math, operator), autowrap_functions=(module.helper, module.plain))
    made = t.fx.GraphModule({}, tracer.trace(lambda x: operator.add(x, math.floor(x))))
    log.add(*text(made))


def own_tracers(t, log):
    class Inside(t.fx.Tracer):
        def is_leaf_module(self, m, module_qualified_name):
            return isinstance(m, t.nn.Tanh)

        def create_node(self, kind, target, args, kwargs, name=None, type_expr=None):
            node = super().create_node(kind, target, args, kwargs, name, type_expr)
            node.meta["seen"] = kind
            return node

        def to_bool(self, obj):
            return False

        def iter(self, obj):
            return iter([obj[0], obj[1]])

        def keys(self, obj):
            return ["a", "b"]

    class Net(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = t.nn.Sequential(t.nn.ReLU(), t.nn.Tanh(), t.nn.Linear(2, 2))
            self.register_buffer("shift", t.ones(2))
            self.weight = t.nn.Parameter(t.ones(2, 3))

        def forward(self, x, d):
            if x > 0:
                return x
            for y in x:
                x = x + y
            return self.layers(x) + self.shift + t.stack([*{**d}.values()])

        def other(self, x):
            return (
                x * self.weight.size()[1] + self.weight.shape[0] * self.weight.numel() + self.shift + self.weight.dim()
            )

    net = Net()
    tracer = Inside()
    graph = tracer.trace(net)
    log.add(str(graph), [node.meta["seen"] for node in graph.nodes], tracer.root is net, graph._tracer_cls is Inside)
    log.add([list(node.meta.get("nn_module_stack", {})) for node in graph.nodes])
    log.add({name: path for name, (path, _) in tracer.node_name_to_scope.items()})

    class Other(t.fx.Tracer):
        traced_func_name = "other"
        proxy_buffer_attributes = True

    log.add(str(Other().trace(net)))
    Other.proxy_buffer_attributes = False
    log.add(str(Other(param_shapes_constant=True).trace(net)))
    log.tried(lambda: str(Other().trace(t.nn.Linear(2, 2))))

    class Strict(t.fx.Tracer):
        def path_of_module(self, mod):
            return "at." + super().path_of_module(mod)

        def getattr(self, attr, attr_val, parameter_proxy_cache):
            log.add(attr)
            return super().getattr(attr, attr_val, parameter_proxy_cache)

    log.add(str(Strict().trace(t.nn.Sequential(t.nn.Linear(2, 2)))))
    outside = t.nn.Linear(2, 2)
    log.tried(lambda: t.fx.symbolic_trace(lambda x: outside(x)))
    log.tried(lambda: t.fx.symbolic_trace(lambda x: x + outside.weight))
    log.tried(lambda: t.fx.symbolic_trace(lambda x: t.nn.functional.linear(x, t.ones(2, 2))).code)
    log.add(len(t.fx.Tracer().get_fresh_qualname.__name__))


def proxies(t, log):
    proxy = part(t, "proxy")
    graph = t.fx.Graph()
    x = t.fx.Proxy(graph.placeholder("x"))
    y = t.fx.Proxy(graph.placeholder("y"), proxy.GraphAppendingTracer(graph))
    log.add(repr(x), repr(x.shape), repr(x.T.node), repr(x + 1), repr(x[0]), repr(x.sum(0)), repr(-x), repr(3 @ x))
    with pytest.raises(RuntimeError, match="Found multiple different tracers"):
        t.add(x, y)
    z = x.view(2, x.size(0), key=x[1:, None, ...])
    graph.output([z.node, {"k": (x**2).node}])
    log.add(str(graph), x(1, k=2).node.format_node(), repr(copy.copy(x)), repr(abs(x)), repr(x.keys()))
    log.tried(lambda: bool(x))
    log.tried(lambda: list(x))
    log.tried(lambda: len(x))
    log.tried(lambda: x.__setitem__(0, 1))
    a, (b, *_) = (x, (y,))
    first, second = x
    log.add(repr(first), repr(second), str(a.node), str(b.node))

    class Named(t.fx.Proxy):
        @classmethod
        def __torch_function__(cls, orig_method, types, args=(), kwargs=None):
            log.add(orig_method.__name__)
            return super().__torch_function__(orig_method, types, args, kwargs)

    named = Named(x.node)
    t.relu(named), t.cat([named, named])
    log.add(str(graph))


def numbers_of_names(t, log):
    class Net(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.add = t.nn.Linear(2, 2)
            self.x = t.nn.Parameter(t.ones(2))
            self.lists = t.nn.ModuleList(t.nn.Linear(2, 2) for _ in range(2))
            self.MyConv2dLayer = t.nn.Linear(2, 2)

        def forward(self, x, add_1, torch, device, self_1, inf):
            y = self.add(x) + add_1 + self.x
            return self.MyConv2dLayer(self.lists[1](self.lists[0](y))) + torch + device + inf + self_1

    log.add(*text(t.fx.symbolic_trace(Net())))


def nested(t, log):
    class Inner(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = t.nn.Linear(2, 2)

        def forward(self, x):
            return t.relu(self.linear(x))

    class Outer(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = t.fx.symbolic_trace(Inner())

        def forward(self, x):
            return self.inner(x) + 1

    outer = t.fx.symbolic_trace(Outer())
    log.add(*text(outer), repr(outer))

    class Keep(t.fx.Tracer):
        def is_leaf_module(self, m, module_qualified_name):
            return True

    root = Outer()
    kept = t.fx.GraphModule(root, Keep().trace(root))
    log.add(
        *text(kept), repr(kept), kept.print_readable(print_output=False), kept.print_readable(False, expanded_def=True)
    )
    graph = t.fx.Graph()
    x = graph.placeholder("x")
    graph.output(graph.call_module("0.a", (graph.call_module("b.c", (x,)), graph.get_attr("w"))))
    made = t.fx.GraphModule({"0.a": t.nn.Bilinear(1, 1, 1), "b.c": t.nn.ReLU(), "w": t.ones(1)}, graph, "Made")
    log.add(*text(made), repr(made), type(made).__name__, sorted(made.state_dict()))


def checking(t, log):
    class Checked(t.fx.Tracer):
        check_mutable_operations = True

    log.add(str(Checked().trace(lambda x: t.relu(x) + x.add_(1))))
    with pytest.raises(RuntimeError, match=r"Tried to trace mutable operation .*FX only supports functional code"):
        Checked().trace(lambda x: t.relu_(x))


# -- traced modules ------------------------------------------------------------------------------------------------


def copies(t, log):
    class Net(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = t.nn.Linear(2, 2)
            self.register_buffer("shift", t.ones(2))
            self.weight = t.nn.Parameter(t.ones(2))

        def forward(self, x, n=2):
            return self.linear(x) * self.weight + self.shift + n

    module = t.fx.symbolic_trace(Net()).eval()
    module.meta["key"] = "value"
    module.note = "kept"
    for made in (copy.deepcopy(module), pickle.loads(pickle.dumps(module)), copy.copy(module)):
        log.add(
            *text(made), repr(made), made.training, type(made).__name__, made.meta.get("key"), sorted(made.state_dict())
        )
        log.add(made(t.ones(1, 2)).tolist() == module(t.ones(1, 2)).tolist(), isinstance(made, t.fx.GraphModule))
        log.add(made.linear.weight is module.linear.weight, hasattr(made, "note"), type(made) is type(module))
        made.graph.lint()
    other = copy.deepcopy(module.graph)
    log.add(str(other), other.owning_module is None)

    class Mine(t.fx.GraphModule):
        def extra(self):
            return len(self.graph.nodes)

    mine = Mine(module, module.graph, "Name")
    log.add(mine.extra(), type(mine).__name__, copy.deepcopy(mine).extra(), isinstance(mine, Mine), repr(mine))
    key = part(t, "graph_module")._USER_PRESERVED_ATTRIBUTES_KEY
    module.meta[key] = {"note": [1]}
    log.add(copy.deepcopy(module).note, key)
    with_function = t.fx.symbolic_trace(lambda x: math.sqrt(2.0) * x + float("inf"))
    log.add(pickle.loads(pickle.dumps(with_function)).code)
    named = t.fx.symbolic_trace(math_user)
    log.add(named.code, pickle.loads(pickle.dumps(named)).code)


def math_user(x):
    return operator.add(x, math.pi) + operator.itemgetter(0)([x])


def modes(t, log):
    class Net(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.drop, self.norm = t.nn.Linear(2, 2), t.nn.Dropout(0.5), t.nn.BatchNorm1d(2)

        def forward(self, x):
            return self.norm(self.drop(self.linear(x)))

    t.manual_seed(0)
    root = Net().eval()
    module = t.fx.symbolic_trace(root)
    log.add(module.training, module.train().drop.training, root.drop.training, module.eval().training)
    log.add(list(module.state_dict()) == list(root.state_dict()), module.linear is root.linear)
    fresh = t.fx.symbolic_trace(Net())
    fresh.load_state_dict(root.state_dict())
    x = t.ones(3, 2)
    log.add(
        bool(t.equal(fresh.eval()(x), root(x))), str(fresh.double().linear.weight.dtype), len(list(module.parameters()))
    )
    seen = []
    module.register_forward_hook(lambda m, args, out: seen.append(type(m).__name__))
    module.linear.register_forward_hook(lambda m, args, out: seen.append(type(m).__name__))
    module(x)
    log.add(seen, [type(m).__name__ for m in module.modules()])
    log.tried(lambda: module(x, x))
    module.graph = t.fx.symbolic_trace(t.nn.Identity()).graph
    log.add(module.code, type(module.recompile()).__name__)


def normalized(t, log):
    module = t.fx.symbolic_trace(t.nn.Sequential(t.nn.Linear(2, 2), t.nn.ReLU()))
    F = t.nn.functional
    other = t.fx.symbolic_trace(lambda x: F.relu(x) + F.dropout(x, 0.3))
    for made in (module, other):
        for node in made.graph.nodes:
            for only in (False, True):
                log.tried(
                    lambda node=node, only=only: str(
                        node.normalized_arguments(node.graph.owning_module, normalize_to_only_use_kwargs=only)
                    )
                )


REPORTS = [
    control_flow, concrete, marked, own_tracers, proxies, numbers_of_names, nested, checking, copies,
    modes, normalized,
]  # fmt: skip


@pytest.mark.parametrize("report", REPORTS, ids=[report.__name__ for report in REPORTS])
def test_the_same_is_done(report):
    same(report)
