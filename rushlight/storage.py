"""Owns ``torch.storage``: the public home of the storage class; re-exports only.

May import the tensor's storage and _errors.
"""

from typing import Any

from ._errors import missing_name
from ._tensor.storage import UntypedStorage


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["UntypedStorage"]
