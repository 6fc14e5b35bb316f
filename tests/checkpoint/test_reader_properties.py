"""Owns the properties of the reader: what is saved comes back, and whatever a file says, it answers soon, unharmed.

May import rushlight, numpy and hypothesis.
"""

from __future__ import annotations

import collections
import importlib.util
import io
import os
import pickle
import subprocess
import sys
import textwrap
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rushlight as torch
from rushlight import dtypes
from rushlight.checkpoint import load, save
from rushlight.checkpoint.archive_writer import ArchiveWriter
from rushlight.checkpoint.brief import brief
from rushlight.checkpoint.builders import MORE_VALUES, VALUES

REFUSED = (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, TypeError, MemoryError)
QUIET = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def archive(body: bytes, storages=(bytes(64),)) -> io.BytesIO:
    file = io.BytesIO()
    writer = ArchiveWriter(file.write)
    writer.add("data.pkl", body)
    for i, data in enumerate(storages):
        writer.add(f"data/{i}", data)
    writer.finish()
    file.seek(0)
    return file


# -- what is saved comes back ---------------------------------------------------------------------------------------


def pool() -> list:
    """Tensors of every dtype, of several shapes, and parts of larger ones; made once, because each view compiles."""
    base = torch.frombuffer(bytearray(np.arange(24, dtype=np.float32).tobytes()), dtype=torch.float32)
    grid = base.view(2, 3, 4)
    made = [base, grid, grid.transpose(0, -1), grid[1], grid[:, 1:], base[5], base[3:3], torch.ones(0, 4)]
    for dtype in dtypes.ALL.values():
        host = np.arange(6).astype(dtype.np)
        made.append(torch.frombuffer(bytearray(host.tobytes()), dtype=dtype))
    return made


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8), st.binary(max_size=8),
    st.complex_numbers(allow_nan=False), st.sampled_from(list(dtypes.ALL.values())),
)  # fmt: skip
keys = st.one_of(st.text(max_size=5), st.integers(), st.booleans(), st.tuples(st.integers(), st.text(max_size=3)))
objects = st.recursive(
    st.one_of(scalars, st.sampled_from(pool())),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.lists(inner, max_size=4).map(tuple), st.dictionaries(keys, inner, max_size=4),
        st.dictionaries(keys, inner, max_size=3).map(collections.OrderedDict),
        st.sets(scalars, max_size=3), st.lists(scalars, max_size=3).map(collections.deque),
    ),
    max_leaves=12,
)  # fmt: skip


def same(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return (
            a.dtype is b.dtype and a.shape == b.shape and a.storage_offset() == b.storage_offset()
            and (0 in a.shape or all(n == 1 or x == y for n, x, y in zip(a.shape, a.stride(), b.stride())))
            and np.asarray(a._array()).tobytes() == np.asarray(b._array()).tobytes()
        )  # fmt: skip
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple, collections.deque)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@QUIET
@given(objects, st.sampled_from([2, 3, 4, 5]), st.booleans())
def test_what_is_saved_comes_back(obj, protocol, legacy):
    file = io.BytesIO()
    save(obj, file, pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)
    file.seek(0)
    assert same(obj, load(file, weights_only=False))


@QUIET
@given(objects)
def test_a_mapped_file_reads_the_same(obj):
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"property-{os.getpid()}.pt"
    try:
        save(obj, path)
        assert same(load(path, weights_only=False), load(path, weights_only=False, mmap=True))
    finally:
        path.unlink(missing_ok=True)


# -- whatever a file says -------------------------------------------------------------------------------------------


def name_of(path: str) -> bytes:
    return f"c{path.rpartition('.')[0]}\n{path.rpartition('.')[2]}\n".encode()


NAMES = sorted((*VALUES, *MORE_VALUES))
NEST = b")" + b"2\x86" * 60  # doubles sixty times: its text would never end
FAIR_NAMES = [*NAMES, "mine.Thing", "torch.nn.modules.linear.Linear", "torch.optim.sgd.SGD", "builtins.getattr"]

pieces = st.one_of(
    st.sampled_from([bytes([code]) for code in b"()]}N\x88\x89aesutRbQ021\x81\x85\x86\x87\x8f\x90\x91\x92\x93\x94"]),
    st.sampled_from([b"h\x00", b"q\x00", NEST]),
    st.sampled_from([name_of(n) for n in FAIR_NAMES]),
    st.integers(0, 255).map(lambda n: b"K" + bytes([n])),
    st.integers(-(2**63), 2**63 - 1).map(lambda n: b"\x8a\x08" + n.to_bytes(8, "little", signed=True)),
    st.text(max_size=6).map(lambda s: b"X" + len(s.encode()).to_bytes(4, "little") + s.encode()),
    st.sampled_from([b"X\x07\x00\x00\x00storage", b"X\x01\x00\x00\x000", b"X\x03\x00\x00\x00cpu"]),
    st.binary(max_size=4),
)  # fmt: skip


def answers(file, **options) -> None:
    """The reader gives an object or says no, within two seconds."""
    begin = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            load(file, **options)
        except REFUSED as error:
            assert str(error) or isinstance(error, MemoryError)
    assert time.process_time() - begin < 2


@settings(QUIET, max_examples=400)
@given(st.lists(pieces, max_size=24), st.booleans())
def test_any_sequence_of_opcodes_gets_an_answer(parts, weights_only):
    answers(archive(b"\x80\x02" + b"".join(parts) + b"."), weights_only=weights_only)


@settings(QUIET, max_examples=150)
@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"PK\x03\x04", b"\x80\x02", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."]),
)
def test_any_bytes_get_an_answer(data, head):
    answers(io.BytesIO(head + data))
    answers(io.BytesIO(head + data), weights_only=False)


@pytest.mark.parametrize("weights_only", [True, False])
def test_every_name_with_a_nest_that_has_no_end(weights_only):
    """Whatever is called with it, no error message may try to show it all."""
    for path in FAIR_NAMES:
        name = name_of(path)
        for count in (1, 2, 3, 4, 6, 7, 8):
            arguments = b"(" + NEST + b"2" * (count - 1) + b"t"
            for call in (b"R.", b"\x81.", b"}\x92."):
                answers(archive(b"\x80\x04" + name + arguments + call), weights_only=weights_only)
        for made in (b")R", b")\x81", b""):
            answers(archive(b"\x80\x04" + name + made + NEST + b"b."), weights_only=weights_only)
            answers(archive(b"\x80\x04" + name + made + NEST + b"a."), weights_only=weights_only)
            answers(archive(b"\x80\x04" + name + made + NEST + b"Ns."), weights_only=weights_only)


def test_our_own_classes_meet_hostile_states():
    """Modules and optimizers take up a saved state with code of their own."""
    codes: dict = {}
    for home in (torch.nn.modules, torch.optim, torch.optim.lr_scheduler):
        for kind in vars(home).values():
            if isinstance(kind, type) and kind.__module__.startswith("rushlight."):
                codes.setdefault(getattr(kind, "__setstate__", None), kind)
    assert len(codes) > 5
    words = [
        "_parameters", "_modules", "_buffers", "training", "param_groups", "state", "defaults", "_flat_weights",
        "_flat_weights_names", "_all_weights", "num_layers", "bidirectional", "padding_mode", "activation", "weight",
        "optimizer", "_is_full_backward_hook", "_forward_hooks", "milestones", "last_epoch", "_version",
    ]  # fmt: skip
    for kind in codes.values():
        name = name_of(f"{kind.__module__}.{kind.__qualname__}".replace("rushlight.", "torch."))
        for value in (NEST, b"N", b"K\x07", b"}", b"](" + NEST + b"e", b"}(K\x01" + NEST + b"u"):
            state = b"".join(b"X" + len(w).to_bytes(4, "little") + w.encode() + value for w in words)
            answers(archive(b"\x80\x04" + name + b")\x81}(" + state + b"ub."), weights_only=False)
            for word in words[:8] if NEST not in value else ():
                state = b"X" + len(word).to_bytes(4, "little") + word.encode() + value
                answers(archive(b"\x80\x04" + name + b")\x81}(" + state + b"ub."), weights_only=False)


@pytest.mark.parametrize("part", ["key", "location", "count", "all", "id"])
def test_persistent_ids_with_a_nest(part):
    fields = {"key": b"X\x01\x00\x00\x000", "location": b"X\x03\x00\x00\x00cpu", "count": b"K\x04"}
    if part in fields:
        fields[part] = NEST
    body = b"(X\x07\x00\x00\x00storage" + name_of("torch.FloatStorage") + b"".join(fields.values()) + b"tQ."
    body = b"\x80\x04" + {"all": NEST + b"Q.", "id": b"(" + NEST + b"2222tQ."}.get(part, body)
    answers(archive(body))
    head = b"".join(pickle.dumps(p, 2) for p in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    answers(io.BytesIO(head + body.replace(b"tQ.", b"NtQ.") + b"\x80\x04](" + NEST + b"e."))


def test_brief():
    nest: tuple = ()
    for _ in range(200):
        nest = (nest, nest)
    assert len(brief(nest)) <= 80 and len(brief({"a": nest})) <= 80 and len(brief([[[[1]]]])) <= 80
    assert (
        brief(-5) == "-5" and brief(True) == "True" and brief(dict) == "builtins.dict" and brief({1: 2}) == "dict of 1"
    )
    assert brief(object()) == "<object>" and brief((1,)) == "(1,)" and brief(torch.float32) == "torch.float32"


HUGE = """
    import resource, sys, time
    sys.path.insert(0, {tests!r})
    sys.path.insert(0, {root!r})
    import io, warnings
    warnings.simplefilter("ignore")
    from checkpoint.test_checkpoint_hostile import BODIES, FOUR, REFUSED, archive
    from checkpoint.test_checkpoint_files import round_trip
    from rushlight.checkpoint import load
    nest = b")" + b"2\\x86" * 200
    memo = (b"q%c]h%cah%ca" % (i, i, i) for i in range(200))
    bombs = {{
        "memo": b"\\x80\\x02]" + b"".join(memo) + b".",
        "laughs": b"\\x80\\x02" + nest + b".",
        "deep": b"\\x80\\x02" + b"]" * 500_000 + b"a" * 499_999 + b".",
        "strings": b"\\x80\\x02" + b"(" + b"X\\xff\\xff\\xff\\x7fabc" * 100,
        "long": b"\\x80\\x02\\x8b" + (1 << 22).to_bytes(4, "little") + b"\\x7f" * (1 << 22) + b".",
        "memoized": b"\\x80\\x04N" + b"\\x94" * 1_000_000 + b".",
        "set": b"\\x80\\x04\\x8f(" + b"".join(b"J" + i.to_bytes(4, "little") for i in range(100_000)) + b"\\x90.",
    }}
    bodies = {{**BODIES, **bombs}}
    load(archive(b"\\x80\\x02N."))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, body in bodies.items():
        for weights_only in (True, False):
            begin = time.process_time()
            try:
                load(archive(body, FOUR), weights_only=weights_only)
            except REFUSED as error:
                assert str(error)
            took = time.process_time() - begin
            assert took < 2, (name, took)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    assert grown < 500, grown
    print("fine", len(bodies), grown)
"""


def test_hostile_files_cost_little():
    tests = Path(__file__).parents[1]
    script = textwrap.dedent(HUGE).format(tests=str(tests), root=str(tests.parent))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert done.stdout.startswith("fine"), done.stderr


def test_the_fuzzer_finds_nothing_in_its_first_seconds(tmp_path):
    """The entry point of the long run, so that it cannot rot."""
    script = Path(__file__).parents[2] / "scripts" / "fuzz_checkpoint.py"
    assert importlib.util.spec_from_file_location("fuzz_checkpoint", script)
    command = [sys.executable, str(script), "--blind", "--seconds", "3", "--keep", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and ", 0 findings" in done.stdout, done.stdout + done.stderr
