"""Owns the comparison of unusual contents with PyTorch: types JAX has not, sparse and quantized tensors, whole objects.

May import rushlight, torch (the oracle) and numpy.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import io
import pathlib
import pickle
import struct
import sys
import tarfile
import types

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rushlight import nn, optim  # noqa: E402
from rushlight._tensor.tensor import Tensor  # noqa: E402
from rushlight.checkpoint import InertTensor, Stub, load, save, state_dict_of  # noqa: E402

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore:.*quantize:UserWarning", "ignore:.*quint:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*[Ss]parse:UserWarning", "ignore:.*nested:UserWarning"),
    pytest.mark.filterwarnings("ignore:TypedStorage:UserWarning", "ignore::DeprecationWarning"),
]


def torch_file(obj, **options) -> io.BytesIO:
    file = io.BytesIO()
    torch.save(obj, file, **options)
    file.seek(0)
    return file


def again(obj, **options):
    """What PyTorch reads from what we write."""
    file = io.BytesIO()
    save(obj, file, **options)
    file.seek(0)
    return torch.load(file, weights_only=True)


SIGNED = torch.tensor([[1.0, -2.5, 0.3, 4.0], [0.0, 7.5, -8.0, 1.25], [3.0, 3.1, -3.2, 0.05]])
SCALES, ZEROS = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64), torch.tensor([3, 0, -2])
QUANTIZED = {
    "qint8": lambda: torch.quantize_per_tensor(SIGNED, 0.1, 2, torch.qint8),
    "quint8": lambda: torch.quantize_per_tensor(SIGNED, 0.1, 100, torch.quint8),
    "qint32": lambda: torch.quantize_per_tensor(SIGNED, 0.001, 0, torch.qint32),
    "qint8_transposed": lambda: torch.quantize_per_tensor(SIGNED, 0.1, 2, torch.qint8).t(),
    "qint8_part": lambda: torch.quantize_per_tensor(SIGNED, 0.1, 2, torch.qint8)[1],
    "channels": lambda: torch.quantize_per_channel(SIGNED, SCALES, ZEROS, 0, torch.qint8),
    "channels_1": lambda: torch.quantize_per_channel(SIGNED.t().contiguous(), SCALES, ZEROS, 1, torch.qint8),
    "quint4x2": lambda: torch.quantize_per_channel(
        SIGNED, SCALES.float(), torch.tensor([1.0, 0.0, 2.0]), 0, torch.quint4x2
    ),
    "quint2x4": lambda: torch.quantize_per_channel(
        SIGNED[:, :3].contiguous(), SCALES.float(), torch.tensor([1.0, 0.0, 2.0]), 0, torch.quint2x4
    ),
}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", QUANTIZED)
def test_quantized(name, legacy):
    theirs = QUANTIZED[name]()
    how = {"_use_new_zipfile_serialization": not legacy}
    file = torch_file(theirs, **how)
    ours = load(file)
    assert isinstance(ours, InertTensor) and ours.kind == "quantized" and repr(ours.dtype) == repr(theirs.dtype)
    assert tuple(ours.shape) == tuple(theirs.shape)
    if theirs.dtype not in (torch.quint4x2, torch.quint2x4):  # PyTorch cannot dequantize these on a CPU
        assert np.allclose(ours.dense().numpy(), theirs.dequantize().numpy(), rtol=1e-6, atol=1e-7)
        assert torch.equal(again(ours, **how).dequantize(), theirs.dequantize())
    else:
        read = again(ours, **how)
        assert read.dtype is theirs.dtype and read.shape == theirs.shape
        assert bytes(read.untyped_storage()) == bytes(theirs.untyped_storage())
        step = ours.parts["scales"].numpy()[:, None]
        levels = np.clip(np.rint(SIGNED[:, : ours.shape[1]].numpy() / step + ours.parts["zero_points"].numpy()[:, None]),
                         0, 15 if theirs.dtype is torch.quint4x2 else 3)  # fmt: skip
        codes = (ours.dense().numpy() - ours.parts["zero_points"].numpy()[:, None]) / step
        assert np.allclose(codes, levels, atol=1e-4)


SPARSE = {
    "coo": lambda: torch.tensor([[0.0, 2.0], [3.0, 0.0]]).to_sparse(),
    "coo_uncoalesced": lambda: torch.sparse_coo_tensor([[0, 0, 1], [1, 1, 0]], [1.0, 2.0, 3.0], (2, 3)),
    "coo_hybrid": lambda: torch.sparse_coo_tensor([[0, 2]], torch.arange(8.0).view(2, 4), (3, 4)),
    "coo_bfloat16": lambda: torch.eye(3, dtype=torch.bfloat16).to_sparse(),
    "csr": lambda: torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]]).to_sparse_csr(),
    "csc": lambda: torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]]).to_sparse_csc(),
    "bsr": lambda: torch.arange(24.0).view(4, 6).to_sparse_bsr((2, 3)),
    "bsc": lambda: torch.arange(24.0).view(4, 6).to_sparse_bsc((2, 3)),
    "csr_batched": lambda: torch.stack([torch.eye(3), torch.eye(3).roll(1, 0)]).to_sparse_csr(),
}


@pytest.mark.parametrize("name", SPARSE)
def test_sparse(name):
    theirs = SPARSE[name]()
    ours = load(torch_file(theirs))
    assert isinstance(ours, InertTensor) and repr(theirs.layout) == f"torch.{ours.kind}"
    wanted = theirs.to_dense() if "ba" not in name else torch.stack([torch.eye(3), torch.eye(3).roll(1, 0)])
    assert ours.dense().tolist() == wanted.tolist() and tuple(ours.shape) == tuple(theirs.shape)
    read = again(ours)
    assert read.layout is theirs.layout and read.shape == theirs.shape
    if theirs.layout is torch.sparse_coo:
        assert read.is_coalesced() == theirs.is_coalesced() and torch.equal(read._values(), theirs._values())
    else:
        assert torch.equal(read.values(), theirs.values())


def test_nested_and_packed():
    theirs = torch.nested.nested_tensor([torch.ones(2, 3), torch.zeros(1, 4)])
    ours = load(torch_file(theirs))
    assert ours.kind == "nested" and ours.parts["sizes"].tolist() == [[2, 3], [1, 4]] and "2 tensors" in repr(ours)
    with pytest.raises(NotImplementedError, match=r"\.parts"):
        ours.dense()
    assert [t.tolist() for t in again(ours).unbind()] == [t.tolist() for t in theirs.unbind()]
    for dtype in (torch.bits8, torch.bits16, torch.bits1x8, torch.float4_e2m1fn_x2):
        theirs = torch.arange(12, dtype=torch.uint8).view(dtype)[1:3]
        ours = load(torch_file(theirs))
        assert ours.kind == "packed" and repr(ours.dtype) == repr(dtype) and tuple(ours.shape) == (2,)
        read = again(ours)
        assert read.dtype is dtype and bytes(read.untyped_storage()) == bytes(theirs.untyped_storage())
        assert read.storage_offset() == 1 and read.shape == theirs.shape


def test_accelerator_tensors_are_read_as_host_values():
    rebuild = torch._utils._rebuild_device_tensor_from_cpu_tensor

    class Remote:
        def __reduce__(self):
            return rebuild, (torch.ones(2, 3), torch.bfloat16, "xla:0", True)

    ours = load(torch_file({"x": Remote()}))["x"]
    assert repr(ours.dtype) == "torch.bfloat16" and ours.requires_grad and ours.device.type == "cpu"


def test_tensor_classes_that_rebuild_themselves_become_stubs():
    file = torch_file(torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged))
    ours = load(file, weights_only=False)
    assert isinstance(ours, Stub) and ours.class_name.endswith("NestedTensor")
    file.seek(0)
    with pytest.raises(pickle.UnpicklingError, match="_rebuild_njt"):
        load(file)


def test_storages_alone():
    ours = load(torch_file([torch.ones(3).untyped_storage(), torch.ones(3, dtype=torch.int16).storage()]))
    assert [s.nbytes() for s in ours] == [12, 6] and "ShortStorage of 6 bytes" in repr(ours[1])


# -- objects of the standard library and of trainers ----------------------------------------------------------------


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Settings:
    rate: float = 0.1
    color: Color = Color.RED


PLAIN = {
    "namespace": argparse.Namespace(lr=0.1, layers=[1, 2], where=pathlib.PurePosixPath("/data")),
    "simple": types.SimpleNamespace(a=1),
    "paths": [pathlib.Path("runs/1"), pathlib.PureWindowsPath("c:/x"), pathlib.PurePosixPath("a", "b")],
    "times": [datetime.datetime(2020, 2, 3, 4, 5, 6, 7), datetime.date(2020, 2, 3), datetime.time(1, 2),
              datetime.timedelta(days=-1, seconds=3), datetime.UTC,
              datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))],
    "numbers": [decimal.Decimal("1.50"), decimal.Decimal("NaN").is_nan(), fractions.Fraction(-1, 3)],
    "containers": [collections.deque([1, 2], maxlen=3), collections.defaultdict(list, a=[1]), slice(1, 2), range(3)],
    "types": [int, str, list, Ellipsis, NotImplemented, np.float32, np.dtype("int8")],
    "numpy": [np.float64(2.5), np.arange(3, dtype=np.int16), np.array(["a", "bc"])],
    "random": np.random.RandomState(0).get_state()[2:],
}  # fmt: skip


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("name", PLAIN)
def test_plain_objects(name, protocol):
    ours = load(torch_file(PLAIN[name], pickle_protocol=protocol), weights_only=False)
    assert repr(ours) == repr(PLAIN[name])


def test_what_numpy_keeps_beyond_numbers_does_not_stop_a_load():
    theirs = {"when": np.datetime64("2020-01-01"), "mixed": np.array([None, 1], object),
              "rows": np.zeros(2, [("a", "f4")]), "x": torch.ones(2)}  # fmt: skip
    ours = load(torch_file(theirs), weights_only=False)
    assert ours["x"].tolist() == [1.0, 1.0] and isinstance(ours["when"], Stub)
    assert isinstance(ours["mixed"].item(), Stub) and ours["mixed"].item().state[-1] == [None, 1]
    with pytest.raises(pickle.UnpicklingError, match="numpy dtype"):
        load(torch_file(theirs))


# How a member of an enumeration is pickled depends on the version of Python: 3.11.0 to 3.11.3 do it by name.
MEMBERS = {"by value": lambda self, protocol: (Color, (self.value,)),
           "by name": lambda self, protocol: (getattr, (Color, self.name))}  # fmt: skip


@pytest.mark.parametrize("how", MEMBERS)
def test_enums_and_dataclasses_become_stubs(how, monkeypatch):
    monkeypatch.setattr(Color, "__reduce_ex__", MEMBERS[how])
    member, settings = load(torch_file([Color.RED, Settings()]), weights_only=False)
    assert settings.class_name.endswith(".Settings") and settings.state["rate"] == 0.1
    assert isinstance(member, Stub) and member.class_name.endswith({"by value": ".Color", "by name": ".Color.RED"}[how])
    if how == "by value":
        assert member.args == ("red",) and "'red'" in repr(member)


@pytest.fixture
def foreign_module():
    """A module with classes that exist only while the file is written."""
    made = types.ModuleType("lightning_stand_in")
    sys.modules[made.__name__] = made

    def declare(name, *bases):
        kind = type(name, bases or (object,), {"__module__": made.__name__})
        setattr(made, name, kind)
        return kind

    yield declare
    sys.modules.pop(made.__name__, None)


def test_a_lightning_checkpoint(foreign_module):
    attribute_dict = foreign_module("AttributeDict", dict)
    monitor = foreign_module("Monitor")()
    monitor.best = torch.tensor(0.5)
    model = torch.nn.Linear(3, 2)
    adam = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    adam.step()
    schedule = torch.optim.lr_scheduler.StepLR(adam, 3)
    theirs = {
        "epoch": 3, "global_step": 12, "pytorch-lightning_version": "2.5.0",
        "state_dict": collections.OrderedDict((f"model.{k}", v) for k, v in model.state_dict().items()),
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"current": {"ready": 1}}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'loss'}": {"best_model_path": "/tmp/x", "monitor": monitor}},
        "optimizer_states": [adam.state_dict()], "lr_schedulers": [schedule.state_dict()],
        "hparams_name": "kwargs", "hyper_parameters": attribute_dict(lr=0.1, shape=torch.Size([2]), on=torch.device("cpu")),
    }  # fmt: skip
    file = torch_file(theirs)
    sys.modules.pop("lightning_stand_in")
    ours = load(file, weights_only=False)
    assert ours["hyper_parameters"].entries["lr"] == 0.1 and isinstance(ours["hyper_parameters"], Stub)
    state = ours["callbacks"]["ModelCheckpoint{'monitor': 'loss'}"]["monitor"].state
    assert state["best"].item() == 0.5
    mine = nn.Linear(3, 2)
    mine.load_state_dict({k.removeprefix("model."): v for k, v in ours["state_dict"].items()})
    assert mine.weight.tolist() == model.weight.tolist()
    own = optim.Adam(mine.parameters())
    own.load_state_dict(ours["optimizer_states"][0])
    assert own.state[mine.weight]["exp_avg"].tolist() == adam.state[model.weight]["exp_avg"].tolist()
    later = optim.lr_scheduler.StepLR(own, 3)
    later.load_state_dict(ours["lr_schedulers"][0])
    assert later.step_size == 3


def test_stubs_are_written_back(foreign_module):
    """A file can be read, changed and saved without the classes it names."""
    holder = foreign_module("Holder")()
    holder.items, holder.tensor, holder.me = [1, 2], torch.ones(2), holder
    listed = foreign_module("Listed", list)([1, holder])
    listed.note = "n"
    theirs = {
        "holder": holder, "listed": listed, "mapped": foreign_module("Mapped", dict)(a=holder), "enum": Color.RED,
        "dataclass": Settings(), "class": foreign_module("Named"), "partial": functools.partial(pow, 2),
        "function": torch.relu, "method": torch.nn.Linear(2, 2).eval, "object": np.array([None, 1], object),
        "day": np.datetime64("2020-01-01"), "text": foreign_module("Text", str)("x"), "generator": np.random.default_rng(0),
        "jagged": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged),
    }  # fmt: skip
    for protocol in (2, 4):
        ours = load(torch_file(theirs, pickle_protocol=protocol), weights_only=False)
        file = io.BytesIO()
        save(ours, file, pickle_protocol=protocol)
        file.seek(0)
        read = torch.load(file, weights_only=False)
        assert list(read) == list(theirs)
        for key in ("enum", "dataclass", "class", "function", "day", "text"):
            assert read[key] == theirs[key], key
        assert read["holder"].me is read["holder"] and read["holder"].items == [1, 2]
        assert (
            type(read["listed"]) is type(listed) and read["listed"][1] is read["holder"] and read["listed"].note == "n"
        )
        assert read["mapped"] == {"a": read["holder"]} and type(read["mapped"]) is type(theirs["mapped"])
        assert read["partial"](3) == 8 and read["object"].tolist() == [None, 1]
        assert read["generator"].random() == np.random.default_rng(0).random()
        assert [t.tolist() for t in read["jagged"].unbind()] == [[1.0] * 2, [1.0] * 3]


def test_training_arguments(foreign_module):
    """``training_args.bin``: one object of classes that are not installed, with enums and devices in it."""
    arguments = foreign_module("TrainingArguments")()
    arguments.learning_rate, arguments.output_dir = 5e-5, "out"
    arguments.device, arguments.dtype = torch.device("cpu"), torch.bfloat16
    arguments.strategy = foreign_module("Strategy", str)("epoch")
    file = torch_file(arguments)
    sys.modules.pop("lightning_stand_in")
    ours = load(file, weights_only=False)
    assert ours.class_name == "lightning_stand_in.TrainingArguments" and ours.state["learning_rate"] == 5e-5
    assert repr(ours.state["dtype"]) == "torch.bfloat16" and ours.state["strategy"].args == ("epoch",)


# -- whole modules --------------------------------------------------------------------------------------------------


class Mine(torch.nn.Module):
    """A class that rushlight does not have."""

    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
        self.scale = torch.nn.Parameter(torch.ones(2))
        self.register_buffer("table", torch.arange(3.0))
        self.register_buffer("hidden", torch.zeros(1), persistent=False)
        self.tied = self.inner[0]

    def forward(self, x):
        return x


def test_the_state_of_an_unknown_module_can_be_read():
    theirs = Mine()
    whole = load(torch_file({"net": theirs}), weights_only=False)["net"]
    assert isinstance(whole, Stub)
    ours = state_dict_of(whole)
    wanted = theirs.state_dict()
    assert list(ours) == list(wanted)
    assert all(ours[k].tolist() == v.tolist() for k, v in wanted.items())
    assert ours["tied.weight"]._storage is ours["inner.0.weight"]._storage
    assert ours._metadata["inner.1"] == {"version": 2}


def test_known_modules_are_built():
    theirs = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(inplace=True), torch.nn.Flatten())
    theirs = theirs.to(memory_format=torch.channels_last).eval()
    ours = load(torch_file(theirs), weights_only=False)
    assert repr(ours) == repr(theirs) and not ours.training and type(ours[0]) is nn.Conv2d
    assert ours[0].weight.stride() == theirs[0].weight.stride()
    x = torch.arange(75.0).view(1, 3, 5, 5) / 75
    got = ours(Tensor._of(np_to_jax(x)))
    assert np.allclose(got.detach().numpy(), theirs(x).detach().numpy(), atol=1e-5)


def np_to_jax(tensor):
    import jax

    return jax.device_put(tensor.numpy())


MODULES = {
    "Linear": lambda t: t.nn.Linear(3, 4), "Bilinear": lambda t: t.nn.Bilinear(2, 3, 4), "Identity": lambda t: t.nn.Identity(),
    "Conv1d": lambda t: t.nn.Conv1d(3, 4, 3, padding=1), "Conv2d": lambda t: t.nn.Conv2d(3, 4, 3, padding="same"),
    "Conv3d": lambda t: t.nn.Conv3d(1, 2, 3), "ConvTranspose2d": lambda t: t.nn.ConvTranspose2d(3, 4, 2, stride=2),
    "BatchNorm2d": lambda t: t.nn.BatchNorm2d(4), "LayerNorm": lambda t: t.nn.LayerNorm(4), "GroupNorm": lambda t: t.nn.GroupNorm(2, 4),
    "InstanceNorm2d": lambda t: t.nn.InstanceNorm2d(4, affine=True), "RMSNorm": lambda t: t.nn.RMSNorm(4),
    "Embedding": lambda t: t.nn.Embedding(5, 3, padding_idx=0), "EmbeddingBag": lambda t: t.nn.EmbeddingBag(5, 3),
    "RNN": lambda t: t.nn.RNN(3, 4, 2, bidirectional=True), "LSTM": lambda t: t.nn.LSTM(3, 4, num_layers=2, batch_first=True),
    "GRU": lambda t: t.nn.GRU(3, 4), "LSTMCell": lambda t: t.nn.LSTMCell(3, 4),
    "MultiheadAttention": lambda t: t.nn.MultiheadAttention(4, 2),
    "TransformerEncoderLayer": lambda t: t.nn.TransformerEncoderLayer(4, 2, 8, activation="gelu"),
    "TransformerDecoderLayer": lambda t: t.nn.TransformerDecoderLayer(4, 2, 8),
    "TransformerEncoder": lambda t: t.nn.TransformerEncoder(t.nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 2),
    "Dropout": lambda t: t.nn.Dropout(0.3), "GELU": lambda t: t.nn.GELU("tanh"), "PReLU": lambda t: t.nn.PReLU(3),
    "Softmax": lambda t: t.nn.Softmax(-1), "LeakyReLU": lambda t: t.nn.LeakyReLU(0.2, True), "Hardtanh": lambda t: t.nn.Hardtanh(-2, 2),
    "MaxPool2d": lambda t: t.nn.MaxPool2d(2), "AdaptiveAvgPool2d": lambda t: t.nn.AdaptiveAvgPool2d((1, 2)),
    "Upsample": lambda t: t.nn.Upsample(scale_factor=2), "PixelShuffle": lambda t: t.nn.PixelShuffle(2),
    "CrossEntropyLoss": lambda t: t.nn.CrossEntropyLoss(label_smoothing=0.1), "MSELoss": lambda t: t.nn.MSELoss(reduction="sum"),
    "Flatten": lambda t: t.nn.Flatten(), "ZeroPad2d": lambda t: t.nn.ZeroPad2d(1),
    "ModuleList": lambda t: t.nn.ModuleList([t.nn.Linear(1, 1), t.nn.ReLU()]), "ModuleDict": lambda t: t.nn.ModuleDict({"a": t.nn.Tanh()}),
    "ParameterList": lambda t: t.nn.ParameterList([t.nn.Parameter(t.ones(2))]),
    "ParameterDict": lambda t: t.nn.ParameterDict({"a": t.nn.Parameter(t.ones(2))}),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*enable_nested_tensor:UserWarning")
@pytest.mark.parametrize("name", MODULES)
def test_layers_saved_whole(name):
    theirs = MODULES[name](torch)
    ours = load(torch_file(theirs), weights_only=False)
    assert not isinstance(ours, Stub) and repr(ours) == repr(theirs)
    wanted = theirs.state_dict()
    assert list(ours.state_dict()) == list(wanted)
    assert all(ours.state_dict()[k].tolist() == v.tolist() for k, v in wanted.items())
    file = io.BytesIO()
    save(ours, file)
    file.seek(0)
    back = torch.load(file, weights_only=False)
    assert repr(back) == repr(theirs) and all(torch.equal(back.state_dict()[k], v) for k, v in wanted.items())
    made = type(theirs).__name__
    assert {k for k in vars(ours) if not k.startswith("_")} >= {k for k in vars(theirs) if not k.startswith("_")}, made


def tar_file(objects: dict) -> io.BytesIO:
    """A checkpoint as PyTorch before 0.1.10 wrote it: storages, tensors and the pickle in a tar archive."""
    storages, tensors, body = io.BytesIO(), io.BytesIO(), io.BytesIO()
    pickle.dump(len(objects), storages, 2)
    pickle.dump(len(objects), tensors, 2)
    for i, tensor in enumerate(objects.values()):
        flat = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage())
        kind = type(f"{tensor.type().rpartition('.')[2].replace('Tensor', 'Storage')}", (), {"__module__": "torch"})
        storages.write(
            b"\x80\x02K" + bytes([i]) + b"X\x03\x00\x00\x00cpuc" + f"torch\n{kind.__name__}\n".encode() + b"\x87."
        )
        storages.write(struct.pack("<q", flat.numel()) + bytes(flat.view(torch.uint8).numpy()))
        tensors.write(b"\x80\x02K" + bytes([100 + i]) + b"K" + bytes([i]) + b"N\x87.")
        numbers = (*tensor.shape, *tensor.stride(), tensor.storage_offset())
        tensors.write(struct.pack(f"<i4x{len(numbers)}q", tensor.dim(), *numbers))
    pickle.dump([], storages, 2)

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            return next((100 + i for i, t in enumerate(objects.values()) if obj is t), None)

    Pickler(body, 2).dump(objects)
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, part in (("storages", storages), ("tensors", tensors), ("pickle", body)):
            info = tarfile.TarInfo(name)
            info.size = len(part.getvalue())
            tar.addfile(info, io.BytesIO(part.getvalue()))
    file.seek(0)
    return file


def test_tar_files_as_pytorch_reads_them(tmp_path):
    base = torch.arange(12.0)
    theirs = {"x": base.view(3, 4).t().clone(), "half": torch.ones(3, dtype=torch.float16), "scalar": torch.tensor(2),
              "turned": torch.arange(6, dtype=torch.int16).view(2, 3).t(), "part": torch.arange(9.0)[2:5]}  # fmt: skip
    path = tmp_path / "old.pt"
    path.write_bytes(tar_file(theirs).getvalue())
    read, ours = torch.load(path, weights_only=False), load(path, weights_only=False)
    for key, wanted in theirs.items():
        assert torch.equal(read[key], wanted) and ours[key].tolist() == wanted.tolist()
        assert ours[key].stride() == wanted.stride() and ours[key].storage_offset() == wanted.storage_offset()
    with pytest.raises(RuntimeError, match="Cannot use ``weights_only=True`` with files saved in the legacy"):
        load(path)
