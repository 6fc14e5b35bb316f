"""Owns the tests of how files reach the disk: killed writers, full disks, and the progress bar.

May import rushlight; needs a POSIX system for killed processes and limits.
"""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
import zipfile

import numpy as np
import pytest

import rushlight as torch
from rushlight.checkpoint import load, progress, save

posix = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")
FORMATS = ["x.pt", "x.safetensors"]


def number(n: int) -> dict:
    """A state whose tensors all hold ``n``, so that a mixture would show."""
    return {f"w{i}": torch.full((50_000,), float(n)) for i in range(8)}


def read(path) -> int:
    found = load(path)
    values = {float(v) for t in found.values() for v in np.unique(t.numpy())}
    assert len(found) == 8 and len(values) == 1
    return int(values.pop())


WRITER = """
import sys
import rushlight as torch
from rushlight.checkpoint import save

torch.set_num_threads(1)
states = [{f"w{i}": torch.full((50_000,), float(n)) for i in range(8)} for n in range(3)]
for state in states:
    for t in state.values():
        t._array().block_until_ready()
import os
for line in sys.stdin:
    # Each round is a fork, so that a killed writer costs no start of the interpreter.
    child = os.fork()
    if child == 0:
        n = 0
        while True:
            save(states[n % 3], sys.argv[1])
            n += 1
    print(child, flush=True)
    os.waitpid(child, 0)
    print("gone", flush=True)
"""


@posix
@pytest.mark.timeout(120)
def test_fifty_killed_writers_leave_a_whole_file(tmp_path):
    path, source = tmp_path / "x.pt", random.Random(0)
    save(number(0), path)
    writer = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", WRITER, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert writer.stdin and writer.stdout
    seen, remains = set(), 0
    try:
        for _ in range(50):
            writer.stdin.write("go\n")
            writer.stdin.flush()
            child = int(writer.stdout.readline())
            time.sleep(source.uniform(0, 0.06))
            os.kill(child, signal.SIGKILL)
            assert writer.stdout.readline() == "gone\n"
            seen.add(read(path))
            left = [name for name in os.listdir(tmp_path) if name != "x.pt"]
            assert all(name.startswith(".x.pt.") and name.endswith(".tmp") for name in left) and len(left) < 2
            remains += len(left)
    finally:
        writer.stdin.close()
        writer.wait(60)
        writer.stdout.close()
    # The moments really were random: files were replaced between kills, and writers died with one half written.
    assert len(seen) > 1 and remains
    # Each writer removes what the one before it left.
    save(number(1), path)
    assert os.listdir(tmp_path) == ["x.pt"]


SLEEPER = """
import os, sys
from rushlight.checkpoint.atomic import replacing, replacing_path

with (replacing if sys.argv[2] == "file" else replacing_path)(sys.argv[1]) as target:
    if sys.argv[2] == "file":
        target.write(b"half")
    else:
        open(target, "wb").close()
        open(os.path.join(os.path.dirname(target), ".tmpXYZ"), "wb").close()
    print(os.getpid(), flush=True)
    sys.stdin.read()
"""


@posix
@pytest.mark.parametrize("kind", ["file", "path"])
def test_what_a_killed_writer_left_goes_and_what_a_living_one_writes_stays(tmp_path, kind):
    path = tmp_path / "x.safetensors"
    strangers = [".x.safetensors.tmp", ".x.safetensors.1-abc.tmp", ".y.safetensors.1-01234567.tmp"]
    for name in strangers:
        (tmp_path / name).write_bytes(b"stays")
    (tmp_path / ".x.safetensors.1-89abcdef.tmp").mkdir()
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SLEEPER, str(path), kind],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as writer:  # fmt: skip
        assert writer.stdout and int(writer.stdout.readline()) == writer.pid
        before = set(os.listdir(tmp_path))
        assert len(before) == len(strangers) + (3 if kind == "path" else 2)
        save(number(1), path)
        assert set(os.listdir(tmp_path)) == before | {path.name}
        writer.kill()
    save(number(2), path)
    assert read(path) == 2
    assert set(os.listdir(tmp_path)) == {*strangers, ".x.safetensors.1-89abcdef.tmp", path.name}


@posix
@pytest.mark.parametrize("name", FORMATS)
def test_a_full_disk_leaves_the_old_file(tmp_path, name):
    path = tmp_path / name
    save(number(1), path)
    script = f"""
        import resource, signal, sys
        import rushlight as torch
        from rushlight.checkpoint import save
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        state = {{f"w{{i}}": torch.full((50_000,), 2.0) for i in range(8)}}
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
        try:
            save(state, {str(path)!r})
        except Exception as error:
            print(type(error).__name__, error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("OSError") and "File too large" in done.stdout, done.stderr
    assert read(path) == 1 and os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", FORMATS)
def test_a_directory_is_not_overwritten(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(RuntimeError, match=r"cannot save to .*: expected a file name, received a directory"):
        save({}, tmp_path / name)
    assert (tmp_path / name).is_dir() and os.listdir(tmp_path) == [name]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("terminal", [True, False])
def test_progress(tmp_path, monkeypatch, terminal):
    screen = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(progress, "_LARGE", 1000)
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    save(number(1), tmp_path / "x.pt")
    assert ("saving" in screen.getvalue() and "MB" in screen.getvalue()) is terminal
    if not terminal:
        assert screen.getvalue() == ""
    assert read(tmp_path / "x.pt") == 1


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_of_a_library_that_tells_none(monkeypatch, terminal):
    screen = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    with progress.waiting("saving", 1 << 30):
        time.sleep(0.3)
    assert ("saving" in screen.getvalue() and "1,074 MB" in screen.getvalue()) is terminal
    monkeypatch.setattr(progress, "_PATIENCE", 30.0)
    begin, before = time.monotonic(), screen.getvalue()
    with progress.waiting("saving", 1 << 30):
        pass
    assert time.monotonic() - begin < 5 and screen.getvalue() == before


def test_short_writes_show_nothing(tmp_path, monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    save(number(1), tmp_path / "x.pt")
    monkeypatch.setattr(progress, "_LARGE", 1000)
    save(number(1), tmp_path / "x.pt")
    assert screen.getvalue() == ""


def test_records_that_are_summed_and_read_in_large_pieces(tmp_path):
    path = tmp_path / "large.pt"
    torch.save(torch.arange(1_500_000, dtype=torch.float32), path)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    found = torch.load(path)._array()
    assert found.unsafe_buffer_pointer() % 64 == 0 and float(found[-1]) == 1_499_999
    data = bytearray(path.read_bytes())
    data[3_000_000] ^= 1
    path.write_bytes(data)
    with pytest.raises(RuntimeError, match="does not match its checksum"):
        torch.load(path)
