"""Writes tests/golden/checkpoints: small files of real PyTorch in every layout, and what torch itself reads from them.

Needs torch 2.13, numpy and safetensors; nothing of rushlight. Two files are put together by hand, because PyTorch no
longer writes their formats, and are kept only if ``torch.load`` reads them: the tar format and big-endian archives.
"""

import argparse
import collections
import dataclasses
import datetime
import enum
import io
import json
import pathlib
import pickle
import shutil
import struct
import tarfile
import types
import warnings
import zipfile

import numpy as np
import torch
from safetensors.torch import save_model
from torch import nn

TARGET = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "checkpoints"
REAL = ("bool", "uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "bfloat16",
        "float32", "float64", "complex64", "complex128", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz",
        "float8_e5m2fnuz", "float8_e8m0fnu")  # fmt: skip


class Strategy(enum.Enum):
    NO = "no"
    STEPS = "steps"


@dataclasses.dataclass
class TrainingArguments:
    output_dir: str
    learning_rate: float
    strategy: Strategy
    device: torch.device


class Custom(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(2, 2)
        self.register_buffer("scale", torch.tensor([0.5, 2.0]))
        self.note = "kept"

    def forward(self, x):
        return self.body(x) * self.scale


def network():
    torch.manual_seed(0)
    head = nn.Sequential(nn.ReLU(), nn.LSTM(4, 2))
    return nn.Sequential(collections.OrderedDict(conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4), head=head))


def dtypes():
    found = {name: torch.tensor([0, 1, 1, 0]).to(getattr(torch, name)) for name in REAL}
    return found | {"float32_special": torch.tensor([float("nan"), float("inf"), -0.0, 1e-45])}


def dtypes_legacy():
    # torch itself cannot read the others back in this format.
    return {name: v for name, v in dtypes().items() if not name.startswith(("uint16", "uint32", "uint64", "float8"))}


def layouts():
    base = torch.arange(24.0)
    image = torch.arange(2 * 3 * 2 * 2, dtype=torch.float16).reshape(2, 3, 2, 2)
    return {
        "base": base, "view": base[4:16].view(3, 4), "transposed": base.view(4, 6).t(), "strided": base[1::5],
        "channels_last": image.to(memory_format=torch.channels_last), "expanded": torch.tensor([7.0]).expand(3, 2),
        "diagonal": base.view(4, 6).diagonal(), "scalar": torch.tensor(2.5), "empty": torch.empty(0, 3),
        "parameter": nn.Parameter(torch.ones(2)), "frozen": nn.Parameter(torch.ones(2), requires_grad=False),
        "wants_grad": torch.ones(2, requires_grad=True), "conjugate": torch.tensor([1 + 2j]).conj(),
    }  # fmt: skip


def foreign():
    return {
        "per_tensor": torch.quantize_per_tensor(torch.tensor([0.0, 1.0, 2.0]), 0.5, 3, torch.quint8),
        "per_channel": torch.quantize_per_channel(
            torch.ones(2, 2), torch.tensor([0.5, 0.25]), torch.tensor([0, 1]), 0, torch.qint8
        ),
        "coo": torch.eye(3).to_sparse(),
        "csr": torch.eye(3).to_sparse_csr(),
        "plain": torch.ones(2),
    }


def half_complex():
    """What operators of PyTorch can hardly make: every value is a view of bits."""
    bits = torch.arange(-12, 12, dtype=torch.float16) / 4
    odd = torch.tensor([float("nan"), float("inf"), -0.0, 6e-8, 65504, -float("inf")], dtype=torch.float16)
    z = bits.view(torch.complex32).view(3, 4)
    return {
        "whole": z, "turned": z.t(), "row": z[1], "scalar": z[2, 1], "odd": odd.view(torch.complex32),
        "empty": torch.empty(0, 3, dtype=torch.complex32), "parameter": nn.Parameter(z), "buffer": nn.Buffer(z[:, 2]),
        "wide": torch.tensor([1 + 2j]), "dtype": torch.complex32,
    }  # fmt: skip


def training():
    net = network()
    optimizer = torch.optim.AdamW(net.named_parameters(), lr=0.01, betas=(0.8, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    x = net.conv(torch.randn(2, 3, 5, 5))
    net.norm(x).sum().backward()
    optimizer.step()
    schedule.step()
    return {
        "state_dict": net.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict(),
        "epoch": 3, "rng": torch.get_rng_state()[:16].clone(),
    }  # fmt: skip


def lightning():
    return {
        "epoch": 4, "global_step": 100, "pytorch-lightning_version": "2.5.0",
        "state_dict": collections.OrderedDict(("model." + k, v) for k, v in network().state_dict().items()),
        "hyper_parameters": argparse.Namespace(lr=0.1, layers=(1, 2), name="x"),
        "callbacks": collections.defaultdict(list, {"best": [np.float32(0.25), np.float64(0.5), np.int64(3)]}),
        "array": np.arange(6, dtype=np.int16).reshape(2, 3), "flags": np.array([True, False]),
        "device": torch.device("cuda", 1), "size": torch.Size([2, 3]), "dtype": torch.bfloat16,
        "when": datetime.timedelta(seconds=5), "set": {1, 2}, "bytes": b"\0\1", "big": 2**80, "none": None,
    }  # fmt: skip


def module_file():
    return {"network": network(), "custom": Custom()}


def trainer_arguments():
    return TrainingArguments("out", 5e-5, Strategy.STEPS, torch.device("cpu"))


def big_endian():
    """An archive as a big-endian machine writes it."""
    half = torch.tensor([1.5], dtype=torch.bfloat16)
    state = {"f": torch.tensor([1.0, -2.5]), "i": torch.tensor([1, 2, 3]), "h": half, "c": torch.tensor([1 + 2j])}
    file, out = io.BytesIO(), io.BytesIO()
    torch.save(state, file)
    widths = dict(zip("0123", (4, 8, 2, 4)))
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("/byteorder"):
                data = b"big"
            elif "/data/" in name:
                data = np.frombuffer(data, f"u{widths[name[-1]]}").byteswap().tobytes()
            new.writestr(name, data)
    return out.getvalue()


def tar_format():
    """A checkpoint as PyTorch 0.1.9 wrote it: three members, tensors by their storages' keys."""

    def dump(*values):
        return b"".join(v if isinstance(v, bytes) else pickle.dumps(v, protocol=2) for v in values)

    entry = b"\x80\x02(K\x0bX\x03\x00\x00\x00cpuctorch\nFloatStorage\nt."
    storages = dump(1, entry, struct.pack("<q6f", 6, *range(6)), [])
    tensors = dump(1, b"\x80\x02(K\x15K\x0bctorch\nFloatTensor\nt.", struct.pack("<i4x5q", 2, 2, 3, 3, 1, 0))
    body = b"\x80\x02}X\x01\x00\x00\x00aX\x02\x00\x00\x0021Qs."
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:", format=tarfile.PAX_FORMAT) as tar:
        for name, data in (("storages", storages), ("tensors", tensors), ("pickle", body)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


FILES = {
    "dtypes.pt": (dtypes, {}),
    "dtypes_legacy.pt": (dtypes_legacy, {"_use_new_zipfile_serialization": False}),
    "layouts.pt": (layouts, {}),
    "layouts_legacy.pt": (layouts, {"_use_new_zipfile_serialization": False}),
    "layouts_protocol_5.pt": (layouts, {"pickle_protocol": 5}),
    "foreign.pt": (foreign, {}),
    "complex32.pt": (half_complex, {}),
    "training.pt": (training, {}),
    "training_legacy.pt": (training, {"_use_new_zipfile_serialization": False}),
    "lightning.ckpt": (lightning, {}),
    "modules.pt": (module_file, {}),
    "training_args.bin": (trainer_arguments, {}),
}
BYTES = {"big_endian.pt": big_endian, "tar.pt": tar_format}


def rows(value, path, out, storages):
    """What torch reads, one row for each tensor and plain value."""
    if isinstance(value, torch.Tensor):
        if value.layout is not torch.strided or value.is_quantized:
            out[path] = {
                "kind": str(value.layout) if not value.is_quantized else "quantized",
                "shape": list(value.shape),
            }
            return
        plain = value.detach().resolve_conj().contiguous()
        data = plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b""
        place = storages.setdefault(value.untyped_storage()._cdata, len(storages))
        out[path] = {"dtype": str(value.dtype)[6:], "shape": list(value.shape), "stride": list(value.stride()),
                     "grad": value.requires_grad, "storage": place, "data": data.hex()}  # fmt: skip
    elif isinstance(value, nn.Module):
        # Of a class that is not known a reader has the state, detached as state_dict() gives it.
        rows(dict(value.state_dict(keep_vars=type(value) is not Custom)), path, out, storages)
    elif isinstance(value, dict):
        for key, item in value.items():
            rows(item, f"{path}/{key}", out, storages)
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            rows(item, f"{path}/{i}", out, storages)
    elif isinstance(value, (argparse.Namespace, types.SimpleNamespace)):
        rows(vars(value), path, out, storages)
    elif isinstance(value, np.ndarray):
        out[path] = {"array": str(value.dtype), "shape": list(value.shape), "data": value.tobytes().hex()}
    else:
        out[path] = {"value": repr(value)}


def main():
    warnings.simplefilter("ignore")
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir(parents=True)
    expected = {}
    for name, (make, options) in FILES.items():
        torch.save(make(), TARGET / name, **options)
    for name, make in BYTES.items():
        (TARGET / name).write_bytes(make())
    for name in (*FILES, *BYTES):
        if name != "training_args.bin":
            expected[name] = {}
            rows(torch.load(TARGET / name, weights_only=False, map_location=None), "", expected[name], {})
    tied = nn.Sequential(nn.Embedding(5, 2), nn.Linear(2, 5, bias=False))
    tied[1].weight = tied[0].weight
    save_model(tied, str(TARGET / "tied.safetensors"), metadata={"note": "kept"})
    expected["tied.safetensors"] = {}
    rows(dict(tied.state_dict()), "", expected["tied.safetensors"], {})
    lines = [json.dumps([name, path, row]) for name, found in expected.items() for path, row in found.items()]
    (TARGET / "expected.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")
    print(f"{len(expected)} files, {sum(f.stat().st_size for f in TARGET.iterdir()):,} bytes")


if __name__ == "__main__":
    main()
