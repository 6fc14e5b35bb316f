"""Looking at models and checkpoints: ``summary``, files as lists of tensors, statistics, differences, the HTML page.

May import everything but the command line; each part is imported when it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Entry": "source",
    "Source": "source",
    "UnreadableFile": "source",
    "open_source": "source",
    "Summary": "layer_table",
    "statistics": "stats",
    "summary": "layer_table",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
