"""Every command stays far below the size of a large file."""

import os

import pytest
from processes import run_code
from sparse_files import write_with_holes

COUNT, LIMIT = 144, 100  # tensors of 4 MiB; MB
COMMANDS = [
    "inspect a.pth --no-stats",
    "inspect a.pth",
    "verify a.pth",
    "rename a.pth --map ^t=u -o b.pth",
    "diff a.pth b.pth",
    "convert a.pth c.safetensors",
    "convert a.pth d.safetensors --shard-size 100MB --dtype bfloat16",
    "convert c.safetensors e.npz",
    "convert e.npz f.pth --format legacy",
    "convert f.pth g.pth",
    "view c.safetensors -o c.html",
    "view a.pth b.pth --only t1 -o d.html",
]


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="measures memory as Linux tells it")
@pytest.mark.timeout(300)
def test_memory_of_every_command(tmp_path):
    write_with_holes(tmp_path / "a.pth", COUNT)
    size = (tmp_path / "a.pth").stat().st_size
    assert size > 600_000_000
    peaks = run_code(
        f"""
        import contextlib, io, os, time
        from typer.testing import CliRunner
        import rushlight
        from rushlight.cli.main import app

        def status(key):
            with open("/proc/self/status") as file:
                return next(int(line.split()[1]) for line in file if line.startswith(key + ":")) // 1024

        def run(command):
            done = CliRunner().invoke(app, command.split(), obj=[])
            assert done.exit_code in (0, 1) and not done.stderr, (command, done.output, done.stderr, done.exception)

        rushlight.save({{"t1.a": rushlight.ones(3)}}, "small.pth")
        for command in ("inspect small.pth", "view small.pth", "convert small.pth small.npz"):
            run(command)  # whatever is imported on use
        for command in {COMMANDS!r}:
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")  # starts the peak anew
            before, began = status("VmRSS"), time.perf_counter()
            run(command)
            print(status("VmHWM") - before, round(time.perf_counter() - began, 1), command, sep="\\t")
        """,
        cwd=tmp_path,
    )
    rows = [line.split("\t") for line in peaks.splitlines()]
    assert [row[2] for row in rows] == COMMANDS
    assert all(int(peak) < LIMIT for peak, *_ in rows), peaks
