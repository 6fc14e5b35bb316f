"""Feeds damaged and invented checkpoints to the reader, and stops at the first that crashes, hangs or runs something.

Run ``python scripts/fuzz_checkpoint.py [--seconds 600] [--keep FOLDER]``. With atheris installed the search is guided
by coverage (in a process of its own); without it, files are mutated blindly through the same entry point, ``check``. A
finding is written to the folder, and ``--replay FILE`` runs it again.
"""

from __future__ import annotations

import argparse
import codecs
import contextlib
import importlib
import importlib.util
import io
import os
import pickle
import random
import resource
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import rushlight as torch
from rushlight import checkpoint, nn
from rushlight.checkpoint.archive_writer import ArchiveWriter
from rushlight.inspect import UnreadableFile, open_source, report, verify

for _name in ("npz_file", "safetensors_file", "torch_file"):
    importlib.import_module(f"rushlight.inspect.{_name}")  # or the first file of its kind would
# What the reader may say; everything else is a finding.
REFUSED = (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, TypeError, MemoryError, UnreadableFile)
SECONDS, MEGABYTES = 2.0, 500
# Events of the interpreter that no file may cause.
FORBIDDEN = (
    "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.spawn", "subprocess.Popen", "exec", "socket.",
    "ctypes.dlopen", "import", "os.remove", "os.rename", "os.mkdir", "shutil.", "pty.", "marshal.",
)  # fmt: skip
_watching = False
_events: list[str] = []


def _audit(event: str, args) -> None:
    if not _watching or not event.startswith(FORBIDDEN):
        return
    if event == "import" and (args[0] in sys.modules or args[0].startswith(("numpy", "jax", "rushlight", "encodings"))):
        return
    _events.append(f"{event} {args!r:.200}")


sys.addaudithook(_audit)


# -- inputs: the first byte says how the rest reaches the reader -----------------------------------------------------


def _archive(body: bytes, storages=(bytes(64), bytes(range(256))), order: bytes = b"little") -> bytes:
    file = io.BytesIO()
    writer = ArchiveWriter(file.write)
    writer.add("data.pkl", body)
    writer.add("byteorder", order)
    for i, data in enumerate(storages):
        writer.add(f"data/{i}", data)
    writer.finish()
    return file.getvalue()


def _legacy(body: bytes) -> bytes:
    head = b"".join(pickle.dumps(part, protocol=2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    return head + body


def _tar(body: bytes) -> bytes:
    file, parts = io.BytesIO(), body.split(b"\xff\xfe", 2)
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, data in zip(("storages", "tensors", "pickle"), parts):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


FORMS = (lambda body: body, _archive, lambda body: _archive(body, order=b"big"), _legacy, _tar)


def check(data: bytes) -> None:
    """Give one input to the reader.

    Raises:
        AssertionError: it answered with something other than an object or one of its errors, took too long or too
            much memory, or did what no file may do.
    """
    global _watching
    if not data:
        return
    form = data[0] % (len(FORMS) + 1)
    weights_only = bool(data[0] & 0x80)
    body = FORMS[form](data[1:]) if form < len(FORMS) else data[1:]
    if data[0] & 0x20:
        _measured(lambda: _with_tools(body, ".pt" if form < len(FORMS) else ".safetensors"), data)
    elif form == len(FORMS):
        _measured(lambda: _from_path(body, ".safetensors"), data)
    elif data[0] & 0x40:
        _measured(lambda: _from_path(body, ".pt", weights_only), data)
    else:
        _measured(lambda: _touch(checkpoint.load(io.BytesIO(body), weights_only=weights_only)), data)


_scratch = tempfile.TemporaryDirectory()


def _from_path(body: bytes, ending: str, weights_only: bool = True) -> None:
    path = os.path.join(_scratch.name, "x" + ending)
    with open(path, "wb") as file:
        file.write(body)
    _touch(checkpoint.load(path, mmap=True, weights_only=weights_only))


def _with_tools(body: bytes, ending: str) -> None:
    """What ``rushlight inspect`` and ``rushlight verify`` do."""
    path = os.path.join(_scratch.name, "y" + ending)
    with open(path, "wb") as file:
        file.write(body)
    verify.verify(path)
    with open_source(path) as source:
        source.entries = [entry for entry in source.entries if entry.count < 10_000]
        report.inspection(source)


def _touch(found) -> None:
    """Look at what was loaded as a user would."""
    stack, budget = [found], 200
    while stack and budget:
        budget -= 1
        one = stack.pop()
        if isinstance(one, torch.Tensor):
            _ = one.shape, one.dtype, one.stride()
            if one.numel() < 10_000:
                one._array()
        elif isinstance(one, checkpoint.InertTensor):
            repr(one)
        elif isinstance(one, checkpoint.Stub):
            repr(one)
            stack += [one.state, one.args, one.items, one.entries]
        elif isinstance(one, dict):
            stack += list(one.values())[:50]
        elif isinstance(one, (list, tuple)):
            stack += list(one)[:50]


def _measured(work, data: bytes) -> None:
    global _watching
    _events.clear()
    # Seconds of this process: how busy the machine is says nothing about the reader.
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    _watching = True
    try:
        work()
    except REFUSED as error:
        _watching = False
        assert str(error) or isinstance(error, MemoryError), "an error without a message"
    except AssertionError as error:
        raise AssertionError(f"the reader failed an assertion of its own: {error}") from error
    except Exception as error:
        raise AssertionError(f"unexpected {type(error).__name__}: {error}") from error
    finally:
        _watching = False
    took = time.process_time() - began
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    assert not _events, f"did what no file may do: {_events}"
    assert took < SECONDS, f"took {took:.1f} s"
    assert grown < MEGABYTES, f"took {grown} MB"


# -- seeds ----------------------------------------------------------------------------------------------------------


def seeds() -> list[bytes]:
    """Small valid files of every kind, in the form that ``check`` takes."""
    linear = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    adam = torch.optim.Adam(linear.parameters())
    linear(torch.ones(2, 2)).sum().backward()
    adam.step()
    shared = torch.arange(12.0)
    sparse = {"indices": torch.tensor([[0, 2]]), "values": torch.ones(2), "coalesced": True}
    objects = [
        {"x": shared.view(3, 4), "t": shared.view(3, 4).t(), "p": shared[2:5], "n": [1, 2.5, None, "a", (True, b"b")]},
        linear.state_dict(), adam.state_dict(), linear, {"np": np.arange(3), "s": np.float32(2), "d": torch.float16},
        {d.name: torch.ones(2).to(d) for d in (*torch.dtypes.ALL.values(), torch.complex32)},
        checkpoint.InertTensor("sparse_coo", torch.float32, (3,), sparse),
        argparse.Namespace(a=Path("/x"), b={1, 2}, c=slice(1, 2), d=3 - 1j, e=bytearray(b"x")),
    ]  # fmt: skip
    out = []
    for obj in objects:
        for legacy in (False, True):
            file = io.BytesIO()
            checkpoint.save(obj, file, _use_new_zipfile_serialization=not legacy)
            out += [bytes([first]) + file.getvalue() for first in (0x00, 0x84, 0x42, 0x24)]
            if not legacy:
                body = _record(file.getvalue(), b"data.pkl")
                out += [bytes([first]) + body for first in (0x01, 0x85, 0x43, 0x25, 0x02, 0x03, 0x21)]
    system = b"cos\nsystem\nX\x04\x00\x00\x00echo\x85R."
    for text in (system, b"cbuiltins\ngetattr\n(cbuiltins\nstr\nX\x03\x00\x00\x00mrotR."):
        out += [bytes([first]) + b"\x80\x02" + text for first in (0x01, 0x85, 0x25)]
    with tempfile.TemporaryDirectory() as folder:
        if importlib.util.find_spec("safetensors"):
            path = os.path.join(folder, "x.safetensors")
            checkpoint.save({"x": shared, "y": torch.ones(2, dtype=torch.bfloat16)}, path)
            out.append(bytes([len(FORMS)]) + Path(path).read_bytes())
    storage = pickle.dumps(1, 2) + b"\x80\x02(K\x01X\x03\x00\x00\x00cpuctorch\nFloatStorage\nt."
    storage += struct.pack("<q", 2) + bytes(8)
    tensors = pickle.dumps(1, 2) + pickle.dumps((2, 1, None), 2) + struct.pack("<i4xqqq", 1, 2, 1, 0)
    out.append(bytes([4]) + b"\xff\xfe".join((storage + pickle.dumps([], 2), tensors, b"\x80\x02X\x01\x00\x00\x002Q.")))
    return out


def _record(data: bytes, name: bytes) -> bytes:
    import zipfile

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(f"archive/{name.decode()}")


# Pieces that a blind search would not find: opcodes with their arguments, and names the reader knows.
def dictionary() -> list[bytes]:
    from rushlight.checkpoint.builders import MORE_VALUES, VALUES

    named = [b"c" + "\n".join(name.rsplit(".", 1)).encode() + b"\n" for name in (*VALUES, *MORE_VALUES)]
    named += [b"cos\nsystem\n", b"cbuiltins\neval\n", b"ctorch.nn.modules.linear\nLinear\n", b"cmine\nThing\n"]
    codes = [bytes([code]) for code in b"().0125]}aeslNRbtuQ2q\x80\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94\x95"]
    numbers = [b"K\x00", b"K\x01", b"M\xff\xff", b"J\xff\xff\xff\xff", b"\x8a\x08" + b"\xff" * 7 + b"\x7f"]
    text = [b"X\x03\x00\x00\x00cpu", b"X\x07\x00\x00\x00storage", b"PK\x03\x04", b"PK\x01\x02"]
    return [*named, *codes, *numbers, *text, b"h\x00", b"G" + bytes(8)]


# -- the two searches -----------------------------------------------------------------------------------------------


def mutated(source: random.Random, pool: list[bytes], pieces: list[bytes]) -> bytes:
    """A new input from the pool: bytes changed, removed, repeated, spliced, or pieces put in."""
    data = bytearray(source.choice(pool))
    for _ in range(source.choice((1, 1, 2, 4, 8))):
        at, kind = source.randrange(len(data) + 1), source.randrange(7)
        if kind == 0 and at < len(data):
            data[at] = source.randrange(256)
        elif kind == 1 and at < len(data):
            data[at] ^= 1 << source.randrange(8)
        elif kind == 2:
            del data[at : at + source.choice((1, 2, 8, 64))]
        elif kind == 3:
            data[at:at] = data[at : at + source.choice((1, 4, 32))] * source.choice((1, 2, 50))
        elif kind == 4:
            data[at:at] = source.choice(pieces)
        elif kind == 5:
            other = source.choice(pool)
            data[at:] = other[source.randrange(len(other)) :]
        else:
            data[at : at + 8] = struct.pack("<q", source.choice((0, -1, 2**31, 2**40, 2**62, source.getrandbits(40))))
    return bytes(data[: 1 << 16])


def warm() -> None:
    """Let the reader import, once, what its own code imports on use."""
    codecs.lookup("cp437")  # of the names in zip files
    for data in seeds():
        with contextlib.suppress(AssertionError):
            check(data)


def blind(seconds: float, keep: str, seed: int) -> int:
    """Mutate until the time is up; the number of findings."""
    source, pool, pieces = random.Random(seed), seeds(), dictionary()
    warm()
    for data in pool:
        check(data)
    end, runs, findings = time.monotonic() + seconds, 0, set()
    while time.monotonic() < end:
        data = mutated(source, pool, pieces)
        runs += 1
        try:
            check(data)
        except AssertionError as error:
            where = traceback.extract_tb((error.__cause__ or error).__traceback__)[-1]
            if (where.filename, where.lineno) not in findings:
                findings.add((where.filename, where.lineno))
                path = os.path.join(keep, f"finding-{len(findings)}.bin")
                Path(path).write_bytes(data)
                print(f"{path}: {error} ({where.filename}:{where.lineno})", flush=True)
    print(f"{runs} inputs, {len(findings)} findings")
    return len(findings)


def guided(seconds: float, keep: str) -> int:
    """Let atheris search, in a process whose modules it instruments."""
    folder = tempfile.mkdtemp()
    for i, data in enumerate(seeds()):
        Path(folder, f"seed{i}").write_bytes(data)
    words = Path(folder + ".dict")
    words.write_text("\n".join('"' + "".join(f"\\x{b:02x}" for b in piece) + '"' for piece in dictionary()))
    script = "import atheris, sys\nwith atheris.instrument_imports(include=['rushlight.checkpoint']):\n"
    script += f"    sys.path.insert(0, {str(Path(__file__).parent)!r})\n    import fuzz_checkpoint as f\n"
    script += (
        "import warnings\nwarnings.simplefilter('ignore')\nf.warm()\natheris.Setup(sys.argv, f.check)\natheris.Fuzz()\n"
    )
    command = [
        sys.executable, "-c", script, folder, f"-max_total_time={int(seconds)}", f"-dict={words}", "-timeout=20",
        "-rss_limit_mb=3000", "-max_len=65536", f"-artifact_prefix={keep}/", "-print_final_stats=1",
    ]  # fmt: skip
    return subprocess.run(command).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--keep", default=tempfile.gettempdir(), help="where findings are written")
    parser.add_argument("--blind", action="store_true", help="do without atheris")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--replay", nargs="*", help="run these inputs again")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.replay:
        warm()
        for path in options.replay:
            check(Path(path).read_bytes())
            print(f"{path}: fine")
        return 0
    os.makedirs(options.keep, exist_ok=True)
    if importlib.util.find_spec("atheris") and not options.blind:
        return guided(options.seconds, options.keep)
    print("atheris is not used: mutating blindly")
    return int(blind(options.seconds, options.keep, options.seed) > 0)


if __name__ == "__main__":
    sys.exit(main())
