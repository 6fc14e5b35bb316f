"""Traced modules at work: gradients, compiled programs, copies, pickles, threads, and what fails."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading

import pytest

import rushlight as torch
from rushlight import fx
from rushlight.fx import _names
from rushlight.fx.experimental import optimization, proxy_tensor
from rushlight.fx.passes.infra.pass_base import PassBase, PassResult
from rushlight.fx.passes.shape_prop import ShapeProp
from rushlight.fx.proxy import TraceError


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
        self.scale = torch.nn.Parameter(torch.ones(2))
        self.register_buffer("shift", torch.arange(2.0))
        self.register_buffer("hidden", torch.zeros(2), persistent=False)

    def forward(self, x, twice=False):
        y = self.body(x) * self.scale + self.shift + self.hidden
        return torch.nn.functional.softmax(y, dim=-1)


def test_gradients_and_state_are_the_root_s():
    net = Net()
    module = fx.symbolic_trace(net)
    assert list(module.state_dict()) == list(net.state_dict()) and module.scale is net.scale
    assert "hidden" not in module.state_dict() and "hidden" in dict(module.named_buffers())
    x = torch.randn(5, 3)
    module(x)[:, 0].sum().backward()
    mine = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    net(x)[:, 0].sum().backward()
    assert all(torch.equal(a, b.grad) for a, b in zip(mine, net.parameters(), strict=True))
    assert module.to(torch.float64)(x.double()).dtype == torch.float64


def test_a_whole_forward_and_step_compile():
    net = Net()
    module = fx.symbolic_trace(net)
    compiled = torch.compile(module, fullgraph=True)
    x = torch.randn(5, 3)
    torch.testing.assert_close(compiled(x), module(x))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)

    @torch.compile(fullgraph=True)
    def step(x):
        optimizer.zero_grad()
        loss = module(x)[:, 0].sum()
        loss.backward()
        optimizer.step()
        return loss

    losses = [float(step(x)) for _ in range(3)]
    assert losses[0] > losses[1] > losses[2]
    with torch.no_grad():
        before = module(x)
        module.graph.find_nodes(op="call_function", target=torch.nn.functional.softmax)[0].update_kwarg("dim", 0)
        module.recompile()
        assert not torch.allclose(compiled(x), before)  # another program, and compiled anew
        torch.testing.assert_close(compiled(x), module(x))


def test_other_threads_see_modules_as_they_are():
    class Slow(torch.nn.Module):
        def __init__(self, gate):
            super().__init__()
            self.linear, self.gate = torch.nn.Linear(2, 2), gate

        def forward(self, x):
            self.gate()
            return self.linear(x)

    started, go_on = threading.Event(), threading.Event()

    def gate():
        started.set()
        assert go_on.wait(20)

    traced = []
    thread = threading.Thread(target=lambda: traced.append(fx.symbolic_trace(Slow(gate))))
    thread.start()
    assert started.wait(20)
    other = Net()
    try:
        assert isinstance(other(torch.ones(1, 3)), torch.Tensor)
        assert isinstance(other.scale, torch.nn.Parameter)
    finally:
        go_on.set()
        thread.join()
    assert traced[0].code.count("self.linear") == 1
    assert not any(hasattr(f, "__wrapped__") for f in (torch.nn.Module.__call__, torch.nn.Module.__getattr__))


def test_long_graphs_are_pickled():
    graph = fx.Graph()
    value = graph.placeholder("x")
    for _ in range(3000):
        value = graph.call_function(torch.add, (value, 1))
    graph.output([value])
    again = pickle.loads(pickle.dumps(graph))
    assert str(again) == str(graph) and again.owning_module is None
    again.lint()


def test_pickles_are_read_in_another_process(tmp_path):
    module = fx.symbolic_trace(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.GELU()))
    file = tmp_path / "module.pickle"
    file.write_bytes(pickle.dumps((module, module(torch.ones(1, 2)).detach())))
    code = (
        f"import pickle; import rushlight as torch; m, y = pickle.loads(open(r'{file}', 'rb').read()); "
        "print(torch.equal(m(torch.ones(1, 2)), y), m.code.count('getattr'))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["True", "2"]
    with pytest.raises(pickle.PicklingError, match="expected functions that can be imported"):
        pickle.dumps(fx.symbolic_trace(lambda x: Local(x)))


class _Meta(fx.ProxyableClassMeta):
    pass


def _local():
    class Local(metaclass=_Meta):
        def __init__(self, value):
            self.value = value

    return Local


Local = _local()


def test_loaders_take_traced_modules_to_their_workers():
    class Data(torch.utils.data.Dataset):
        def __len__(self):
            return 2

        def __getitem__(self, i):
            return torch.full((2,), float(i))

    collate = fx.symbolic_trace(lambda rows: rows[0] + rows[1])
    assert [b.tolist() for b in torch.utils.data.DataLoader(Data(), batch_size=2, collate_fn=collate)] == [[1.0, 1.0]]
    assert pickle.loads(pickle.dumps(collate))([1, 2]) == 3


def test_a_folder_is_a_package(tmp_path, monkeypatch):
    module = fx.symbolic_trace(Net())
    module.add_submodule("custom", torch.nn.Bilinear(1, 1, 1))
    with pytest.warns(UserWarning, match="Was not able to save the following children modules as reprs.*'body'"):
        module.to_folder(tmp_path / "saved_net")
    monkeypatch.syspath_prepend(tmp_path)
    from saved_net import FxModule  # type: ignore[import-not-found]

    x = torch.ones(1, 3)
    assert torch.equal(FxModule()(x), module(x)) and FxModule().state_dict().keys() == module.state_dict().keys()


def test_failures_show_the_generated_line(capsys):
    module = fx.symbolic_trace(lambda x, y: (x @ y).sum())
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        module(torch.ones(2, 3), torch.ones(2, 3))
    err = capsys.readouterr().err
    assert "Call using an FX-traced Module, line 5 of the traced Module's generated forward function:" in err
    assert "    matmul = x @ y;  x = y = None\n\n" + "~" * 29 + "~~~ <--- HERE" in err

    def fails(x):
        raise KeyError("mine")

    graph = fx.Graph()
    graph.output(graph.call_function(fails, (graph.placeholder("x"),)))
    with pytest.raises(KeyError, match="mine"):
        fx.GraphModule({}, graph)(1)
    assert capsys.readouterr().err == ""  # what failed is in a function of the program
    with pytest.raises(RuntimeError, match="Tried to trace mutable operation add"):
        tracer = fx.Tracer()
        tracer.check_mutable_operations = True
        tracer.trace(lambda x: torch.add(x, x, out=x))


CHECKED = """import rushlight as torch


class Checked(torch.nn.Module):
    def forward(self, x):
        assert x.sum() > 0, "positive"
        y = torch.relu(x)
        return y + 1
"""


def test_assertions_and_places_in_the_program_are_recorded(tmp_path, monkeypatch):
    (tmp_path / "checked_net.py").write_text(CHECKED)  # a file of its own: pytest rewrites assertions in this one
    monkeypatch.syspath_prepend(tmp_path)
    import checked_net  # type: ignore[import-not-found]

    tracer = fx.Tracer()
    tracer.trace_asserts = tracer.record_stack_traces = True
    net = checked_net.Checked()
    module = fx.GraphModule(net, tracer.trace(net))
    assert "torch.fx.proxy.assert_fn(gt)" in module.code and module(torch.ones(1)).tolist() == [2.0]
    with pytest.raises(AssertionError, match="Assertion failed"):
        module(-torch.ones(1))
    traces = {node.name: node.stack_trace for node in module.graph.nodes}
    assert (
        traces["x"] is None and traces["relu"].endswith("y = torch.relu(x)") and checked_net.__file__ in traces["add"]
    )
    assert f"# File: {checked_net.__file__}:" in module.print_readable(print_output=False)
    assert "in forward, code: return y + 1" in module.print_readable(print_output=False)
    plain = fx.Tracer()
    with pytest.raises(TraceError, match="cannot be used as inputs to control flow"):
        plain.trace(net)


def test_packages_build_a_trace_of_their_own():
    from rushlight.fx import _symbolic_trace as parts

    class Sum(torch.nn.Module):
        def __call__(self, *args):  # a call of its own, which the usual trace does not see
            return args[0].sum()

    class Total(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.add_up = torch.nn.Linear(2, 2), Sum()

        def forward(self, x):
            return self.add_up(torch.relu(self.linear(x)))

    class Tracer(fx.Tracer):
        def is_leaf_module(self, m, module_qualified_name):
            return True

        @parts.compatibility(is_backward_compatible=True)
        def trace(self, root, concrete_args=None):
            self.root, self.graph, self.tensor_attrs = root, fx.Graph(tracer_cls=type(self)), {}
            self.submodule_paths = {module: name for name, module in root.named_modules()}
            function, args = self.create_args_for_root(type(root).forward, True, concrete_args)
            assert isinstance(function, parts.FunctionType) and not isinstance(root, parts.ScriptObject)

            @parts.functools.wraps(parts._orig_module_call)
            def called(module, *args, **kwargs):
                there = vars(parts)
                parts._autowrap_check(patcher, there, self._autowrap_function_ids)
                return self.call_module(module, lambda *a: parts._orig_module_call(module, *a), args, kwargs)

            with parts._Patcher() as patcher:
                patcher.patch_method(torch.nn.Module, "__call__", called, deduplicate=False)
                patcher.patch_method(Sum, "__call__", called, deduplicate=False)
                parts._patch_wrapped_functions(patcher)
                self.create_node("output", "output", (self.create_arg(function(*args)),), {})
            return self.graph

    net = Total()
    module = fx.GraphModule(net, Tracer().trace(net))
    assert [node.target for node in module.graph.nodes if node.op == "call_module"] == ["linear", "add_up"]
    assert Sum.__call__.__qualname__.endswith("Sum.__call__") and not hasattr(Sum.__call__, "__wrapped__")
    x = torch.ones(1, 2)
    assert torch.equal(module(x), net(x))


def test_reasons_to_run_eagerly_show_the_generated_line():
    module = fx.symbolic_trace(lambda x: x * x.sum().item())
    with pytest.raises(NotImplementedError, match=r"mul = x \* item"):
        torch.compile(module, fullgraph=True)(torch.ones(3))


def test_every_printed_name_leads_back_to_its_function():
    wrong = []
    for value, name in _names._public().values():
        found = torch
        for part in name.split(".")[1:]:
            found = getattr(found, part, None)
        if not (found is value or getattr(found, "__name__", "") == getattr(value, "__name__", None)):
            wrong.append(name)
    assert not [name for name in wrong if not name.startswith("torch.Tensor.")]


def test_passes_and_refusals():
    module = fx.symbolic_trace(lambda x: (x * 2, x + 1)[1])

    class Clean(PassBase):
        def requires(self, graph_module):
            assert len(graph_module.graph.nodes) == 4

        def call(self, graph_module):
            return PassResult(graph_module, graph_module.graph.eliminate_dead_code())

        def ensures(self, graph_module):
            assert len(graph_module.graph.nodes) == 3

    assert Clean()(module).modified
    for refused, remedy in (
        (lambda: proxy_tensor.make_fx(lambda x: x), "symbolic_trace"),
        (lambda: fx.passes.graph_drawer.FxGraphDrawer(module, "name"), "print_readable"),
        (lambda: ShapeProp(module, fake_mode=object()), "propagate"),
        (lambda: optimization.optimize_for_inference(Net(), {"mkldnn_layout_optimize": {}}), "XLA"),
    ):
        with pytest.raises(NotImplementedError, match=remedy):
            refused()
    smaller = optimization.optimize_for_inference(
        torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2), torch.nn.Dropout()).eval()
    )
    assert [node.target for node in smaller.graph.nodes] == ["input", "0", "output"]
    with pytest.raises(AttributeError, match="has no attribute 'nothing' in rushlight"):
        fx.nothing  # noqa: B018


def test_reference_models_are_traced():
    from rushlight.models import resnet18

    model = resnet18(num_classes=3).eval()
    module = fx.symbolic_trace(model)
    assert list(module.state_dict()) == list(model.state_dict())
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(module(x), model(x))
        fused = optimization.fuse(model)
        torch.testing.assert_close(fused(x), model(x), rtol=1e-3, atol=1e-4)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in fused.modules())
