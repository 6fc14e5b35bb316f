"""torch.fx: the same programs traced, printed, changed and run in both libraries."""

from __future__ import annotations

import copy
import operator
import pickle
import warnings
from importlib import import_module

import pytest
from module_programs import run
from parity._fx_programs import PROGRAMS

import rushlight

torch = pytest.importorskip("torch")
BOTH = (torch, rushlight)


def leaves(value):
    """The tensors inside of nested results."""
    if hasattr(value, "detach"):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [leaf for part in parts for leaf in leaves(part)]


def texts(module):
    return [str(module.graph), module.code, repr(module), str(module), module.print_readable(print_output=False)]


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch's own file is written with what torch deprecates
    import_module("torch.fx.experimental.optimization")


def same(program):
    """Run a program in both libraries and compare what it reports, warnings and errors included."""
    theirs, ours = run(program, torch), run(program, rushlight)
    for one, other in zip(theirs, ours, strict=False):
        assert other == one
    assert len(theirs) == len(ours) > 0


@pytest.mark.parametrize("name", PROGRAMS)
def test_text(name):
    theirs, ours = (texts(t.fx.symbolic_trace(PROGRAMS[name](t)[0])) for t in BOTH)
    for one, other in zip(theirs, ours, strict=True):
        assert other == one


@pytest.mark.parametrize("name", [name for name in PROGRAMS if PROGRAMS[name](rushlight)[1] is not None])
def test_values_and_gradients(name):
    found = []
    for t in BOTH:
        t.manual_seed(0)
        root, inputs = PROGRAMS[name](t)
        module = t.fx.symbolic_trace(copy.deepcopy(root))
        for run_it in (root, module):
            values = leaves(run_it(*inputs))
            named = sorted(run_it.named_parameters()) if isinstance(run_it, t.nn.Module) else []
            wanted = [x for x in inputs if x.requires_grad] + [parameter for _, parameter in named]
            total = sum(v.real.sum() for v in values if v.requires_grad)
            grads = t.autograd.grad(total, wanted, allow_unused=True) if wanted and values[0].requires_grad else ()
            found.append(values + [g for g in grads if g is not None])
    eager, graph, ours_eager, ours_graph = found
    for mine, direct in ((graph, eager), (ours_graph, ours_eager)):
        for one, other in zip(mine, direct, strict=True):
            assert one.detach().numpy().tobytes() == other.detach().numpy().tobytes()
    for one, other in zip(ours_graph, graph, strict=True):
        torch.testing.assert_close(
            torch.from_numpy(one.detach().numpy().copy()), other.detach(), rtol=1e-3, atol=2e-4, equal_nan=True
        )


# -- nodes and graphs ----------------------------------------------------------------------------------------------


def graph_by_hand(t):
    graph = t.fx.Graph()
    x, y = graph.placeholder("x", t.Tensor), graph.placeholder("y", default_value=3)
    add = graph.call_function(t.add, (x, y), {"alpha": 2})
    listed = graph.call_function(t.cat, ([add, x, {"k": y}],))
    method = graph.call_method("__getitem__", (listed, (0, slice(None, y, 2))))
    return graph, x, y, add, listed, method


def building(t, log):
    graph, x, y, add, listed, method = graph_by_hand(t)
    log.add(str(graph), [n.name for n in reversed(graph.nodes)], len(graph.nodes), repr(add.args), repr(add.kwargs))
    log.add([list(map(str, n.users)) for n in graph.nodes], [str(n.all_input_nodes) for n in graph.nodes])
    with graph.inserting_before(listed):
        graph.call_function(operator.mul, (add, 2), name="wanted")
        graph.call_function(operator.mul, (add, 2), name="wanted")
    with graph.inserting_after(x):
        graph.placeholder("for")
    with graph.inserting_before():
        graph.placeholder("z")
    graph.output((method, [add]), t.Tensor)
    log.add(
        str(graph),
        graph.python_code("self").src,
        str(graph.output_node()),
        x < y,
        sorted([method, y, x]) == [x, y, method],
    )
    log.add(str(graph.find_nodes(op="placeholder")), str(graph.find_nodes(op="call_function", target=t.add)))
    log.add(*[n.format_node() for n in graph.nodes], x.next.name, x.prev.name, graph.lint())
    log.tried(lambda: graph.find_nodes(op="call_function"))


def changing(t, log):
    graph, x, y, add, listed, method = graph_by_hand(t)
    log.add(str(add.replace_all_uses_with(x)), str(graph), [list(map(str, n.users)) for n in graph.nodes])
    listed.replace_input_with(x, y)
    add.update_arg(1, x)
    add.update_kwarg("alpha", y)
    add.insert_arg(0, [y, 5])
    log.add(str(graph), str(add.all_input_nodes), str(list(x.users)), str(list(y.users)))
    method.prepend(add)
    log.add([n.name for n in graph.nodes])
    y.append(method)
    log.add([n.name for n in graph.nodes])
    log.tried(graph.lint)
    graph.erase_node(add)
    graph.erase_node(method)
    log.add(str(graph), len(graph.nodes), graph.erase_node(add))
    log.add(str(y.replace_all_uses_with(x, lambda user: user is not listed)))
    listed.meta["note"] = 1
    log.tried(lambda: x.replace_all_uses_with(listed, propagate_meta=True))
    other = t.fx.Graph()
    log.add(str(other.graph_copy(graph, {})), str(other), other.find_nodes(op="call_function", target=t.cat)[0].meta)


def refusals(t, log):
    graph, x, y, add, listed, method = graph_by_hand(t)
    other = t.fx.Graph()
    foreign = other.placeholder("w")
    for wrong in (
        lambda: graph.erase_node(x), lambda: other.erase_node(method), lambda: x.append(foreign),
        lambda: other.inserting_after(x), lambda: other.inserting_before(x), lambda: graph.create_node("jump", "x"),
        lambda: graph.call_function("x"), lambda: graph.create_node("call_method", "x", [1]),
        lambda: graph.create_node("call_method", "x", (1,), [1]), lambda: add.insert_arg(7, 1),
        lambda: listed.args[0].append(1), lambda: add.kwargs.update(alpha=1), lambda: listed.args[0].__setitem__(0, 1),
        lambda: graph.output_node(), lambda: t.fx.map_arg(1, 2), lambda: graph.nodes[0], lambda: add < 3,
        lambda: t.fx.GraphModule(3, graph), lambda: setattr(t.fx.GraphModule({}, graph), "graph", 3),
        lambda: setattr(t.fx.GraphModule({}, graph), "code", ""),
    ):  # fmt: skip
        log.tried(wrong)
    add.args = (foreign, y)
    log.tried(graph.lint)
    log.tried(lambda: graph.call_module("missing", (x,)))
    graph = t.fx.Graph()
    graph.call_module("missing", (1,))
    log.tried(lambda: t.fx.GraphModule({}, graph))
    log.tried(lambda: t.fx.GraphModule(t.nn.Module(), graph))
    log.tried(lambda: t.fx.Graph().get_attr("a.b").name)
    module = t.fx.symbolic_trace(t.nn.Linear(2, 2))
    log.tried(lambda: module.graph.get_attr("nothing").name)
    log.tried(lambda: module.graph.get_attr("no.thing").name)
    log.tried(lambda: module.graph.call_module("nothing"))


def immutable(t, log):
    kinds = import_module(f"{t.__name__}.fx.immutable_collections")
    a, b = kinds.immutable_list([1, [2]]), kinds.immutable_dict(x=1)
    log.add(
        a + [3], {**b}, repr(a), repr(b), kinds.immutable_list([1, 2]) == [1, 2], pickle.loads(pickle.dumps((a, b)))
    )
    log.add(hash(kinds.immutable_list([1])) == hash((1,)), type(copy.copy(a)).__name__)
    for wrong in (lambda: a.pop(), lambda: a.sort(), lambda: b.pop("x"), lambda: b.setdefault("y", 1), lambda: hash(a)):
        log.tried(wrong)
    leaves, spec = t.utils._pytree.tree_flatten([a, b])
    log.add(leaves, type(t.utils._pytree.tree_unflatten(leaves, spec)[0]).__name__)


def dead_code(t, log):
    class Net(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = t.nn.Linear(2, 2), t.nn.Linear(2, 2)

        def forward(self, x, y):
            self.unused(y)
            z = t.relu(x) + 1
            t.rand(2)
            t._assert(x, "no")
            z.add_(1)
            return self.used(x)

    module = t.fx.symbolic_trace(Net())
    log.add(module.graph.eliminate_dead_code(), str(module.graph), module.graph.eliminate_dead_code())
    log.add(module.graph.eliminate_dead_code(lambda node: node.op in ("placeholder", "output")), str(module.graph))
    module.recompile()
    module.delete_all_unused_submodules()
    log.add(module.code, [name for name, _ in module.named_modules()])
    log.add(module.add_submodule("a.b.c", t.nn.ReLU()), module.delete_submodule("a.b"), module.delete_submodule("q.r"))
    log.add(module.delete_submodule("used.weight"), [name for name, _ in module.named_modules()])


# -- transformations ----------------------------------------------------------------------------------------------


def patterns(t, log):
    class Net(t.nn.Module):
        def forward(self, x, w1, w2):
            m1 = t.cat([w1, w2]).sum()
            m2 = t.cat([w1, w2]).sum()
            return x + t.max(m1) + t.max(m2)

    def found(matches):
        return [(m.anchor.name, {str(k): str(v) for k, v in m.nodes_map.items()}) for m in matches]

    module = t.fx.symbolic_trace(Net())
    log.add(
        found(t.fx.replace_pattern(module, lambda a, b: t.cat([a, b]).sum(), lambda a, b: t.stack([a, b]))),
        *texts(module),
    )

    cases = [
        (lambda x: t.relu(x) * 2 + 1, lambda x: t.relu(x), lambda x: t.sigmoid(x)),
        (lambda x: t.relu(t.relu(t.relu(x))), lambda x: t.relu(t.relu(x)), lambda x: t.tanh(x)),
        (lambda x, y: (x + y, x * y, (x + y) * 2), lambda a, b: a + b, lambda a, b: a - b),
        (lambda x: (x.neg(), x.neg() + 1), lambda x: x.neg(), lambda x: x.abs().neg()),
        (lambda x: t.split(x, 2)[0] + 3, lambda x: x + 3, lambda x: x + 4),
        (lambda x: x + 3 + 4, lambda x, y: x + y, lambda x, y: x * y),
        (lambda x, y: t.relu(x) + t.relu(y), lambda a, b: t.relu(a) + t.relu(b), lambda a, b: t.relu(a + b)),
        (lambda x: t.add(x, t.add(x, x)), lambda x: t.add(x, x), lambda x: x),
        (lambda x: (t.relu(x), t.tanh(x)), lambda x: (t.relu(x), t.tanh(x)), lambda x: (x, x + 1)),
        (lambda x: t.nn.functional.dropout(t.relu(x), 0.1), lambda x: t.nn.functional.dropout(x, 0.1), lambda x: x),
        (lambda x: t.relu(x).sum() + t.relu(x).mean(), lambda x: t.relu(x).sum(), lambda x: x.sum()),
    ]  # fmt: skip
    for program, pattern, replacement in cases:
        module = t.fx.symbolic_trace(program)
        log.add(
            found(t.fx.replace_pattern(module, pattern, replacement)),
            module.code,
            str(module.graph),
            module.graph.lint(),
        )
    module = t.fx.symbolic_trace(lambda x: x + 1)
    log.tried(lambda: t.fx.replace_pattern(module, lambda x: x + 1, lambda x, y: x + y))
    log.tried(lambda: t.fx.replace_pattern(module, lambda x: x + 1, lambda x: (x, x)))
    log.tried(lambda: t.fx.replace_pattern(module, lambda x: (x + 2, x)[1], lambda x: x))


def patterns_with_modules(t, log):
    class Net(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.act = t.nn.Linear(2, 2), t.nn.ReLU()

        def forward(self, x):
            return self.act(self.conv(x)) * 2

    class Pattern(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.act = t.nn.ReLU()

        def forward(self, x):
            return self.act(x)

    class Other(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.tanh = t.nn.Tanh()

        def forward(self, x):
            return self.tanh(x)

    module = t.fx.symbolic_trace(Net())
    t.fx.replace_pattern(module, t.fx.symbolic_trace(Pattern()), t.fx.symbolic_trace(Other()))
    log.add(*texts(module), module(t.ones(1, 2)).shape)
    rewriter = import_module(f"{t.__name__}.fx.subgraph_rewriter")
    module = t.fx.symbolic_trace(lambda x: t.relu(x) + t.relu(x + 1))
    done = rewriter.replace_pattern_with_filters(
        module,
        lambda x: t.relu(x),
        lambda x: t.tanh(x),
        [lambda match, graph, pattern: match.nodes_map and "1" in match.returning_nodes[0].name],
    )
    log.add([str(one.replacements) for one in done], module.code)
    module = t.fx.symbolic_trace(lambda x: x * 3 + x * 4)
    rewriter.replace_pattern_with_filters(module, lambda x: x * 5, lambda x: x - 1, ignore_literals=True)
    log.add(module.code)


def interpreting(t, log):
    class Swap(t.fx.Transformer):
        def call_function(self, target, args, kwargs):
            return super().call_function(
                t.mul if target is t.sigmoid else target, args * 2 if target is t.sigmoid else args, kwargs
            )

        def call_method(self, target, args, kwargs):
            if target == "neg":
                return args[0] * -1
            return super().call_method(target, args, kwargs)

    class Net(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = t.nn.Linear(2, 2)
            self.weight = t.nn.Parameter(t.ones(2))

        def forward(self, x, y=2):
            return {"a": t.sigmoid(self.linear(x).neg()) * y, "b": [self.weight]}

    t.manual_seed(0)
    module = t.fx.symbolic_trace(Net())
    changed = Swap(module).transform()
    log.add(*texts(changed), str(module.graph))
    x = t.ones(1, 2)
    log.add(t.fx.Interpreter(module).run(x)["b"][0].tolist() == module(x)["b"][0].tolist())
    first = module.graph.find_nodes(op="call_module")[0]
    log.add(float(t.fx.Interpreter(module).run(x, 3, initial_env={first: t.zeros(1, 2)})["a"].sum()))
    log.add(sorted(t.fx.Interpreter(module).boxed_run([x, 2])))
    for wrong in (
        lambda: t.fx.Interpreter(module).run(), lambda: t.fx.Interpreter(module).boxed_run([x]),
        lambda: t.fx.Interpreter(module).fetch_attr("linear.nothing"),
    ):  # fmt: skip
        log.tried(lambda wrong=wrong: _shortened(wrong))
    log.tried(lambda: _shortened(lambda: t.fx.Interpreter(t.fx.symbolic_trace(lambda x: x["k"])).run({})))


def _shortened(function):
    """PyTorch's errors of interpreters end with the name of a further tool."""
    try:
        return function()
    except Exception as error:
        error.args = tuple(str(a).split("\nUse tlparse")[0] for a in error.args)
        raise


def shape_propagation(t, log):
    prop = import_module(f"{t.__name__}.fx.passes.shape_prop")
    module = t.fx.symbolic_trace(t.nn.Sequential(t.nn.Conv2d(2, 3, 3), t.nn.ReLU(), t.nn.Flatten(), t.nn.Linear(12, 2)))
    prop.ShapeProp(module).propagate(t.ones(1, 2, 4, 4))
    log.add(
        [str(node.meta["tensor_meta"]) for node in module.graph.nodes],
        [n.meta["type"].__name__ for n in module.graph.nodes],
    )
    log.add(
        module.print_readable(print_output=False),
        module.print_readable(print_output=False, include_stride=True, colored=True),
    )


def fusing(t, log):
    tools = import_module(f"{t.__name__}.fx.experimental.optimization")

    class Net(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.bn = t.nn.Conv2d(2, 3, 1), t.nn.BatchNorm2d(3)
            self.inner = t.nn.Sequential(t.nn.Conv2d(3, 3, 1, bias=False), t.nn.BatchNorm2d(3), t.nn.Dropout(0.5))
            self.again = t.nn.BatchNorm2d(3, track_running_stats=False)

        def forward(self, x):
            return self.again(self.inner(self.bn(self.conv(x)))) + t.nn.functional.dropout(
                x.sum(), training=self.training
            )

    t.manual_seed(0)
    net = Net()
    net(t.randn(2, 2, 3, 3))
    net.eval()
    x = t.ones(1, 2, 3, 3)
    fused = tools.fuse(net)
    log.add(
        str(fused.graph),
        fused.code,
        repr(fused),
        bool(t.allclose(fused(x), net(x), atol=1e-5)),
        list(fused.state_dict()),
    )
    log.add(*texts(tools.remove_dropout(net)), str(tools.remove_dropout(fused).graph))
    log.tried(lambda: tools.fuse(Net()))
    graph = fused.graph
    nodes = graph.find_nodes(op="call_module")
    part = tools.extract_subgraph(fused, nodes[1:2], nodes[:1], nodes[1:2])
    log.add(*texts(part))


def annotating(t, log):
    annotate = import_module(f"{t.__name__}.fx.annotate").annotate
    module = t.fx.symbolic_trace(lambda x: annotate(x + 1, t.Tensor) * annotate(2, int))
    log.add(module.code, str(module.graph))
    log.tried(lambda: t.fx.symbolic_trace(lambda x: annotate(annotate(x, int), int)))


def sources(t, log):
    module = t.fx.symbolic_trace(lambda x: t.relu(x) + 1)
    with module.graph.on_generate_code(lambda now: lambda body: ["x = x * 2\n", *(now or list)(body)]):
        module.recompile()
        log.add(module.code, float(module(t.ones(1))))
    module.recompile()
    log.add(module.code)

    class Listed(t.fx.CodeGen):
        def gen_fn_def(self, free_vars, maybe_return_annotation):
            unpacked = f"\n    {', '.join(free_vars)}, = args" if free_vars else ""
            return f"def forward(self, args){maybe_return_annotation}:{unpacked}"

        def additional_globals(self):
            return [("List", list)]

        def process_inputs(self, *inputs):
            return inputs[0]

    module.graph.set_codegen(Listed())
    module.recompile()
    log.add(module.code, float(module([t.ones(1)])), float(t.fx.Interpreter(module).run([t.ones(1)])))
    log.add(str(copy.deepcopy(module).code))
    log.add(module.graph.python_code("root", expanded_def=False).src, t.fx.GraphModule({}, t.fx.Graph(), "Empty").code)


def splitting(t, log):
    split_module = import_module(f"{t.__name__}.fx.passes.split_module").split_module

    class Net(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = t.nn.Parameter(t.ones(2))
            self.a, self.b = t.nn.Sequential(t.nn.Linear(2, 2)), t.nn.Linear(2, 2)

        def forward(self, x, y=1):
            z = self.a(x) + self.weight
            u, v = z.sum(), z * y
            return self.b(v) - u, v @ self.weight, x

    t.manual_seed(0)
    module = t.fx.symbolic_trace(Net())
    x = t.ones(1, 2)
    numbers = {node.name: i // 2 for i, node in enumerate(module.graph.nodes)}
    for options in (
        {}, {"keep_original_order": True}, {"keep_original_node_name": True}, {"keep_original_input_name": False},
        {"partition_affix": "part"}, {"tuple_return": True}, {"keep_original_order": True, "tuple_return": True},
    ):  # fmt: skip
        named = {}
        made = split_module(module, module, lambda node: numbers[node.name], named, **options)
        parts = [(name, *texts(part)) for name, part in made.named_children() if isinstance(part, t.fx.GraphModule)]
        log.add(*texts(made), parts, named, sorted(made.meta["partition_names"]))
        log.add([bool(t.equal(a, b)) for a, b in zip(made(x), module(x), strict=True)])
    log.tried(lambda: split_module(module, module, lambda node: len(node.name) % 2))


REPORTS = [
    building, changing, refusals, immutable, dead_code, patterns, patterns_with_modules, interpreting,
    shape_propagation, fusing, splitting, annotating, sources,
]  # fmt: skip


@pytest.mark.parametrize("report", REPORTS, ids=[report.__name__ for report in REPORTS])
def test_the_same_is_done(report):
    same(report)


def test_tables(capsys):
    for t in BOTH:
        with pytest.raises(ImportError):
            t.fx.symbolic_trace(lambda x: x).graph.print_tabular()
    first, second = capsys.readouterr().out.strip().split("\n")
    assert first == second
