"""Owns ``torch.hub``: weights from an address, and models from a folder with a ``hubconf.py``.

May import checkpoint and _errors; the network only inside the calls that name an address.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import Request, urlopen

from ._errors import missing_name, not_supported
from .checkpoint import load as _load_file

#: A file named ``name-0123abcd.pth`` says how its SHA-256 begins.
HASH_REGEX = re.compile(r"-([a-f0-9]*)\.")
_CHUNK = 1 << 20
_Names = list  # ``list`` is a function of torch's below
_folder: _Names[str] = []


def get_dir() -> str:
    """Where downloads are kept: what ``set_dir`` said, else ``$TORCH_HOME/hub``, else ``~/.cache/torch/hub``.

    Example:
        >>> import os, rushlight as torch
        >>> os.path.basename(torch.hub.get_dir())
        'hub'
    """
    return _folder[-1] if _folder else os.path.join(_get_torch_home(), "hub")


def set_dir(d: str | os.PathLike) -> None:
    """Keep downloads in this folder.

    Args:
        d: the folder; it is made when something is first kept in it.
    """
    _folder[:] = [os.path.expanduser(os.fsdecode(d))]


def _get_torch_home() -> str:
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return os.path.expanduser(os.environ.get("TORCH_HOME", os.path.join(cache, "torch")))


def download_url_to_file(url: str, dst: str, hash_prefix: str | None = None, progress: bool = True) -> None:
    """Fetch an address into a file, which appears only when it is whole.

    Args:
        url: what to fetch.
        dst: the path of the file.
        hash_prefix: how the SHA-256 of the contents must begin.
        progress: show on a terminal how much has come.

    Raises:
        RuntimeError: the contents have another SHA-256.
        URLError: there is no answer.
    """
    dst = os.path.expanduser(dst)
    digest, done = hashlib.sha256(), 0
    with urlopen(Request(url, headers={"User-Agent": "rushlight"})) as answer:
        total = int(answer.headers.get("Content-Length") or 0)
        part = tempfile.NamedTemporaryFile(  # noqa: SIM115
            dir=os.path.dirname(dst) or ".", delete=False
        )
        try:
            with part:
                while chunk := answer.read(_CHUNK):
                    part.write(chunk)
                    digest.update(chunk)
                    done += len(chunk)
                    if progress and sys.stderr.isatty():
                        print(f"\r{done / 1e6:.1f} of {total / 1e6:.1f} MB", end="", file=sys.stderr, flush=True)
            if progress and sys.stderr.isatty():
                print(file=sys.stderr)
            if hash_prefix is not None and not digest.hexdigest().startswith(hash_prefix):
                raise RuntimeError(f'invalid hash value (expected "{hash_prefix}", got "{digest.hexdigest()}")')
            shutil.move(part.name, dst)
        finally:
            Path(part.name).unlink(missing_ok=True)


_download_url_to_file = download_url_to_file  # its name before PyTorch 1.2


def load_state_dict_from_url(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool = False,
) -> Any:
    """Load a checkpoint from an address; the file is kept and used again.

    Args:
        url: what to fetch, if it is not there yet.
        model_dir: where to keep it; default ``get_dir()/checkpoints``.
        map_location: as for ``torch.load``.
        progress: show on a terminal how much has come.
        check_hash: the file's name says how its SHA-256 begins (``name-0123abcd.pth``), and it must.
        file_name: how to call the file.
        weights_only: as for ``torch.load``, which runs nothing from a file either way.

    Raises:
        RuntimeError: the contents do not have the SHA-256 that the name says.
        URLError: there is no answer.
    """
    folder = model_dir or os.path.join(get_dir(), "checkpoints")
    os.makedirs(folder, exist_ok=True)
    name = file_name or os.path.basename(urlparse(url).path)
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        found = HASH_REGEX.search(name) if check_hash else None
        download_url_to_file(url, path, found.group(1) if found else None, progress)
    return _load_file(path, map_location=map_location, weights_only=weights_only)


def _hubconf(repo_or_dir: str, source: str) -> Any:
    if source not in ("github", "local"):
        raise ValueError(f'Unknown source: "{source}". Allowed values: "github" | "local".')
    if source == "github":
        raise not_supported(
            f"torch.hub with source='github' (here {repo_or_dir!r}), which runs code from the network,",
            "Clone the repository and call torch.hub.load(folder, model, source='local').",
        )
    path = Path(repo_or_dir).expanduser() / "hubconf.py"
    if not path.is_file():
        raise FileNotFoundError(f"torch.hub: expected a folder with a hubconf.py, received {str(repo_or_dir)!r}")
    spec = importlib.util.spec_from_file_location("hubconf", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    missing = [one for one in getattr(module, "dependencies", ()) if importlib.util.find_spec(one) is None]
    if missing:
        raise RuntimeError(f"Missing dependencies: {', '.join(missing)}")
    return module


def _entry(module: Any, name: str) -> Callable:
    if not isinstance(name, str):
        raise ValueError("Invalid input: model should be a str of function name")
    made = getattr(module, name, None)
    if not callable(made):
        offered = ", ".join(_entries(module)) or "none"
        raise RuntimeError(f"Cannot find callable {name} in hubconf; it offers {offered}")
    return made


def _entries(module: Any) -> _Names[str]:
    return [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]


def load(repo_or_dir: str, model: str, *args: Any, source: str = "github", **kwargs: Any) -> Any:
    """Call a function of a folder's ``hubconf.py``; the other arguments go to it.

    Args:
        repo_or_dir: the folder.
        model: the name of the function.
        source: ``"local"``; torch's default ``"github"`` is not supported.

    Raises:
        NotImplementedError: the source is GitHub.
        RuntimeError: no such function, or a package that it needs is missing.
    """
    for option in ("trust_repo", "force_reload", "verbose", "skip_validation"):
        kwargs.pop(option, None)  # they are about GitHub
    return _entry(_hubconf(repo_or_dir, source), model)(*args, **kwargs)


def list(github: str, *, source: str = "github", **about_github: Any) -> _Names[str]:
    """The functions that a folder's ``hubconf.py`` offers; arguments as for ``load``.

    Raises:
        NotImplementedError: the source is GitHub.
    """
    return _entries(_hubconf(github, source))


def help(github: str, model: str, *, source: str = "github", **about_github: Any) -> str | None:
    """The documentation of one function of a ``hubconf.py``; arguments as for ``load``.

    Raises:
        NotImplementedError: the source is GitHub.
    """
    return _entry(_hubconf(github, source), model).__doc__


def __getattr__(name: str) -> Any:
    if name == "tqdm":
        try:
            from tqdm import tqdm
        except ModuleNotFoundError as problem:
            raise AttributeError(
                "torch.hub.tqdm: expected the package tqdm, which is not installed: pip install tqdm", name=name
            ) from problem
        return tqdm
    raise missing_name(__name__, name)


__all__ = ["download_url_to_file", "get_dir", "help", "list", "load", "load_state_dict_from_url", "set_dir"]
