"""Owns ``torch.utils.model_zoo``, the older names of loading weights from an address; re-exports only.

May import hub and _errors.
"""

from typing import Any

from .. import hub as _hub
from .._errors import missing_name
from ..hub import load_state_dict_from_url as load_url


def __getattr__(name: str) -> Any:
    if name == "tqdm":
        return _hub.tqdm
    raise missing_name(__name__, name)


__all__ = ["load_url"]
