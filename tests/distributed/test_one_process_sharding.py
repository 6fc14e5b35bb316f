"""Meshes, plans and sharded modules in a world of one process: each piece is the whole."""

import pytest

import rushlight as torch
from rushlight.distributed import fsdp
from rushlight.distributed.device_mesh import DeviceMesh, init_device_mesh
from rushlight.distributed.fsdp import FullyShardedDataParallel as FSDP
from rushlight.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

nn = torch.nn


@pytest.fixture
def group():
    torch.distributed.init_process_group("gloo", world_size=1, rank=0)
    yield
    torch.distributed.destroy_process_group()


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))


def test_mesh(group):
    mesh = init_device_mesh("cpu", (1, 1), mesh_dim_names=("dp", "tp"))
    assert repr(mesh) == "DeviceMesh((dp=1, tp=1), 'cpu', stride=((), ()))"
    assert (mesh.size(), mesh["tp"].ndim, mesh.get_local_rank("dp"), mesh.mesh.tolist()) == (1, 1, 0, [[0]])
    assert mesh["dp", "tp"] is mesh
    assert mesh._flatten("all").size() == mesh["all"].size() == 1
    assert mesh.get_group("dp").size() == 1
    with pytest.raises(KeyError, match="pp"):
        mesh["pp"]
    with pytest.raises(RuntimeError, match="mesh_dim"):
        mesh.get_group()
    with pytest.raises(NotImplementedError, match=r"4 processes .*jax\.sharding"):
        init_device_mesh("cpu", (2, 2))
    with pytest.raises(RuntimeError, match="unique"):
        init_device_mesh("cpu", (1, 1), mesh_dim_names=("a", "a"))


def test_mesh_begins_the_group():
    assert not torch.distributed.is_initialized()
    DeviceMesh("cpu", [0])
    assert torch.distributed.is_initialized()
    torch.distributed.destroy_process_group()


def test_plans(group):
    mesh, whole, x = init_device_mesh("cpu", (1,)), model(), torch.ones(3, 2)
    before = whole(x).tolist()
    assert parallelize_module(whole, mesh, {"0": ColwiseParallel(), "[2-9]": RowwiseParallel()}) is whole
    assert whole(x).tolist() == before
    with mesh:
        assert parallelize_module(whole[0], parallelize_plan=ColwiseParallel()) is whole[0]
    with pytest.raises(RuntimeError, match="No device mesh is currently active"):
        parallelize_module(whole, None, {})
    with pytest.raises(NotImplementedError, match=r"RowwiseParallel currently only support.*ReLU"):
        parallelize_module(whole, mesh, {"1": RowwiseParallel()})
    with pytest.raises(TypeError, match="Expect Union"):
        parallelize_module(whole, mesh, 3)
    with pytest.warns(UserWarning, match="'zz' could not be resolved"):
        parallelize_module(whole, mesh, {"zz": RowwiseParallel()})


def test_sharded_module_trains_as_the_plain_one():
    plain, sharded, x = model(), FSDP(model()), torch.ones(3, 2)
    assert list(sharded.state_dict()) == list(plain.state_dict())
    assert [name for name, _ in sharded.named_parameters()] == [name for name, _ in plain.named_parameters()]
    losses = []
    for one in (plain, sharded):
        optimizer = torch.optim.Adam(one.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            loss = (one(x) ** 2).mean()
            loss.backward()
            norm = sharded.clip_grad_norm_(0.5) if one is sharded else nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
            optimizer.step()
        losses.append((loss.item(), norm.item()))
    assert losses[0] == losses[1]
    assert str(plain.load_state_dict(sharded.state_dict())) == "<All keys matched successfully>"
    assert str(sharded.load_state_dict(model().state_dict())) == "<All keys matched successfully>"
    assert sharded.module[0].weight.tolist() == model()[0].weight.tolist()
    assert isinstance(sharded[1], nn.ReLU)


def test_summoned_parameters():
    sharded = FSDP(model())
    for keep, value in ((True, 9.0), (False, 5.0)):
        with FSDP.summon_full_params(sharded, writeback=keep), torch.no_grad():
            sharded.module[0].bias.fill_(value)
            assert sharded.module[0].bias.tolist() == [value] * 4
        assert sharded.module[0].bias.tolist() == [9.0] * 4


def test_policies_wrap_inside():
    sharded = FSDP(model(), auto_wrap_policy=fsdp.wrap.ModuleWrapPolicy({nn.Linear}))
    assert isinstance(sharded.module[0], FSDP)
    assert (len(FSDP.fsdp_modules(sharded)), FSDP.fsdp_modules(sharded, root_only=True)) == (3, [sharded])
    assert list(sharded.state_dict()) == list(model().state_dict())
    assert str(sharded.load_state_dict(model().state_dict())) == "<All keys matched successfully>"


def test_states_of_optimizers():
    sharded = FSDP(model())
    optimizer = torch.optim.Adam(sharded.parameters(), lr=0.1)
    sharded(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    named = FSDP.optim_state_dict(sharded, optimizer)
    assert named["param_groups"][0]["params"] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert named["state"]["0.weight"]["exp_avg"].shape == (4, 2)
    fresh = torch.optim.Adam(sharded.parameters(), lr=0.3)
    fresh.load_state_dict(FSDP.optim_state_dict_to_load(sharded, fresh, named))
    assert fresh.state_dict()["state"][2]["exp_avg"].tolist() == named["state"]["2.weight"]["exp_avg"].tolist()
    assert fresh.param_groups[0]["lr"] == 0.1
    assert FSDP.shard_full_optim_state_dict(named, sharded)["param_groups"][0]["params"] == [0, 1, 2, 3]
    keys = fsdp.OptimStateKeyType
    numbered = FSDP.rekey_optim_state_dict(named, keys.PARAM_ID, sharded)
    assert sorted(numbered["state"]) == [0, 1, 2, 3]
    assert FSDP.rekey_optim_state_dict(numbered, keys.PARAM_NAME, sharded)["state"].keys() == named["state"].keys()
    with pytest.raises(RuntimeError, match="Rank 0 must pass in"):
        FSDP.scatter_full_optim_state_dict(None, sharded)


def test_kinds_of_states():
    sharded, full = FSDP(model()), fsdp.StateDictType.FULL_STATE_DICT
    with FSDP.state_dict_type(sharded, full, fsdp.FullStateDictConfig(offload_to_cpu=True, rank0_only=True)):
        assert FSDP.get_state_dict_type(sharded).state_dict_config.offload_to_cpu
        assert list(sharded.state_dict()) == list(model().state_dict())
    assert not FSDP.get_state_dict_type(sharded).state_dict_config.offload_to_cpu
    with pytest.raises(NotImplementedError, match="FULL_STATE_DICT"):
        FSDP.set_state_dict_type(sharded, fsdp.StateDictType.SHARDED_STATE_DICT)


def test_marked_modules():
    whole, x = model(), torch.ones(1, 2)
    before = whole(x).tolist()
    assert fsdp.fully_shard(whole[0]) is whole[0]
    assert fsdp.fully_shard(whole) is whole
    assert type(whole).__name__ == "FSDPSequential"
    assert isinstance(whole, fsdp.FSDPModule)
    assert isinstance(whole[0], nn.Linear)
    assert whole(x).tolist() == before
    assert whole.unshard() is None
    assert whole.unshard(async_op=True).wait() is None
    with pytest.raises(AssertionError, match="once"):
        fsdp.fully_shard(whole)
    with pytest.raises(ValueError, match="do not implement forward"):
        fsdp.fully_shard(nn.ModuleList())


def test_what_one_process_cannot_do_is_refused():
    half = fsdp.MixedPrecision(param_dtype=torch.bfloat16)
    with pytest.raises(NotImplementedError, match=r"param_dtype.*torch\.autocast"):
        FSDP(model(), mixed_precision=half)
    with pytest.raises(NotImplementedError, match=r"param_dtype.*torch\.autocast"):
        fsdp.fully_shard(model(), mp_policy=fsdp.MixedPrecisionPolicy(param_dtype=torch.bfloat16))
    with pytest.raises(NotImplementedError, match="CPUOffload"):
        FSDP(model(), cpu_offload=fsdp.CPUOffload(offload_params=True))
    with pytest.raises(NotImplementedError, match="CPUOffloadPolicy"):
        fsdp.fully_shard(model(), offload_policy=fsdp.CPUOffloadPolicy())
    assert isinstance(FSDP(model(), mixed_precision=fsdp.MixedPrecision()), FSDP)
