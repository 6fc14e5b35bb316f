"""The words of sharding, the policies that choose submodules, checkpoint wrappers, and collectives of one process."""

import importlib
import inspect
import warnings

import numpy as np
import pytest

import rushlight
from rushlight.distributed.algorithms._checkpoint import checkpoint_wrapper as rwrapper
from rushlight.distributed.fsdp import api as rapi
from rushlight.distributed.fsdp import wrap as rwrap

torch = pytest.importorskip("torch")
twrapper = pytest.importorskip("torch.distributed.algorithms._checkpoint.checkpoint_wrapper")
twrap = pytest.importorskip("torch.distributed.fsdp.wrap")
tapi = pytest.importorskip("torch.distributed.fsdp.api")

LIBS = [(torch, twrapper, twrap), (rushlight, rwrapper, rwrap)]


def model_of(lib):
    lib.manual_seed(0)
    nn = lib.nn
    block = lambda: nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Tanh(), nn.Linear(4, 3))  # noqa: E731
    return nn.Sequential(block(), nn.ModuleList([block(), nn.Linear(2, 2)])[0], nn.Linear(3, 1))


@pytest.mark.parametrize("form", ["NO_REENTRANT", "REENTRANT"])
def test_wrapped_models_give_the_same(form):
    found = []
    for lib, module, _ in LIBS:
        model = model_of(lib)
        module.apply_activation_checkpointing(
            model,
            checkpoint_wrapper_fn=lambda m, lib=lib, module=module: module.checkpoint_wrapper(
                m, module.CheckpointImpl[form]
            ),
            check_fn=lambda m, lib=lib: isinstance(m, lib.nn.Sequential),
        )
        assert type(model[0]).__name__ == "CheckpointWrapper"
        assert model[0][1].p == 0.5
        assert model[0].checkpoint_impl.name == form
        lib.manual_seed(1)
        x = lib.arange(6.0).reshape(2, 3).requires_grad_()
        model(x).sum().backward()
        grads = {name: param.grad.numpy() for name, param in model.named_parameters()}
        found.append((grads, x.grad.numpy(), list(model.state_dict()), repr(model), list(dict(model.named_modules()))))
        plain = model_of(lib)
        assert list(plain.state_dict()) == list(model.state_dict())
        for name, param in plain.named_parameters():
            param.detach().zero_().add_(len(name))
        assert str(model.load_state_dict(plain.state_dict())) == "<All keys matched successfully>"
        assert model[0][0].weight.tolist() == plain[0][0].weight.tolist()
        assert str(plain.load_state_dict(model.state_dict())) == "<All keys matched successfully>"
    assert list(found[0][0]) == list(found[1][0])
    for name in found[0][0]:
        np.testing.assert_allclose(found[0][0][name], found[1][0][name], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-5, atol=1e-6)
    assert found[0][2:] == found[1][2:]


def test_wrappers_take_keywords_and_functions():
    for lib, module, _ in LIBS:

        class Scale(lib.nn.Module):
            def forward(self, x, *, by):
                return x * by

        x, by = lib.ones(2, requires_grad=True), lib.full((2,), 3.0, requires_grad=True)
        for form in module.CheckpointImpl:
            module.checkpoint_wrapper(Scale(), form)(x, by=by).sum().backward()
        assert x.grad.tolist() == [6, 6]
        assert by.grad.tolist() == [2, 2]
        calls = []

        def mine(function, *args, tag, calls=calls, **kwargs):
            calls.append(tag)
            return function(*args, **kwargs)

        module.checkpoint_wrapper(Scale(), checkpoint_fn=mine, tag="t")(x, by=by)
        assert calls == ["t"]
        assert module.offload_wrapper(Scale())(x, by=by).tolist() == [3, 3]
        with pytest.raises(AttributeError):
            _ = module.checkpoint_wrapper(Scale()).nothing


def wrapped_names(lib, module, policy):
    model = model_of(lib)
    module.apply_activation_checkpointing(model, auto_wrap_policy=policy)
    return [name for name, m in model.named_modules() if type(m).__name__ == "CheckpointWrapper"]


def test_policies_choose_the_same():
    from functools import partial

    found = []
    for lib, module, wrap in LIBS:
        nn, names = lib.nn, []
        for policy in (
            wrap.always_wrap_policy,
            partial(wrap.transformer_auto_wrap_policy, transformer_layer_cls={nn.Linear}),
            partial(wrap.size_based_auto_wrap_policy, min_num_params=16),
            partial(wrap.size_based_auto_wrap_policy, min_num_params=3, force_leaf_modules={nn.Linear}),
            partial(wrap.size_based_auto_wrap_policy, min_num_params=3, exclude_wrap_modules={nn.Linear}),
            partial(wrap._or_policy, policies=[partial(wrap.lambda_auto_wrap_policy, lambda_fn=lambda m: False),
                                               wrap.ModuleWrapPolicy([nn.Tanh])]),
            wrap.ModuleWrapPolicy({nn.Tanh, nn.Linear}),
            wrap.CustomPolicy(lambda m, nn=nn: isinstance(m, nn.Tanh)),
            wrap.CustomPolicy(lambda m, nn=nn: {"preserve_rng_state": False} if isinstance(m, nn.Tanh) else False),
        ):  # fmt: skip
            names.append(wrapped_names(lib, module, policy))
        assert all(names)
        size = wrap.size_based_auto_wrap_policy
        assert {nn.ModuleList, nn.ModuleDict} == size.EXCLUDE_WRAP_MODULES
        assert {nn.MultiheadAttention} == size.FORCE_LEAF_MODULES
        with pytest.raises(ValueError, match="to be callable or be a pre-defined wrap policy"):
            wrapped_names(lib, module, 3)
        with pytest.raises(ValueError, match="The lambda_fn passed to CustomPolicy should return"):
            wrapped_names(lib, module, wrap.CustomPolicy(lambda m: "yes"))
        with pytest.raises(AssertionError, match="is already wrapped by"):
            wrap._recursive_wrap(model_of(lib), wrap.always_wrap_policy, nn.Linear, set(), set())
        found.append(names)
    assert found[0] == found[1]


def test_wrap_inside_a_block():
    for lib, module, wrap in LIBS:
        assert type(wrap.wrap(lib.nn.Tanh())) is lib.nn.Tanh
        with wrap.enable_wrap(wrapper_cls=module.CheckpointWrapper, preserve_rng_state=False):
            inside = wrap.wrap(lib.nn.Tanh(), preserve_rng_state=True)
            with pytest.raises(NotImplementedError), wrap.enable_wrap(wrapper_cls=module.CheckpointWrapper):
                pass
        assert inside.checkpoint_fn.keywords["preserve_rng_state"] is True
        assert type(wrap.wrap(lib.nn.Tanh())) is lib.nn.Tanh


def test_words_have_torchs_values():
    for name in tapi.__all__:
        ours, theirs = getattr(rapi, name), getattr(tapi, name)
        if hasattr(theirs, "__members__"):
            assert [(m.name, m.value) for m in ours] == [(m.name, m.value) for m in theirs]
            assert repr(next(iter(ours))) == repr(next(iter(theirs)))
        else:
            assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)
        assert getattr(rushlight.distributed.fsdp, name, ours) is ours
    assert repr(rapi.FullStateDictConfig(True)) == repr(tapi.FullStateDictConfig(True))
    mixed = [api.MixedPrecision(param_dtype=lib.bfloat16) for api, lib in ((rapi, rushlight), (tapi, torch))]
    assert repr(mixed[0]).replace("rushlight", "torch") == repr(mixed[1])


def refused(call):
    try:
        return call()
    except Exception as error:
        return isinstance(error, RuntimeError) or type(error).__name__


def of_one_process(lib):
    meshes = importlib.import_module(f"{lib.__name__}.distributed.device_mesh")
    parallel = importlib.import_module(f"{lib.__name__}.distributed.tensor.parallel")
    fsdp = importlib.import_module(f"{lib.__name__}.distributed.fsdp")
    init = meshes.init_device_mesh
    line, mesh = init("cpu", (1,)), init("cpu", (1, 1), mesh_dim_names=("dp", "tp"))
    seen = [
        repr(line), repr(mesh), repr(mesh["tp"]), repr(mesh["tp", "dp"]), mesh["dp", "tp"] is mesh,
        mesh.ndim, tuple(mesh.shape), mesh.size(0), mesh.mesh_dim_names, mesh.device_type, mesh.get_rank(),
        mesh.get_local_rank("tp"), tuple(mesh.get_coordinate()), mesh.mesh.tolist(), str(mesh.mesh.dtype),
        mesh["tp"] == mesh["tp"], line == init("cpu", (1,)), line == mesh, hash(line) == hash(init("cpu", (1,))),
        line.get_group().size(), len(mesh.get_all_groups()), repr(mesh._flatten()),
        repr(meshes.DeviceMesh("cpu", [0])),
    ]  # fmt: skip
    for call in (
        lambda: mesh["xx"], lambda: line["xx"], lambda: mesh.get_local_rank(), lambda: mesh.get_group(),
        lambda: mesh.get_local_rank("xx"), lambda: init("cpu", (2,)), lambda: init("cpu:0", (1,)),
        lambda: init("cpu", (1,), mesh_dim_names=("a", "b")),
        lambda: init("cpu", (1, 1), mesh_dim_names=("a", "a")),
        lambda: parallel.parallelize_module(model_of(lib), line, 3),
        lambda: parallel.parallelize_module(model_of(lib), None, {}),
        lambda: parallel.parallelize_module(lib.nn.ReLU(), line, parallel.ColwiseParallel()),
        lambda: fsdp.fully_shard(lib.nn.ModuleList(), mesh=line),
    ):  # fmt: skip
        seen.append(refused(call))
    lib.manual_seed(0)
    model, x = lib.nn.Sequential(lib.nn.Linear(2, 3), lib.nn.Tanh(), lib.nn.Linear(3, 1)), lib.ones(2, 2)
    seen.append(parallel.parallelize_module(
        model, line, {"0": parallel.ColwiseParallel(), "[2]": parallel.RowwiseParallel()}
    ) is model)  # fmt: skip
    seen.append([round(v, 5) for v in model(x).flatten().tolist()])
    for plan in ({"zz": parallel.ColwiseParallel()}, None):
        with pytest.warns(UserWarning, match=r"could not be resolved|call will do nothing"):
            parallel.parallelize_module(model, line, plan)
    lib.manual_seed(0)
    marked = lib.nn.Sequential(lib.nn.Linear(2, 3), lib.nn.Linear(3, 1))
    fsdp.fully_shard(marked[0], mesh=line)
    seen += [fsdp.fully_shard(marked, mesh=line) is marked, repr(marked), isinstance(marked, fsdp.FSDPModule)]
    seen += [[round(v, 5) for v in marked(x).flatten().tolist()], list(marked.state_dict()), marked.unshard()]
    seen.append(refused(lambda: fsdp.fully_shard(marked, mesh=line)))
    return seen


def test_meshes_plans_and_marks_of_one_process(tmp_path):
    found = []
    for lib in (torch, rushlight):
        store = f"file://{tmp_path / lib.__name__}"
        lib.distributed.init_process_group("gloo", init_method=store, world_size=1, rank=0)
        try:
            found.append(of_one_process(lib))
        finally:
            lib.distributed.destroy_process_group()
    assert found[0] == found[1]


def test_placements():
    import rushlight.distributed._tensor as ours

    theirs = pytest.importorskip("torch.distributed._tensor")
    for make in (
        lambda m: m.Shard(1), lambda m: m.Shard(dim=-1), lambda m: m.Replicate(), lambda m: m.Partial(),
        lambda m: m.Partial("avg"),
    ):  # fmt: skip
        a, b = make(ours), make(theirs)
        assert (repr(a), str(a)) == (repr(b), str(b))
        assert a == make(ours)
        assert hash(a) == hash(make(ours))
        for question in ("is_shard", "is_replicate", "is_partial"):
            assert getattr(a, question)() == getattr(b, question)()
        assert a.is_shard(1) == b.is_shard(1)
        assert a.is_partial("avg") == b.is_partial("avg")
        assert isinstance(a, ours.Placement)
    for size, count, rank in ((10, 4, 0), (10, 4, 3), (3, 4, 3), (0, 2, 1), (8, 4, 2)):
        found = ours.Shard.local_shard_size_and_offset(size, count, rank)
        assert found == theirs.Shard.local_shard_size_and_offset(size, count, rank)
    with pytest.raises(NotImplementedError):
        ours.distribute_tensor(rushlight.ones(2), None)
    from rushlight.distributed._tensor.device_mesh import init_device_mesh

    with pytest.raises(NotImplementedError, match="JAX"):
        init_device_mesh("cpu", (2,))


def test_collectives_with_gradients(tmp_path):
    import rushlight.distributed.nn.functional as ours

    theirs = pytest.importorskip("torch.distributed.nn.functional")
    for lib, module in ((torch, theirs), (rushlight, ours)):
        store = f"file://{tmp_path / lib.__name__}"
        lib.distributed.init_process_group("gloo", init_method=store, world_size=1, rank=0)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for call in (
                    lambda x, m=module: m.all_gather(x)[0],
                    lambda x, m=module: m.all_reduce(x),
                    lambda x, m=module: m.broadcast(x, 0),
                    lambda x, m=module: m.reduce(x, 0),
                ):
                    x = lib.arange(3.0, requires_grad=True)
                    y = call(x)
                    (y * y).sum().backward()
                    assert y.tolist() == [0, 1, 2]
                    assert x.grad.tolist() == [0, 2, 4]
        finally:
            lib.distributed.destroy_process_group()
    with pytest.raises(ValueError, match="Default process group has not been initialized"):
        ours.all_gather(rushlight.ones(1))


def test_functional_collectives():
    from rushlight.distributed import _functional_collectives as ours

    x = rushlight.arange(6.0).reshape(2, 3)
    assert ours.permute_tensor(x, [0], None).tolist() == x.tolist()
    with pytest.raises(ValueError, match="permute_tensor"):
        ours.permute_tensor(x, [1], None)
    assert not isinstance(x, ours.AsyncCollectiveTensor)


def test_words_of_plans():
    import rushlight.distributed.tensor.parallel as ours
    from rushlight.distributed import tensor as rplaces

    theirs = pytest.importorskip("torch.distributed.tensor.parallel")
    from torch.distributed import tensor as tplaces

    found = []
    for module, places in ((ours, rplaces), (theirs, tplaces)):
        whole, part = places.Replicate(), places.Shard(0)
        plans = [
            module.ColwiseParallel(), module.RowwiseParallel(), module.SequenceParallel(),
            module.ColwiseParallel(input_layouts=part, output_layouts=whole, use_local_output=False),
            module.RowwiseParallel(input_layouts=whole, output_layouts=part),
            module.SequenceParallel(sequence_dim=0, use_local_output=True),
            module.PrepareModuleInput(input_layouts=part, desired_input_layouts=whole),
            module.PrepareModuleInput(input_layouts=(part, None), desired_input_layouts=(whole, None)),
            module.PrepareModuleInput(input_kwarg_layouts={"x": part}, desired_input_kwarg_layouts={"x": whole}),
            module.PrepareModuleOutput(output_layouts=part, desired_output_layouts=whole),
        ]  # fmt: skip
        found.append([(repr(plan), repr(vars(plan))) for plan in plans])
        assert all(isinstance(plan, module.ParallelStyle) for plan in plans)
        with pytest.raises(AssertionError, match="should have same length"):
            module.PrepareModuleInput(input_layouts=(part, part), desired_input_layouts=whole)
        with pytest.raises(AssertionError, match="desired module inputs should not be None"):
            module.PrepareModuleInput(input_layouts=part)
    assert found[0] == found[1]
