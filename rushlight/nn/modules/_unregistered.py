"""Owns the warning about modules and parameters that stand in plain Python lists, where nothing finds them.

May import Parameter and the traversal.
"""

from __future__ import annotations

import sys
import warnings
from collections import OrderedDict
from collections.abc import Iterator

from ..parameter import Parameter
from ._traversal import Traversal

_CONTAINERS = (list, tuple, dict, OrderedDict)
_DEEPEST = 3
_PACKAGE = __name__.partition(".")[0]


def warn_unregistered(module) -> None:
    """Warn once if a module below ``module`` keeps modules or parameters where its traversal does not see them.

    Runs before the first call of the outermost module, for all modules below it, and marks them as looked at; an
    optimizer over no parameters runs it too. What is registered under a second name as well is not lost, so it is not
    mentioned.
    """
    known: set[int] = set()
    below = list(Traversal.named_modules(module))  # a subclass may refuse to list what it holds
    for _, part in below:
        known.add(id(part))
        known.update(map(id, part._parameters.values()))
    found = []
    for path, part in below:
        for name, value in part.__dict__.items():
            if type(value) in _CONTAINERS and value and name not in _OWN:
                lost = [item for item in _inside(value, _DEEPEST) if id(item) not in known]
                if lost:
                    found.append(_describe(path, part, name, value, lost))
        part.__dict__.setdefault("_hooked", True)
    if found:
        warnings.warn("\n".join(found), UserWarning, stacklevel=_users_level())


_OWN = frozenset({"_parameters", "_buffers", "_modules"})


def _users_level() -> int:
    """How far up the stack the user's own code is, for a warning of the caller of this function."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        level, frame = level + 1, frame.f_back
    return level


def _inside(value, depth: int) -> Iterator:
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, (Traversal, Parameter)):
            yield item
        elif depth and type(item) in _CONTAINERS:
            yield from _inside(item, depth - 1)


def _describe(path: str, part, name: str, value, lost: list) -> str:
    modules = [item for item in lost if not isinstance(item, Parameter)]
    kind = "Module" if modules else "Parameter"
    wrapper = f"nn.{kind}{'Dict' if isinstance(value, dict) else 'List'}"
    names = dict.fromkeys(type(item).__name__ for item in lost)
    where = f"{type(part).__name__}.{name}" + (f" (of '{path}')" if path else "")
    return (
        f"{where} is a plain {type(value).__name__} that holds {len(lost)} unregistered "
        f"{kind.lower()}{'s' if len(lost) > 1 else ''} ({', '.join(names)}): parameters(), state_dict(), to(), train() "
        f"and the optimizer do not see them. Register them with self.{name} = {wrapper}(...)."
    )
