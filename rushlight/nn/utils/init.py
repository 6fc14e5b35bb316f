"""Owns ``skip_init``: modules without initialised parameters.

May import Module.
"""

from __future__ import annotations

import inspect
from typing import Any

from ..modules.module import Module


def skip_init(module_cls: type, *args: Any, **kwargs: Any) -> Any:
    """Make a module without giving its parameters values: faster where a checkpoint follows.

    Args:
        module_cls: a class that takes ``device``.
        args, kwargs: for the class; ``device`` is where the module ends up.

    Raises:
        RuntimeError: not a module class, or one that takes no ``device``.

    Example:
        >>> from rushlight import nn
        >>> skip_init(nn.Linear, 5, 1).weight.shape
        torch.Size([1, 5])
    """
    if not issubclass(module_cls, Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    where = kwargs.pop("device", "cpu")
    return module_cls(*args, **{**kwargs, "device": "meta"}).to_empty(device=where)


__all__ = ["skip_init"]
