"""torch's modules beside the operators: what works, what answers a probe, and what is refused with a remedy."""

import hashlib
import importlib
import json
import time

import pytest
from processes import run_code

import rushlight as torch

MODULES = [
    "accelerator", "amp", "autograd.anomaly_mode", "autograd.functional", "autograd.grad_mode", "autograd.profiler",
    "backends.cudnn", "backends.mps", "compiler", "cuda.amp", "distributed", "fft", "func", "futures", "fx", "hub",
    "jit", "jit.annotations", "linalg", "mps", "multiprocessing", "nn.attention", "nn.common_types", "nn.functional",
    "nn.init", "nn.modules.activation", "nn.modules.batchnorm", "nn.modules.container", "nn.modules.conv",
    "nn.modules.linear", "nn.modules.loss", "nn.modules.module", "nn.modules.utils", "nn.parallel", "nn.parameter",
    "nn.utils.rnn", "onnx", "optim.lr_scheduler", "overrides", "profiler", "serialization", "special", "storage",
    "testing", "torch_version", "types", "utils._pytree", "utils.checkpoint", "utils.data", "utils.data.distributed",
    "utils.dlpack", "utils.hooks", "utils.model_zoo", "version", "xpu", "_C", "_dynamo", "_dynamo.utils",
    "_higher_order_ops.associative_scan", "ao.nn.quantized", "ao.quantization",
    "ao.nn.intrinsic", "ao.nn.intrinsic.qat", "ao.nn.qat", "ao.nn.quantizable", "cuda.graphs", "cuda.streams",
    "distributed._functional_collectives", "distributed.checkpoint", "distributed.checkpoint.hf_storage",
    "distributed._tensor", "distributed._tensor.device_mesh", "distributed._tensor.placement_types",
    "distributed.algorithms._checkpoint.checkpoint_wrapper", "distributed.checkpoint._nested_dict",
    "distributed.checkpoint.api", "distributed.checkpoint.default_planner", "distributed.checkpoint.filesystem",
    "distributed.checkpoint.format_utils", "distributed.checkpoint.metadata", "distributed.checkpoint.state_dict",
    "distributed.checkpoint.state_dict_loader", "distributed.checkpoint.state_dict_saver",
    "distributed.checkpoint.stateful", "distributed.fsdp.api", "distributed.fsdp.fully_sharded_data_parallel",
    "distributed.fsdp.wrap", "distributed.nn", "distributed.nn.functional", "distributed.tensor.parallel",
    "distributed.tensor.parallel.style", "cuda.nccl", "onnx.operators",
    "distributed.device_mesh", "distributed.distributed_c10d", "distributed.fsdp", "distributed.tensor",
    "distributed.tensor._utils", "distributed.tensor.placement_types", "fx.graph_module", "library",
    "nn.attention.flex_attention", "distributed.algorithms.join", "__config__", "onnx.symbolic_helper",
    "onnx.symbolic_opset11", "quantization", "distributed.rpc", "distributed.rpc.api",
    "distributed.rpc.backend_registry",
    "distributed.rpc.constants", "distributed.rpc.functions", "distributed.rpc.options", "distributed.autograd",
    "distributed.optim", "distributed.nn.api.remote_module", "onnx.symbolic_opset9", "onnx.symbolic_opset12",
    "onnx.errors", "onnx._internal.torchscript_exporter.registration", "distributed.remote_device",
]  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_modules_that_programs_import(name):
    module = importlib.import_module(f"rushlight.{name}")
    for public in getattr(module, "__all__", ()):
        assert hasattr(module, public)
    assert module.__doc__
    with pytest.raises(AttributeError, match=r"no attribute 'no_such_name'"):
        getattr(module, "no_such_" + "name")


def test_multiprocessing_is_no_package():
    with pytest.raises(ImportError, match="not a package"):
        importlib.import_module("rushlight.multiprocessing.spawn")
    assert torch.multiprocessing.spawn.__module__ == "rushlight.multiprocessing"


def test_serialization_is_the_checkpoint_reader(tmp_path):
    assert torch.serialization.load is torch.load and torch.serialization.save is torch.save
    with torch.serialization.safe_globals([hashlib.sha256]):
        assert torch.serialization.get_safe_globals()
    assert torch.serialization.get_safe_globals() == []
    with pytest.raises(NotImplementedError, match="map_location"):
        torch.serialization.register_package(0, None, None)


def test_jit_marks_change_nothing():
    def double(x: int) -> int:
        return 2 * x

    jit = torch.jit
    for mark in (jit.script, jit.ignore, jit.unused, jit.export, jit.script_if_tracing, jit.ignore(drop=True)):
        assert mark(double) is double
    module = torch.nn.Linear(2, 2)
    assert jit.script(module) is module and jit.freeze(module.eval()) is module
    assert not jit.is_scripting() and not jit.is_tracing() and torch._C._get_tracing_state() is None
    assert jit.annotate(int, 3) == jit.Attribute(3, int) == 3
    assert jit.wait(jit.fork(double, 4)) == 8
    with pytest.raises(RuntimeError, match="eval"):
        jit.freeze(module.train())
    with pytest.raises(TypeError, match="no_such_option"):
        jit.script(double, no_such_option=True)


def test_jit_isinstance_looks_inside():
    check = torch.jit.isinstance
    assert check({"a": torch.ones(1)}, dict[str, torch.Tensor]) and not check({"a": 1}, dict[str, str])
    assert check((1, "a"), tuple[int, str]) and not check((1,), tuple[int, str])
    assert check(None, int | None) and check(3, (str, int)) and not check("a", int | None)


@pytest.mark.parametrize("name", ["trace", "trace_module", "load", "save", "CompilationUnit", "set_fusion_strategy"])
def test_torchscript_itself_is_refused(name):
    with pytest.raises(NotImplementedError, match=f"torch.jit.{name} is not supported by rushlight.*torch.compile"):
        getattr(torch.jit, name)(None)


@pytest.mark.parametrize(
    ("use", "remedy"),
    [
        (lambda: torch.onnx.export(None), "state_dict"),
        (lambda: torch.hub.load("owner/repository", "model"), "source='local'"),
        (lambda: torch.profiler.profile(with_flops=True), "summary"),
        (lambda: torch.multiprocessing.set_sharing_strategy("file_descriptor"), "copied"),
        (lambda: torch.multiprocessing.spawn(print, start_method="fork"), "start_processes"),
        (lambda: torch.jit.ScriptFunction(), "torch.compile"),
    ],
)
def test_what_is_not_there_says_what_to_use(use, remedy):
    with pytest.raises(NotImplementedError, match=remedy):
        use()


@pytest.mark.parametrize("name", ["xpu", "mps"])
def test_devices_that_jax_does_not_drive(name):
    backend = getattr(torch, name)
    assert not backend.is_available() and backend.device_count() == 0
    with pytest.raises(RuntimeError, match="is_available"):
        backend.synchronize()


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks what is there without a GPU")
def test_cuda_without_a_gpu():
    cuda = torch.cuda
    assert cuda.memory_reserved() == cuda.max_memory_reserved() == 0 and not cuda.is_initialized()
    assert cuda.get_rng_state_all() == []
    for use in (cuda.Event, cuda.Stream, cuda.current_stream, cuda.init):
        with pytest.raises(RuntimeError, match="Found no GPU"):
            use()
    with pytest.raises(NotImplementedError, match="start of the process"):
        cuda.reset_peak_memory_stats()


def test_cudnn_flags_are_put_back():
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark
    with cudnn.flags(benchmark=not before, deterministic=True):
        assert cudnn.benchmark is not before and cudnn.deterministic
    assert cudnn.benchmark is before and not cudnn.deterministic


def test_version_compares_as_a_version():
    version = torch.__version__
    assert version == "2.13.0" and isinstance(version, str) and version != "2.13.1"
    assert version > "2.9" and version >= (2, 13) and version < "2.13.1" and version <= (2, 13, 0)
    assert version.split(".")[0] == "2" and version != "nightly" and hash(version) == hash("2.13.0")


def test_futures():
    first, second = torch.futures.Future(), torch.futures.Future()
    both = torch.futures.collect_all([first, second])
    failing = first.then(lambda done: 1 / done.wait())
    first.set_result(0)
    assert not both.done()
    second.set_result(2)
    assert torch.futures.wait_all(both.wait()) == [0, 2] and second.value() == 2
    with pytest.raises(ZeroDivisionError):
        failing.wait()
    with pytest.raises(RuntimeError, match="once"):
        first.set_result(1)
    with pytest.raises(RuntimeError, match="completed"):
        torch.futures.Future().value()


def test_overrides_ask_the_class():
    class Mine:
        @classmethod
        def __torch_function__(cls, func, types, args, kwargs):
            return "mine"

    class Silent(Mine):
        @classmethod
        def __torch_function__(cls, func, types, args, kwargs):
            return NotImplemented

    overrides = torch.overrides
    assert overrides.has_torch_function((1, Mine())) and not overrides.has_torch_function_unary(torch.ones(1))
    assert overrides.handle_torch_function(torch.add, (Mine(), Silent()), 1) == "mine"
    with pytest.raises(TypeError, match="no implementation found"):
        overrides.handle_torch_function(torch.add, (Silent(),), 1)
    assert overrides.is_tensor_like(Mine()) and not overrides.is_tensor_like(1)


def test_pytree():
    tree = torch.utils._pytree
    nest = {"b": [1, None], "a": (2,)}
    leaves, spec = tree.tree_flatten(nest)
    assert tree.tree_unflatten(leaves, spec) == nest and spec.num_leaves == 3 and spec == tree.tree_structure(nest)
    assert tree.tree_map(lambda x, y: (x, y), [1], [None]) == [(1, None)]
    assert tree.tree_map_only(int, lambda x: x + 1, [1, "a"]) == [2, "a"]
    assert tree.tree_any(lambda x: x is None, nest) and not tree.tree_all(lambda x: x is None, nest)
    assert leaves == [1, None, 2] and (spec.num_nodes, spec.num_children) == (6, 2)
    assert tree.tree_map(lambda x, y: y, [1, 2], [1, [2]]) == [1, [2]]
    with pytest.raises(ValueError, match="holds 3 items"):
        tree.tree_unflatten([1], spec)
    with pytest.raises(ValueError, match="already registered"):
        tree.register_pytree_node(list, list, list)
    doubled = tree.tree_map(lambda x: x * 2, {"w": torch.ones(2)})
    assert doubled["w"].tolist() == [2.0, 2.0]


def test_attention_kernels():
    attention = torch.nn.attention
    q = torch.randn(1, 2, 3, 4)
    with attention.sdpa_kernel([attention.SDPBackend.FLASH_ATTENTION, attention.SDPBackend.MATH]):
        out = torch.nn.functional.scaled_dot_product_attention(q, q, q)
    assert torch.equal(out, torch.nn.functional.scaled_dot_product_attention(q, q, q))
    with pytest.raises(RuntimeError, match=r"SDPBackend\.MATH"), attention.sdpa_kernel(attention.SDPBackend.ERROR):
        pass
    with pytest.raises(TypeError, match="SDPBackend"), attention.sdpa_kernel("math"):
        pass


def test_hub_keeps_what_it_fetches(tmp_path, monkeypatch):
    weights = {"w": torch.arange(3.0)}
    torch.save(weights, tmp_path / "weights.pth")
    digest = hashlib.sha256((tmp_path / "weights.pth").read_bytes()).hexdigest()
    address = (tmp_path / "weights.pth").as_uri()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    assert torch.hub.get_dir() == str(tmp_path / "home" / "hub")
    loaded = torch.hub.load_state_dict_from_url(address, check_hash=True, file_name=f"net-{digest[:8]}.pth")
    assert torch.equal(loaded["w"], weights["w"])
    kept = tmp_path / "home" / "hub" / "checkpoints" / f"net-{digest[:8]}.pth"
    assert kept.is_file()
    with pytest.raises(RuntimeError, match="invalid hash value"):
        torch.utils.model_zoo.load_url(address, check_hash=True, file_name="net-00000000.pth")
    assert list(kept.parent.iterdir()) == [kept], "a download that fails leaves nothing"


def test_hub_local_models(tmp_path):
    (tmp_path / "hubconf.py").write_text(
        'dependencies = ["json"]\n\ndef net(size, bias=True):\n    "A layer."\n    from rushlight import nn\n'
        "    return nn.Linear(size, 1, bias=bias)\n"
    )
    load = torch.hub.load
    assert repr(load(str(tmp_path), "net", 3, bias=False, source="local")) == repr(torch.nn.Linear(3, 1, bias=False))
    assert torch.hub.list(str(tmp_path), source="local") == ["net"]
    assert torch.hub.help(str(tmp_path), "net", source="local") == "A layer."
    with pytest.raises(RuntimeError, match="offers net"):
        load(str(tmp_path), "nte", source="local")
    with pytest.raises(FileNotFoundError, match=r"hubconf\.py"):
        load(str(tmp_path / "nowhere"), "net", source="local")
    with pytest.raises(ValueError, match="Unknown source"):
        load(str(tmp_path), "net", source="elsewhere")


def test_profiler_records_the_steps_of_its_schedule(tmp_path):
    profiler = torch.profiler
    handler = profiler.tensorboard_trace_handler(str(tmp_path / "traces"), worker_name="me")
    plan = profiler.schedule(wait=1, warmup=0, active=1, repeat=1)
    with profiler.profile(schedule=plan, on_trace_ready=handler) as prof:
        for step in range(4):
            with profiler.record_function(f"step {step}"):
                time.sleep(0.001)
            prof.step()
    (file,) = (tmp_path / "traces").iterdir()
    assert file.name.startswith("me.") and file.name.endswith(".pt.trace.json")
    names = {event.get("name") for event in json.loads(file.read_text())["traceEvents"]}
    assert "step 1" in names and "step 0" not in names and "step 2" not in names
    (row,) = [row for row in prof.key_averages() if row.key == "step 1"]
    assert row.count == 1 and row.cpu_time_total >= 1000
    assert "step 1" in prof.key_averages().table(sort_by="cpu_time_total", row_limit=5)
    with pytest.raises(RuntimeError, match="recording"):
        profiler.profile().events()


def test_spawn_calls_a_function_in_fresh_processes(tmp_path):
    (tmp_path / "job.py").write_text(
        "import rushlight.multiprocessing as mp\n"
        "def work(index, folder):\n"
        "    open(f'{folder}/{index}', 'w').close()\n"
        "def fail(index):\n"
        "    raise ValueError(f'process {index} cannot')\n"
        "if __name__ == '__main__':\n"
        f"    mp.spawn(work, args=({str(tmp_path)!r},), nprocs=2)\n"
        "    try:\n"
        "        mp.spawn(fail, nprocs=1)\n"
        "    except mp.ProcessRaisedException as error:\n"
        "        print('ValueError: process 0 cannot' in str(error), error.error_index)\n"
    )
    out = run_code("import runpy; runpy.run_path('job.py', run_name='__main__')", cwd=tmp_path)
    assert (tmp_path / "0").exists() and (tmp_path / "1").exists()
    assert out.strip() == "True 0"
