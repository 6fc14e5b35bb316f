"""What public model packages import and call on their way: marks that change nothing, classes that nothing is."""

import importlib

import pytest

import rushlight as torch
from rushlight.utils import _pytree


def test_quantization_marks_pass_values_through():
    x = torch.arange(4.0)
    stub, back = torch.ao.quantization.QuantStub("how"), torch.quantization.DeQuantStub()
    assert stub(x) is x and back(x) is x and stub.qconfig == "how"
    wrapped = torch.quantization.QuantWrapper(torch.nn.ReLU().eval())
    assert not wrapped.training and torch.equal(wrapped(-x), torch.zeros(4))
    assert [name for name, _ in wrapped.named_children()] == ["quant", "dequant", "module"]


def test_float_functional_computes():
    f, x = torch.nn.quantized.FloatFunctional(), torch.tensor([[1.0, -2.0]])
    assert f.add(x, x).tolist() == f.mul_scalar(x, 2).tolist() == [[2, -4]]
    assert f.mul(x, x).tolist() == [[1, 4]] and f.add_scalar(x, 1).tolist() == [[2, -1]]
    assert f.add_relu(x, x).tolist() == [[2, 0]] and f.matmul(x, x.T).tolist() == [[5]]
    assert f.cat([x, x], 1).shape == (1, 4)
    with pytest.raises(RuntimeError, match="not intended to use the 'forward'"):
        f(x)


REFUSED = [
    ("distributed.tensor", "DTensor"), ("distributed.tensor", "distribute_tensor"),
    ("distributed.tensor", "distribute_module"),
    ("distributed.tensor._utils", "compute_local_shape_and_global_offset"),
    ("distributed.checkpoint.hf_storage", "HuggingFaceStorageReader"),
    ("distributed.checkpoint.hf_storage", "HuggingFaceStorageWriter"), ("cuda", "CUDAGraph"), ("cuda", "graph"),
    ("fx.experimental.proxy_tensor", "make_fx"), ("fx.passes.graph_drawer", "FxGraphDrawer"),
]  # fmt: skip


@pytest.mark.parametrize(("module", "name"), REFUSED)
def test_what_is_refused_names_another_way(module, name):
    with pytest.raises(NotImplementedError, match="is not supported by rushlight"):
        getattr(importlib.import_module(f"rushlight.{module}"), name)(None)


def test_placements_describe():
    from rushlight.distributed.tensor import Partial, Replicate, Shard

    assert (
        Shard(1) == Shard(1) != Shard(0) and Shard(1).is_shard() and Shard(1).is_shard(1) and not Shard(1).is_shard(0)
    )
    assert Replicate().is_replicate() and not Replicate().is_shard() and Partial().is_partial("sum")
    assert not isinstance(torch.ones(1), torch.distributed.tensor.DTensor)


def test_collectives_of_one_process_copy():
    dist, x = torch.distributed, torch.arange(4.0)
    functional = importlib.import_module("rushlight.distributed._functional_collectives")
    dist.init_process_group("gloo", world_size=1, rank=0)
    try:
        for call in (dist.all_gather_into_tensor, dist.reduce_scatter_tensor, dist.all_to_all_single):
            out = torch.zeros(4)
            assert call(out, x) is None and torch.equal(out, x) and call(out, x, async_op=True).wait()
            with pytest.raises(ValueError, match="world size of 1"):
                call(torch.zeros(3), x)
        got = [torch.zeros(4)]
        dist.gather(x, got)
        assert torch.equal(got[0], x)
        out = torch.zeros(4)
        dist.scatter(out, [x])
        assert torch.equal(out, x) and dist.get_process_group_ranks() == [0]
        with pytest.raises(ValueError, match="list of 1 tensor"):
            dist.scatter(out, [])
        with pytest.raises(ValueError, match="list of 1 tensor"):
            dist.gather(out)
    finally:
        dist.destroy_process_group()
    for call in (functional.all_reduce, functional.reduce_scatter_tensor):
        result = call(x, "sum", *((0,) if "scatter" in call.__name__ else ()), None)
        assert torch.equal(result, x) and result is not x
    assert functional.wait_tensor(x) is x and torch.equal(functional.all_gather_tensor(x, 0, None), x)
    assert torch.equal(functional.all_to_all_single(x, [4], None, None), x)
    with pytest.raises(ValueError, match="add up to 4"):
        functional.all_to_all_single(x, [3], None, None)


def test_blocks_that_wait_for_nobody():
    from rushlight.distributed.algorithms.join import Join, Joinable, JoinHook

    with Join([Joinable()], enable=True):
        Join.notify_join_context(Joinable())
    assert isinstance(Joinable().join_hook(), JoinHook)
    with pytest.raises(ValueError, match="at least one joinable"):
        Join([])


def test_the_build_describes_itself():
    assert f"PyTorch {torch.__version__}" in torch.__config__.show()
    assert "cores" in torch.__config__.parallel_info()


def test_marks_for_tracers_change_nothing():
    assert torch.compiler.allow_in_graph(len) is len and torch._dynamo.assume_constant_result(len) is len
    assert not torch.compiler.is_exporting() and torch._dynamo.utils.is_compile_supported("cpu")
    trace = importlib.import_module("rushlight._dynamo._trace_wrapped_higher_order_op")
    with trace.TransformGetItemToIndex():
        table = torch.arange(5.0)
        assert torch.vmap(lambda i: table[i])(torch.tensor([3, 1])).tolist() == [3, 1]
    with torch._C.DisableTorchFunctionSubclass():
        pass
    assert torch._C._jit_set_profiling_executor(False) is torch._C._jit_can_fuse_on_cpu() is False
    keys = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU) | torch._C.DispatchKeySet(torch._C.DispatchKey.CUDA)
    assert keys.has(torch._C.DispatchKey.CUDA) and not keys.has(torch._C.DispatchKey.Meta)
    torch.onnx.register_custom_op_symbolic("a::b", len, 11)


def test_attributes_are_copied_by_dotted_name():
    from rushlight.fx.graph_module import _copy_attr

    source, target = torch.nn.Module(), torch.nn.Module()
    source.inner = torch.nn.BatchNorm1d(2)
    for name in ("inner.weight", "inner.running_mean"):
        _copy_attr(source, target, name)
    assert target.inner.weight is source.inner.weight and list(dict(target.named_buffers())) == ["inner.running_mean"]


def test_trees_take_classes_with_lists_as_context():
    class Output(dict):
        pass

    _pytree.register_pytree_node(
        Output, _pytree._dict_flatten, lambda values, keys: Output(_pytree._dict_unflatten(values, keys)),
        serialized_type_name="Output", flatten_with_keys_fn=_pytree._dict_flatten_with_keys,
    )  # fmt: skip
    leaves, spec = _pytree.tree_flatten(Output(b=1, a=2))
    assert leaves == [1, 2] and spec == _pytree.tree_structure(Output(b=3, a=4)) and hash(spec) is not None
    assert spec != _pytree.tree_structure(Output(a=3, b=4))
    assert type(_pytree.tree_unflatten([3, 4], spec)) is Output and _pytree.tree_unflatten([3, 4], spec) == {
        "b": 3,
        "a": 4,
    }
    pairs, _ = _pytree._dict_flatten_with_keys({"x": 5})
    assert pairs[0][0].get({"x": 5}) == 5 and str(pairs[0][0]) == "['x']"
    assert _pytree.SequenceKey(1).get([3, 4]) == 4 and str(_pytree.SequenceKey(1)) == "[1]"
    assert _pytree.GetAttrKey("real").get(2.0) == 2.0 and str(_pytree.GetAttrKey("real")) == ".real"


def test_writing_through_an_expansion_that_repeats_nothing():
    row = torch.zeros(3)
    row.expand(1, 3).copy_(torch.arange(3.0).expand(1, -1))
    assert row.tolist() == [0, 1, 2]
    with pytest.raises(RuntimeError, match="more than one element"):
        row.expand(2, 3).copy_(torch.ones(2, 3))


def test_sizes_to_broadcast_to_may_be_given_one_by_one():
    row = torch.ones(1, 3)
    for wide in (row.broadcast_to(2, 3), row.broadcast_to((2, 3)), row.broadcast_to(size=(2, 3))):
        assert wide.shape == (2, 3)
    with pytest.raises(TypeError):
        torch.broadcast_to(row, 2, 3)


def test_sizes_may_be_given_by_name():
    x = torch.arange(6).reshape(shape=(2, 3))
    assert x.view(size=(3, 2)).shape == x.permute(dims=(1, 0)).shape == (3, 2)
    assert torch.reshape(x, shape=(6,)).shape == (6,) and x.expand(size=(4, 2, 3)).shape == (4, 2, 3)
    assert x.float().view(dtype=torch.int32).dtype is torch.int32 and x.tile(dims=(2, 1)).shape == (4, 3)
    assert torch.zeros(2).resize_(size=(3,)).shape == (3,)
    for call in (lambda: x.view(shape=(6,)), lambda: x.reshape(6, shape=(6,)), lambda: x.permute(dim=(1, 0))):
        with pytest.raises(TypeError):
            call()


def test_saving_on_the_cpu_changes_nothing_there():
    x = torch.ones(2, requires_grad=True)
    with torch.autograd.graph.save_on_cpu(pin_memory=True):
        (x * x).sum().backward()
    assert x.grad.tolist() == [2, 2]


def test_scan_combines_along_a_dimension():
    from rushlight._higher_order_ops import associative_scan

    for size in (1, 2, 3, 5, 8):
        x = torch.arange(1.0, size + 1).repeat(2, 1).requires_grad_()
        done = associative_scan(lambda a, b: a * b, x, 1)
        assert torch.equal(done, x.cumprod(1))
        assert torch.equal(associative_scan(lambda a, b: a + b, x, 1, reverse=True), x.flip(1).cumsum(1).flip(1))
        (expected,) = torch.autograd.grad(x.cumprod(1).sum(), x)
        assert torch.allclose(torch.autograd.grad(done.sum(), x)[0], expected)
    a, b = torch.full((4,), 0.5), torch.ones(4)
    _, state = associative_scan(lambda p, q: (p[0] * q[0], q[0] * p[1] + q[1]), (a, b), 0, combine_mode="generic")
    assert state.tolist() == [1, 1.5, 1.75, 1.875]
    with pytest.raises(ValueError, match="Combine_mode"):
        associative_scan(lambda a, b: a, a, 0, combine_mode="other")
    with pytest.raises(ValueError, match="same size"):
        associative_scan(lambda a, b: a, (a, b[:2]), 0)
    with pytest.raises(ValueError, match="at least 1 xs leaf"):
        associative_scan(lambda a, b: a, (), 0)
