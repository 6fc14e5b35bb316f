"""The HTML page: what it knows, that it is safe and complete by itself, and how it behaves in a browser."""

import base64
import html
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from processes import rushlight
from typer.testing import CliRunner

import rushlight as torch
from rushlight import nn
from rushlight.cli.main import app
from rushlight.inspect import open_source, summary
from rushlight.inspect.view import module_html, of_difference, of_module, of_source, page

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_FLAGS = """
    --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --window-size=1200,800 --virtual-time-budget=4000
"""
# What the scripts of the tests below share: keys, and what can be seen.
_HELPERS = """
window.onerror = (error) => { document.title = JSON.stringify({error: String(error)}); };
const out = {};
const all = (selector) => [...document.querySelectorAll(selector)];
const press = (key, where) =>
  (where || tree.host).dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
const type = (text) => { const box = $("search"); box.value = text; box.dispatchEvent(new Event("input")); };
const shown = () => all(".row .label").map((label) => label.textContent);
const chosen = () => document.querySelector("[aria-selected=true] .label").textContent;
const time = (name, f) => {
  const start = performance.now();
  f();
  out[name] = performance.now() - start + 0 * tree.host.offsetHeight;
};
"""


def known(text):
    """What a page holds for its scripts."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def states():
    torch.manual_seed(0)
    weight = torch.randn(40, 30)
    return {
        "body.0.weight": weight, "body.0.bias": torch.zeros(40), "body.1.weight": torch.randn(8, 40),
        "head.weight": weight, "steps": torch.tensor(3), "broken": torch.tensor([1.0, float("nan"), float("inf")]),
    }  # fmt: skip


@pytest.fixture
def files(tmp_path):
    torch.save(states() | {"epoch": 3}, tmp_path / "a.pth")
    other = {f"module.{name}": value.clone() for name, value in states().items()} | {"epoch": 4}
    other["module.body.1.weight"] *= 1.5
    other["module.new"] = torch.ones(2, 2)
    del other["module.steps"]
    torch.save(other, tmp_path / "b.pth")
    return tmp_path


def test_a_checkpoint(files):
    with open_source(files / "a.pth") as source:
        data = known(page(of_source(source)))
    assert data["title"] == "a.pth" and data["kind"] == "file" and data["values"] == [["epoch", "3"]]
    rows = {row["name"]: row for row in data["tensors"]}
    assert list(rows) == list(states()) and rows["head.weight"]["tied"] == "body.0.weight"
    row = rows["body.1.weight"]
    assert (row["dtype"], row["shape"], row["count"], row["bytes"]) == ("float32", [8, 40], 320, 1280)
    values = states()["body.1.weight"].numpy()
    assert row["range"] == pytest.approx([values.min(), values.max()])
    assert len(base64.b64decode(row["hist"])) == 32 and max(base64.b64decode(row["hist"])) == 255
    assert row["heat"]["size"] == [24, 8]
    assert rows["broken"]["stats"][5:] == [1, 1, 0] and rows["broken"]["stats"][0] == 1


def test_a_heat_map_is_the_root_mean_square_of_blocks(files):
    with open_source(files / "a.pth") as source:
        heat = next(r for r in of_source(source)["tensors"] if r["name"] == "body.0.weight")["heat"]
    width, height = heat["size"]
    values = np.square(states()["body.0.weight"].numpy().astype(float))
    rows, columns = (np.linspace(0, n, k + 1).astype(int) for n, k in ((40, height), (30, width)))
    expected = np.array([
        [np.sqrt(values[rows[i] : rows[i + 1], columns[j] : columns[j + 1]].mean()) for j in range(width)]
        for i in range(height)
    ])  # fmt: skip
    shown = np.frombuffer(base64.b64decode(heat["data"]), np.uint8).reshape(height, width) / 255 * heat["max"]
    np.testing.assert_allclose(shown, expected, atol=heat["max"] / 255)


def test_two_checkpoints(files):
    with open_source(files / "a.pth") as a, open_source(files / "b.pth") as b:
        data = known(page(of_difference(a, b)))
    rows = {row["name"]: row for row in data["tensors"]}
    assert {name: row["state"] for name, row in rows.items()} == {
        "module.body.0.weight": "same", "module.body.0.bias": "same", "module.body.1.weight": "changed",
        "module.head.weight": "same", "module.broken": "same", "module.new": "added", "steps": "removed",
    }  # fmt: skip
    assert data["notes"] == ["5 names: '' -> 'module.'"] and data["values"] == [["epoch", "3 → 4"]]
    row = rows["module.body.1.weight"]
    assert row["from"] == "body.1.weight" and row["change"]["relative"] == pytest.approx(0.5)
    assert row["delta"]["size"] == [24, 8] and len(row["before"]["stats"]) == 8


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.relu, self.last = nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4, bias=False)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x):
        return self.norm(self.last(self.relu(self.first(x))))


def test_a_model():
    net = Net()
    net.freeze("last")
    data = known(page(of_module(net, table=summary(net, (2, 4)))))
    modules = {row[0]: row[1:] for row in data["modules"]}
    assert modules["first"] == ["Linear", "in_features=4, out_features=8, bias=True", [2, 8], 64]
    assert modules[""][0] == "Net" and modules["relu"][0] == "ReLU"
    rows = {row["name"]: row for row in data["tensors"]}
    assert [rows[n]["trained"] for n in ("first.weight", "last.weight")] == [True, False]
    assert rows["norm.running_mean"]["buffer"] and not rows["first.bias"]["buffer"]
    assert data["values"][0] == ["multiply-adds", "128"]
    assert list(rows) == ["first.weight", "first.bias", "last.weight", "norm.weight", "norm.bias",
                          "norm.running_mean", "norm.running_var", "norm.num_batches_tracked"]  # fmt: skip


def test_the_page_needs_nothing_else_and_trusts_no_name(tmp_path):
    evil = {
        "</script><script>document.title='owned'</script>": torch.ones(2),
        "<!--<b>": torch.ones(1),
        "é☃": torch.ones(1),
    }
    torch.save(evil, tmp_path / "<i>.pth")
    with open_source(tmp_path / "<i>.pth") as source:
        text = page(of_source(source))
    assert text.count("</script>") == 2 and "<!--" not in text and "<i>" not in text
    assert [row["name"] for row in known(text)["tensors"]] == list(evil)
    without_data = re.sub(r'id="data">.*?</script>', "", text, flags=re.DOTALL)
    assert re.search(r"https?://|\bsrc=|\bhref=|@import|url\(|innerHTML", without_data) is None
    assert "default-src 'none'" in text


def test_many_tensors_make_a_page_that_is_still_small():
    net = nn.Sequential(*(nn.Linear(6, 6) for _ in range(1500)))
    data = of_module(net)
    assert data["tensors"][0]["heat"]["size"] == [6, 6] and len(page(data)) < 2_000_000


def test_notebooks(monkeypatch):
    monkeypatch.setitem(sys.modules, "treescope", None)
    net = Net()
    frame = net._repr_html_()
    assert frame == module_html(net) and frame.startswith('<iframe sandbox="allow-scripts"')
    inner = html.unescape(re.search(r'srcdoc="(.*)"></iframe>$', frame, re.DOTALL)[1])
    assert 'class="compact"' in inner and [row[0] for row in known(inner)["modules"]][:2] == ["", "first"]
    assert "stats" not in known(inner)["tensors"][0]


def test_the_command(files, monkeypatch):
    monkeypatch.chdir(files)
    (files / "mynet.py").write_text(
        "import torch\n\nclass Net(torch.nn.Linear):\n    def __init__(self):\n        super().__init__(2, 3)\n"
    )

    def run(*arguments):
        done = CliRunner().invoke(app, ["view", *arguments], obj=[])
        return done.exit_code, done.stdout, done.stderr.replace("\n", " ")

    def written(name):
        return known((files / name).read_text(encoding="utf-8"))

    code, out, _ = run("a.pth")
    assert code == 0 and out.startswith("a.pth.html  ") and written("a.pth.html")["tensors"]
    assert run("a.pth", "b.pth", "-o", "d.html")[0] == 0 and written("d.html")["kind"] == "diff"
    # In processes of their own: there, and only there, "import torch" is to find rushlight.
    done = rushlight("view", "mynet.py:Net", "--input", "5,2", "-o", "m.html", cwd=files)
    assert done.returncode == 0, done.stderr
    assert written("m.html")["modules"] == [["", "Net", "in_features=2, out_features=3, bias=True", [5, 3], 30]]
    done = rushlight("view", "mynet:Other", cwd=files)
    assert done.returncode == 2 and "there is no 'Other' in mynet" in done.stderr
    done = rushlight("view", "math:sqrt", cwd=files)
    assert done.returncode == 2 and "expected a function that needs no arguments" in done.stderr
    for arguments, message in (
        (["a.pth", "--input", "1,2"], "--input goes with MODULE:FACTORY"),
        (["mynet.py:Net", "a.pth"], "save its state_dict"),
        (["nowhere.pth"], "No such file"),
    ):
        code, _, err = run(*arguments)
        assert code == 2 and message in err, (arguments, err)


# -- in a browser ------------------------------------------------------------------------------------------------------


def play(text, script, tmp_path):
    """Run a script in a page and return what it puts into ``out``."""
    whole = f"<script>{_HELPERS}{script}\ndocument.title = JSON.stringify(out);</script></body>"
    (tmp_path / "page.html").write_text(text.replace("</body>", whole), encoding="utf-8")
    done = subprocess.run(
        [BROWSER, *_FLAGS.split(), f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", "page.html"], cwd=tmp_path,
        capture_output=True, text=True, timeout=120, encoding="utf-8",
    )  # fmt: skip
    return json.loads(html.unescape(re.search("<title>(.*?)</title>", done.stdout, re.DOTALL)[1]))


in_browser = pytest.mark.skipif(BROWSER is None, reason="needs Chromium")


@in_browser
def test_the_keyboard_the_search_and_the_details(tmp_path):
    net = nn.Sequential()
    net.add_module("<b>bold</b>", nn.Linear(3, 40))
    net.add_module("part", Net())
    out = play(
        page(of_module(net)),
        """
        out.start = shown();
        press("ArrowDown"); press("ArrowDown"); out.second = chosen();
        press("ArrowRight"); out.opened = shown();
        press("ArrowRight"); press("ArrowRight"); press("ArrowDown"); out.leaf = chosen();
        out.details = document.querySelector("#details h2").textContent;
        press("ArrowLeft"); press("ArrowLeft"); out.closed = shown();
        press("End"); out.end = chosen(); press("Home"); out.home = chosen();
        press("e"); out.all = shown().length; press("c"); out.none = shown().length;
        press("/", document.body); out.focus = document.activeElement.id;
        const box = document.activeElement;
        type("last"); out.found = $("matches").textContent; out.filtered = shown();
        press("Enter", box); out.hit = tree.selected.path; press("n"); out.next = tree.selected.path;
        out.pictures = all("#details canvas").length;
        out.expanded = all("[role=treeitem]").map((row) => row.getAttribute("aria-expanded"));
        type("/^part[.]norm[.]r/"); out.pattern = tree.hits.map((n) => n.path);
        type("/(/"); out.wrong = box.classList.contains("wrong");
        box.focus(); press("Escape", box); out.left = document.activeElement.id;
        out.bold = all("#rows b").length;
        out.boxes = treemap.boxes.length; treemap.onSelect(treemap.boxes[1].node); out.map = tree.selected.path;
        """,
        tmp_path,
    )
    assert "error" not in out, out
    assert out["start"] == ["Sequential", "<b>bold</b>", "part"]
    assert out["second"] == "part" and out["opened"][3:] == ["first", "relu", "last", "norm"]
    assert out["leaf"] == "bias" or out["leaf"] == "weight"
    assert out["details"].startswith("part.first.")
    assert out["closed"][3:] == ["first", "relu", "last", "norm"]
    assert (out["end"], out["home"]) == ("norm", "Sequential")
    assert out["all"] > 12 and out["none"] == 3 and out["focus"] == "search"
    assert out["found"] == "2 found" and out["filtered"] == ["Sequential", "part", "last", "weight"]
    assert (out["hit"], out["next"]) == ("part.last", "part.last.weight") and out["pictures"] >= 2
    assert out["expanded"] == [None, "true", "true", None]
    assert out["pattern"] == ["part.norm.running_mean", "part.norm.running_var"]
    assert out["wrong"] is True and out["left"] == "tree"
    assert out["bold"] == 0 and out["boxes"] > 4 and out["map"]


@in_browser
def test_the_differences(files, tmp_path):
    with open_source(files / "a.pth") as a, open_source(files / "b.pth") as b:
        out = play(
            page(of_difference(a, b)),
            """
            $("only-changed").click();
            out.rows = all(".leaf .mark, .leaf .label").map((part) => part.textContent);
            tree.hit(1); out.pictures = all("#details canvas").length;
            out.text = $("details").textContent;
            """,
            tmp_path,
        )
    assert "error" not in out, out
    assert out["rows"] == ["~", "weight", "+", "new", "\u2212", "steps"]
    assert out["pictures"] >= 3 and "relative to before50%" in out["text"]


def tower(blocks, layers):
    """A model of about three modules for each layer of each block."""
    return nn.ModuleList(
        nn.ModuleList(nn.Sequential(nn.Linear(2, 2), nn.ReLU()) for _ in range(layers)) for _ in range(blocks)
    )


@in_browser
@pytest.mark.parametrize(("blocks", "layers"), [(1, 3), (10, 33), (34, 100)], ids=["10", "1000", "10000"])
def test_many_modules(tmp_path, blocks, layers):
    """Only the rows in sight exist, and no step takes as long as a person would notice."""
    out = play(
        page(of_module(tower(blocks, layers), with_statistics=False)),
        """
        const last = DATA.modules[DATA.modules.length - 1][0];
        const steps = {
          open: () => tree.all(true),
          end: () => press("End"),
          scroll: () => { tree.host.scrollTop = tree.host.scrollHeight / 2; tree.draw(); },
          close: () => { press("Home"); press("ArrowLeft"); },
          expand: () => press("ArrowRight"),
          map: () => treemap.onSelect(treemap.boxes[treemap.boxes.length - 1].node),
          search: () => type(last.slice(0, -1)),
          pattern: () => type("/[.]weight$/"),
          next: () => press("n"),
          clear: () => type(""),
        };
        out.slowest = {};
        // The best of a few rounds, because other processes may run beside this one.
        for (let round = 0; round < 3; round++) {
          tree.all(false);
          for (const [name, step] of Object.entries(steps)) {
            time("took", step);
            out.slowest[name] = Math.min(out.slowest[name] ?? 1e9, out.took);
            if (name === "open") out.rows = tree.list.length;
            if (name === "scroll") out.made = all(".row").length;
            if (name === "end") out.chosen = tree.selected.path;
            if (name === "search") out.hits = tree.hits.length;
            if (name === "pattern") out.weights = tree.hits.length;
          }
        }
        out.modules = DATA.modules.length;
        """,
        tmp_path,
    )
    assert "error" not in out, out
    assert out["modules"] == 1 + blocks * (1 + 3 * layers) and out["rows"] == out["modules"] + 2 * blocks * layers
    assert out["made"] < 60 and out["chosen"] == f"{blocks - 1}.{layers - 1}.1"
    assert out["weights"] == blocks * layers and out["hits"] >= 4
    slow = {name: took for name, took in out["slowest"].items() if took > 200}
    assert not slow, slow
