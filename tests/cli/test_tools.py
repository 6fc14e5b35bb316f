"""The commands that look at checkpoints: what they print, and their exit codes."""

import json

import numpy as np
import pytest
from processes import rushlight
from typer.testing import CliRunner

import rushlight as torch
from rushlight.checkpoint import InertTensor
from rushlight.cli.main import app


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        done = CliRunner().invoke(app, arguments, obj=[])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.stdout, done.stderr

    return command


@pytest.fixture
def files(run):
    torch.manual_seed(0)
    weight = torch.randn(20, 30)
    sd = {
        "features.conv.weight": torch.randn(4, 3, 3, 3),
        "features.conv.bias": torch.zeros(4),
        "embed.weight": weight,
        "head.weight": weight,
    }
    torch.save({"epoch": 3, "state_dict": sd}, "a.ckpt")
    other = {f"module.{k}": v.clone() for k, v in sd.items()}
    other["module.features.conv.weight"][0, 0] *= 1.5
    other["module.head.weight"][0, 0] = float("nan")
    torch.save({"epoch": 4, "state_dict": other}, "b.ckpt")
    return run


def test_inspect(files):
    code, out, _ = files("inspect", "a.ckpt")
    lines = out.splitlines()
    assert code == 0 and max(map(len, lines)) <= 80
    assert lines[0] == "a.ckpt" and "4 tensors" in lines[1] and "1,312 elements" not in lines[1]
    row = next(line for line in lines if line.lstrip().startswith("weight") and "[4,3,3,3]" in line)
    assert "432 B" in row and any(block in row for block in "▁▂▃▄▅▆▇█")
    assert any("zeros" in line for line in lines if "f32[4]" in line)
    assert "epoch = 3" in lines
    assert "total    712 elements in 2.85 kB (float32 712)" in lines
    assert "shared   state_dict.embed.weight, state_dict.head.weight" in lines
    assert "all zero state_dict.features.conv.bias" in lines
    assert "\x1b" not in out


def test_inspect_finds_nan(files):
    code, out, _ = files("inspect", "b.ckpt")
    assert code == 1 and "NaN      state_dict.module.head.weight (1 of 600)" in out.splitlines()
    code, out, _ = files("inspect", "b.ckpt", "--no-stats")
    assert code == 0 and "NaN" not in out
    code, out, _ = files("inspect", "b.ckpt", "--depth", "1")
    assert "features.conv" not in out.partition("\n\n")[2].partition("epoch")[0]


def test_inspect_as_json(files):
    code, out, _ = files("inspect", "b.ckpt", "--json", "--only", "state_dict.module")
    data = json.loads(out)
    assert code == 1 and data["format"] == "torch zip"
    first = data["tensors"][0]
    assert (first["name"], first["dtype"], first["shape"], first["bytes"]) == (
        "features.conv.weight", "float32", [4, 3, 3, 3], 432,
    )  # fmt: skip
    assert sum(first["statistics"]["histogram"]) == 108
    assert {"kind": "nan", "name": "head.weight", "count": 1, "of": 600} in data["findings"]


def test_only_one_tensor(files):
    code, out, _ = files("inspect", "a.ckpt", "--only", "state_dict.features.conv.bias", "--json")
    data = json.loads(out)
    assert code == 0 and [row["name"] for row in data["tensors"]] == ["bias"] and not data["values"]
    name = "state_dict.module.features.conv.weight"
    assert files("convert", "b.ckpt", "c.pth", "--only", name)[0] == 0
    assert torch.equal(torch.load("c.pth")["weight"], torch.load("b.ckpt")["state_dict"][name[11:]])
    code, out, _ = files("diff", "b.ckpt", "c.pth", "--only", name)
    assert code == 0 and out == "equal    the one tensor and all values\n"


def test_inspect_in_ascii(files, tmp_path):
    from processes import run_python

    done = run_python("-m", "rushlight", "inspect", "a.ckpt", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and done.stdout.isascii() and "#" in done.stdout, done.stderr


def test_diff(files):
    code, out, _ = files("diff", "a.ckpt", "b.ckpt")
    lines = out.splitlines()
    assert code == 1 and max(map(len, lines)) <= 80
    assert lines[0] == "renamed  4 names: 'state_dict.' -> 'state_dict.module.'"
    assert any("conv.weight" in line and "%" in line for line in lines)
    assert any("NaN/Inf" in line for line in lines)
    assert "value    epoch: 3 -> 4" in lines
    assert lines[-1] == "differs  2 changed, 4 renamed, 2 unchanged, 1 value differs"
    assert files("diff", "a.ckpt", "a.ckpt")[:2] == (0, "equal    all 4 tensors and all values\n")


def test_diff_within_a_tolerance(files):
    torch.save({"w": torch.tensor([1.0, 2.0])}, "x.pth")
    torch.save({"w": torch.tensor([1.0, 2.001])}, "y.pth")
    assert files("diff", "x.pth", "y.pth")[0] == 1
    assert files("diff", "x.pth", "y.pth", "--rtol", "1e-3")[0] == 0
    data = json.loads(files("diff", "x.pth", "y.pth", "--json")[1])
    (row,) = data["changed"]
    assert row["difference"] == pytest.approx(0.001, rel=1e-3) and (row["elements"], row["of"]) == (1, 2)
    assert row["relative"] == pytest.approx(0.001 / 5**0.5, rel=1e-3)


def test_diff_recognises_content(files):
    one, two = torch.randn(3, 3), torch.randn(3, 3)
    torch.save({"a": one, "b": two, "gone": torch.ones(2)}, "x.pth")
    torch.save({"p": two, "q": one, "new": torch.ones(3), "b16": one.half()}, "y.pth")
    code, out, _ = files("diff", "x.pth", "y.pth")
    assert code == 1 and out.splitlines() == [
        "renamed  a -> q",
        "renamed  b -> p",
        "removed  gone float32[2]",
        "added    new float32[3]",
        "added    b16 float16[3,3]",
        "differs  2 renamed, 2 added, 1 removed, 0 unchanged",
    ]


def test_convert_there_and_back(files):
    code, out, err = files("convert", "a.ckpt", "c.safetensors", "--only", "state_dict")
    assert code == 0 and out.startswith("c.safetensors  ") and err == ""
    assert files("convert", "c.safetensors", "d.pth")[0] == 0
    assert files("diff", "a.ckpt", "d.pth", "--only", "state_dict")[0] == 0
    code, _, err = files("convert", "a.ckpt", "e.npz")
    assert code == 0 and "1 value other than tensors left out" in err


def test_convert_casts_and_shards(files):
    code, out, _ = files("convert", "a.ckpt", "c.safetensors", "--dtype", "bf16", "--shard-size", "1kB")
    assert code == 0 and [line.split()[0] for line in out.splitlines()] == [
        "c-00001-of-00002.safetensors", "c-00002-of-00002.safetensors", "c.safetensors.index.json",
    ]  # fmt: skip
    data = json.loads(files("inspect", "c.safetensors.index.json", "--json")[1])
    assert data["totals"]["by_dtype"] == {"bfloat16": 712} and len(data["shared"]) == 1
    torch.save({"w": torch.tensor([1e9])}, "x.pth")
    code, _, err = files("convert", "x.pth", "y.pth", "--dtype", "float16")
    assert code == 1 and "overflow: w: 1 finite values do not fit float16" in err


def test_rename(files):
    assert files("rename", "b.ckpt", "--map", r"^module\.=", "-o", "c.ckpt")[0] == 0
    assert next(iter(torch.load("c.ckpt")["state_dict"])) == "features.conv.weight"
    code, _, err = files("rename", "b.ckpt", "--map", "^nothing=x", "-o", "d.ckpt")
    assert code == 1 and "no name matches; the first ones are: module." in err.replace("\n", " ")


def test_verify(files, tmp_path):
    code, out, _ = files("verify", "a.ckpt")
    assert code == 0 and "checksums: all" in out and "BAD" not in out
    data = bytearray((tmp_path / "a.ckpt").read_bytes())
    at = bytes(data).index(torch.load("a.ckpt")["state_dict"]["embed.weight"].numpy().tobytes())
    data[at + 100] ^= 1
    (tmp_path / "c.ckpt").write_bytes(data)
    code, out, _ = files("verify", "c.ckpt")
    assert code == 1 and "BAD  checksums: 1 records were changed after saving: data/" in out
    (tmp_path / "d.ckpt").write_bytes(data[: len(data) // 2])
    code, out, err = files("verify", "d.ckpt")
    assert code == 2 and out == "" and err.startswith("rushlight: d.ckpt: PytorchStreamReader failed")
    assert files("convert", "a.ckpt", "e.npz")[0] == 0
    assert json.loads(files("verify", "e.npz", "--json")[1])["ok"] is True


def test_verify_names_code(files):
    import pickle
    import zipfile

    class Trap:
        def __reduce__(self):
            return print, ("hello",)

    with zipfile.ZipFile("a.pth", "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps({"x": Trap()}, 2))
    code, out, _ = files("verify", "a.pth")
    assert code == 1 and "hello" not in out and "print" in out and "warn names: PyTorch would import" in out


@pytest.mark.parametrize("form", ["zip", "legacy", "tar"])
def test_verify_tells_what_a_hostile_file_would_run(files, tmp_path, form):
    import io
    import os
    import pickle
    import tarfile
    import zipfile

    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    body = pickle.dumps({"x": Trap()}, 2)
    if form == "zip":
        with zipfile.ZipFile("evil.pt", "w") as archive:
            archive.writestr("a/data.pkl", body)
    elif form == "legacy":
        head = b"".join(pickle.dumps(v, 2) for v in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
        (tmp_path / "evil.pt").write_bytes(head + body + pickle.dumps([], 2))
    else:
        with tarfile.open("evil.pt", "w:") as tar:
            for name, data in (("storages", pickle.dumps(0, 2) + pickle.dumps([], 2)),
                               ("tensors", pickle.dumps(0, 2)), ("pickle", body)):  # fmt: skip
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    code, out, _ = files("verify", "evil.pt")
    assert code == 1 and out.replace("\n", " ").startswith(
        f"BAD  names: PyTorch would run these with weights_only=False: {os.mkdir.__module__}.mkdir."
    )
    code, out, err = files("inspect", "evil.pt")
    assert code == 2 and out == "" and "is blocked" in err and not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspect", "no.pth"], "rushlight: no.pth: No such file or directory"),
        (["diff", "a.ckpt", "no.pth"], "rushlight: no.pth: No such file or directory"),
        (["convert", "a.ckpt", "b.xyz"], "expected a name that ends in .pth"),
        (["convert", "a.ckpt", "b.npz", "--shard-size", "1MB"], "npz has no sharded form"),
        (["convert", "a.ckpt", "b.pth", "--dtype", "int8"], "dtype: expected one of"),
        (["convert", "a.ckpt", "b.pth", "--shard-size", "many"], "size: expected a number and a unit"),
        (["convert", "a.ckpt", "no/such/b.pth"], "does not exist"),
        (["rename", "a.ckpt", "--map", "(=", "-o", "b.pth"], "regular expression"),
        (["inspect", "a.ckpt", "--only", "model"], "no tensors under 'model'. At the top there are: state_dict"),
    ],
)
def test_what_cannot_be_done(files, arguments, message):
    code, out, err = files(*arguments)
    assert code == 2 and out == "" and message in err.replace("\n", " ")


def test_wrong_use_has_the_same_code():
    done = rushlight("rename", "a.pth")
    assert done.returncode == 2 and "--map" in done.stderr


def test_names_cannot_steer_the_terminal(run):
    torch.save({"a\x1b[31m": torch.ones(2), "v\x1b[2J": "x\r\n\x9b1m", "\ud800": torch.ones(1), "é": 1}, "x.pth")
    torch.save({"b\x1b[31m": torch.zeros(2), "v\x1b[2J": "y\x07", "é": 1}, "y.pth")
    for command in (
        ["inspect", "x.pth"],
        ["diff", "x.pth", "y.pth"],
        ["verify", "x.pth"],
        ["inspect", "x.pth", "--only", "\x1b"],
    ):
        _, out, err = run(*command)
        assert all(c.isprintable() or c == "\n" for c in out + err), (command, out, err)
    assert r"a\x1b[31m" in run("inspect", "x.pth")[1] and r"v\x1b[2J = x\r\n\x9b1m" in run("inspect", "x.pth")[1]
    data = json.loads(run("inspect", "x.pth", "--json")[1])
    assert [row["name"] for row in data["tensors"]] == ["a\x1b[31m", "\ud800"] and data["values"]["é"] == 1
    assert run("view", "x.pth", "y.pth", "-o", "page.html")[0] == 0


def test_json_in_ascii(files, tmp_path):
    from processes import run_python

    torch.save({"é": torch.ones(1)}, tmp_path / "x.pth")
    done = run_python("-m", "rushlight", "inspect", "x.pth", "--json", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert json.loads(done.stdout)["tensors"][0]["name"] == "é", done.stderr
    done = run_python("-m", "rushlight", "inspect", "x.pth", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and r"\xe9" in done.stdout


def test_numbers_whose_squares_do_not_fit(run):
    torch.save({"f": torch.tensor([1e30, 3e30]), "d": torch.tensor([1e300, 2e300], dtype=torch.float64)}, "x.pth")
    torch.save({"f": torch.tensor([1e30, 2e30]), "d": torch.tensor([1e300, 3e300], dtype=torch.float64)}, "y.pth")
    rows = json.loads(run("inspect", "x.pth", "--json")[1])["tensors"]
    assert rows[0]["statistics"]["std"] == pytest.approx(1e30) and rows[1]["statistics"]["std"] is None
    rows = json.loads(run("diff", "x.pth", "y.pth", "--json")[1])["changed"]
    assert rows[0]["difference"] == pytest.approx(1e30) and rows[1]["difference"] is None
    assert rows[1]["max"] == pytest.approx(1e300) and run("diff", "x.pth", "y.pth")[0] == 1


def test_large_integers_that_differ_by_one(run):
    torch.save({"n": torch.tensor([2**62, 5])}, "x.pth")
    torch.save({"n": torch.tensor([2**62 + 1, 5])}, "y.pth")
    (row,) = json.loads(run("diff", "x.pth", "y.pth", "--json")[1])["changed"]
    assert row["elements"] == 1 and row["max"] == 1
    assert run("diff", "x.pth", "y.pth", "--atol", "2")[0] == 0


def test_entries_of_one_path_are_told_apart(run):
    torch.save({"a.b": torch.zeros(3), "a": {"b": torch.ones(5)}, 1: 2, "1": 3}, "x.pth")
    data = json.loads(run("inspect", "x.pth", "--json")[1])
    found = {row["name"]: (row["shape"], row["statistics"]["mean"]) for row in data["tensors"]}
    assert found == {"a.b": ([3], 0.0), "a.b (2)": ([5], 1.0)} and data["values"] == {"1": 2, "1 (2)": 3}
    assert run("convert", "x.pth", "y.safetensors")[0] == 0
    assert torch.load("y.safetensors")["a.b (2)"].tolist() == [1.0] * 5


def test_a_file_without_tensors(run):
    torch.save({"epoch": 5}, "x.pth")
    code, out, _ = run("inspect", "x.pth")
    assert code == 0 and out.splitlines()[-3:] == ["epoch = 5", "", "total    0 elements"]


def test_values_that_print_alike(files):
    """What a printed form leaves out counts as well."""
    one, two = list(range(1000)), list(range(1000))
    two[-1] = 0
    parts = [
        {"indices": torch.tensor([[0, 2]]), "values": torch.tensor([1.0, x]), "coalesced": True} for x in (3.0, 4.0)
    ]
    for name, numbers, part in (("x.pth", one, parts[0]), ("y.pth", two, parts[1])):
        sparse = InertTensor("sparse_coo", torch.float32, (3,), part)
        text = np.array(["a"] * 1000 + [name] + ["a"] * 1000)
        torch.save({"numbers": numbers, "sparse": sparse, "text": text, "same": [1]}, name)
    code, out, _ = files("diff", "x.pth", "y.pth")
    assert code == 1 and out.splitlines()[-1] == "differs  0 unchanged, 3 values differ"
    assert out.replace("\n", " ").count("with other contents") == 3 and max(map(len, out.splitlines())) <= 80
    assert files("diff", "x.pth", "x.pth")[0] == 0


def test_values_are_renamed_with_the_tensors(files):
    torch.save({"w": torch.ones(3), "groups": {"lr": 0.1, "eps": 1}}, "x.pth")
    torch.save({"opt": {"w": torch.ones(3), "groups": {"lr": 0.2, "eps": 1}}, "epoch": 1}, "y.pth")
    code, out, _ = files("diff", "x.pth", "y.pth")
    assert code == 1 and out.splitlines() == [
        "renamed  1 name: '' -> 'opt.'",
        "value    opt.groups.lr: 0.1 -> 0.2",
        "value    epoch: nothing -> 1",
        "differs  1 renamed, 1 unchanged, 2 values differ",
    ]
    torch.save({str(i): i for i in range(30)} | {"w": torch.ones(3)}, "z.pth")
    assert "and 12 more values; --json lists them all" in files("diff", "x.pth", "z.pth")[1]


def test_what_a_format_cannot_hold_is_named(files):
    torch.save({"a": torch.ones(2), "c.d": torch.ones(2, dtype=torch.complex128)}, "x.pth")
    assert "'c.d': safetensors has no complex128; write a .pth file" in files("convert", "x.pth", "x.safetensors")[2]
    torch.save({"a": torch.ones(2), "b": torch.ones(2, dtype=torch.bfloat16)}, "x.pth")
    assert "'b': npz has no bfloat16; cast it with --dtype float32" in files("convert", "x.pth", "x.npz")[2]


def test_renaming_in_a_whole_module(run):
    torch.save(torch.nn.Sequential(torch.nn.Linear(2, 3)), "x.pth")
    code, _, err = run("rename", "x.pth", "--map", "^0=first", "-o", "y.pth")
    assert code == 1 and "names match as whole paths alone" in err and "--tensors-only" in err
    for target, options in (("y.pth", ["--tensors-only"]), ("y.safetensors", [])):
        assert run("rename", "x.pth", "--map", "^0=first", "-o", target, *options)[0] == 0
        assert sorted(torch.load(target)) == ["first.bias", "first.weight"]
