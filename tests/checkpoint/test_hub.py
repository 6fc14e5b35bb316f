"""Owns the tests of ``hf://`` addresses, against a server on this machine that answers as the hub does.

May import rushlight; needs huggingface_hub.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import sys
import textwrap
import threading

import pytest

import rushlight as torch
from rushlight.checkpoint import hub, load, save, save_sharded

pytest.importorskip("huggingface_hub")

COMMITS = {"main": "a" * 40, "v1": "b" * 40}


class Hub(http.server.BaseHTTPRequestHandler):
    """Serves ``/{organisation}/{name}/resolve/{revision}/{file}`` from ``files``, keyed by (repository, revision)."""

    files: dict = {}
    log: list = []

    def answer(self, body: bool) -> None:
        self.log.append((self.command, self.path))
        owner, name, _, revision, *rest = self.path.strip("/").split("/")
        repository = self.files.get(f"{owner}/{name}")
        revision = next((r for r, commit in COMMITS.items() if revision in (r, commit)), None)
        data = (repository or {}).get((revision, "/".join(rest)))
        self.send_response(200 if data is not None else 404)
        if repository is None:
            self.send_header("X-Error-Code", "RepoNotFound")
        elif data is None:
            self.send_header("X-Error-Code", "EntryNotFound" if revision else "RevisionNotFound")
        if repository is not None and revision:
            self.send_header("X-Repo-Commit", COMMITS[revision])
        data = data or b""
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    save({"x": torch.ones(2)}, folder / "model.safetensors")
    save({"x": torch.zeros(2)}, folder / "old.safetensors")
    save({"b": torch.full((2,), 2.0)}, folder / "pytorch_model.bin")
    (folder / "set").mkdir()
    save_sharded({f"w{i}": torch.full((100,), float(i)) for i in range(4)}, folder / "set", 900)

    def read(path):
        return (folder / path).read_bytes()

    Hub.files = {
        "org/plain": {("main", "model.safetensors"): read("model.safetensors"),
                      ("main", "sub/other.safetensors"): read("old.safetensors"),
                      ("v1", "model.safetensors"): read("old.safetensors")},
        "org/pickle": {("main", "pytorch_model.bin"): read("pytorch_model.bin")},
        "org/sharded": {("main", name): read(f"set/{name}") for name in os.listdir(folder / "set")},
        "org/nothing": {("main", "README.md"): b"hello"},
    }  # fmt: skip
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def run(script: str, endpoint: str, home, **more) -> dict:
    """Run a script in a fresh process, because the library reads its settings when it is imported."""
    off = dict.fromkeys(("PROGRESS_BARS", "TELEMETRY", "XET"), "1")
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_ETAG_TIMEOUT": "5", **more}
    environment |= {f"HF_HUB_DISABLE_{name}": value for name, value in off.items()}
    head = "import json, pickle\nfrom rushlight.checkpoint import load\nout = {}\n"
    done = subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(script) + "\nprint(json.dumps(out))"],
        capture_output=True, text=True, env=environment, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


SCRIPT = """
for name, address in {
    "plain": "hf://org/plain", "revision": "hf://org/plain@v1", "file": "hf://org/plain/sub/other.safetensors",
    "pickle": "hf://org/pickle", "sharded": "hf://org/sharded",
}.items():
    out[name] = {k: [v.tolist()[0], len(v)] for k, v in load(address, mmap=True).items()}
for name, address in {
    "nothing": "hf://org/nothing", "no_file": "hf://org/plain/none.safetensors", "no_repository": "hf://org/no",
    "no_revision": "hf://org/plain@v9",
}.items():
    try:
        load(address)
    except Exception as error:
        out[name] = [type(error).__name__, str(error)]
"""


def test_the_hub_and_its_cache(server, tmp_path):
    Hub.log.clear()
    out = run(SCRIPT, server, tmp_path)
    assert out["plain"] == {"x": [1.0, 2]} and out["revision"] == out["file"] == {"x": [0.0, 2]}
    assert out["pickle"] == {"b": [2.0, 2]} and out["sharded"] == {f"w{i}": [float(i), 100] for i in range(4)}
    kind, text = out["nothing"]
    assert (
        kind == "FileNotFoundError" and "one of model.safetensors, " in text and "hf://org/nothing/path/to/file" in text
    )
    kind, text = out["no_file"]
    assert kind == "FileNotFoundError" and "expected none.safetensors in the repository, found none" in text
    assert out["no_repository"][0] == "RepositoryNotFoundError" and out["no_revision"][0] == "RevisionNotFoundError"
    # The layout of the hub's cache, which other tools share.
    snapshot = tmp_path / "hub" / "models--org--plain" / "snapshots" / COMMITS["main"]
    assert (snapshot / "model.safetensors").is_file() and (snapshot / "sub" / "other.safetensors").is_file()
    assert (tmp_path / "hub" / "models--org--plain" / "refs" / "main").read_text() == COMMITS["main"]
    assert load(snapshot / "model.safetensors")["x"].tolist() == [1.0, 1.0]
    fetched = [path for method, path in Hub.log if method == "GET"]
    assert len(fetched) == len(set(fetched))
    # Once cached, no server is needed.
    offline = "for name in ('plain', 'sharded'):\n    out[name] = sorted(load(f'hf://org/{name}'))"
    found = run(offline, "http://127.0.0.1:9", tmp_path, HF_HUB_OFFLINE="1")
    assert found == {"plain": ["x"], "sharded": ["w0", "w1", "w2", "w3"]}


@pytest.mark.parametrize("address", [
    "hf://", "hf://name", "hf://a/b/../../etc/passwd", "hf://a/b@", "hf:///a/b", "hf://a b/c", "hf://a/b/c/../d",
])  # fmt: skip
def test_malformed_addresses(address):
    with pytest.raises(ValueError, match="expected 'hf://organisation/name'"):
        load(address)


def test_the_library_is_asked_for_when_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"needs the package 'huggingface_hub'.*rushlight\[hub\]"):
        hub.fetch("hf://org/plain")
