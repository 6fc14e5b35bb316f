"""Owns ``hf://`` addresses: which file of a repository to load, fetched and cached by ``huggingface_hub``.

May import this folder; the library is imported on use, and obeys its own settings (HF_ENDPOINT, HF_HOME).
"""

from __future__ import annotations

import os
import re

from .safetensors_files import optional
from .shards import INDEX, read_index

_ADDRESS = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([^/]+))?(?:/(.+))?")
# What a repository may keep its weights in, the best first.
_CANDIDATES = (
    "model.safetensors", "model.safetensors" + INDEX, "pytorch_model.bin", "pytorch_model.bin" + INDEX,
    "diffusion_pytorch_model.safetensors", "open_clip_model.safetensors", "adapter_model.safetensors", "model.pt",
)  # fmt: skip


def fetch(address: str) -> str:
    """The path of a local copy of what an address names; the files of a sharded set come with it.

    Args:
        address: ``hf://organisation/name``, with ``@revision`` and ``/path/in/the/repository`` where wanted.

    Raises:
        ValueError: the address is malformed.
        FileNotFoundError: the repository has no file that could be meant.
        ImportError: ``huggingface_hub`` is not installed.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None or ".." in (match[3] or "").split("/"):
        raise ValueError(
            f"load({address!r}): expected 'hf://organisation/name', 'hf://organisation/name@revision' or "
            "'hf://organisation/name/path/to/file'."
        )
    hub = optional("huggingface_hub", f"load({address!r})", "hub")
    missing = optional("huggingface_hub.errors", f"load({address!r})", "hub").EntryNotFoundError
    repository, revision, wanted = match.groups()

    def get(name: str) -> str:
        return hub.hf_hub_download(repository, name, revision=revision, library_name="rushlight")

    for name in (wanted,) if wanted else _CANDIDATES:
        try:
            path = get(name)
        except missing:
            continue
        if name.endswith(INDEX):
            folder = os.path.dirname(name)
            for part in sorted(set(read_index(path)[0].values())):
                get(os.path.join(folder, part) if folder else part)
        return path
    raise FileNotFoundError(
        f"load({address!r}): expected {wanted or 'one of ' + ', '.join(_CANDIDATES)} in the repository"
        f"{f' at {revision}' if revision else ''}, found none. Name the file: 'hf://{repository}/path/to/file'."
    )
