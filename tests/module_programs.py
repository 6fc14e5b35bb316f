"""Runs one program in both libraries and puts what came of it, errors and warnings included, in comparable form."""

from __future__ import annotations

import warnings


def plain(value):
    """A value as text, numbers and lists, with torch's names for types."""
    kind = type(value)
    if isinstance(value, str):
        return value.replace("rushlight", "torch")
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}".replace("rushlight", "torch")
    if hasattr(value, "detach") and hasattr(value, "tolist"):
        return kind.__name__, str(value.dtype), tuple(value.shape), value.requires_grad, value.tolist()
    if hasattr(value, "named_modules"):
        return repr(value)
    if isinstance(value, dict):
        return {str(plain(k)): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [plain(v) for v in (sorted(value) if isinstance(value, (set, frozenset)) else value)]
        return [kind.__name__, items, repr(value) if hasattr(value, "_fields") else ""]
    return value


class Log(list):
    """What a program reports; ``log.tried(f)`` adds a result, or the exception."""

    def tried(self, function) -> None:
        try:
            self.append(plain(function()))
        except Exception as error:
            self.append((type(error).__name__, [plain(a) for a in error.args]))

    def add(self, *values) -> None:
        self.extend(plain(v) for v in values)


def run(program, t) -> list:
    """What ``program(t, log)`` reports, then its warnings."""
    log = Log()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        program(t, log)
    log += [(w.category.__name__, str(w.message)) for w in caught]
    return log


def small(t, extra: str = "", call=None):
    """A module with two parameters, a buffer, one of each kind of None slot, and a non-persistent buffer."""

    class Small(t.nn.Module):
        def __init__(self, size=2):
            super().__init__()
            self.size = size
            self.weight = t.nn.Parameter(t.arange(float(size)))
            self.bias = t.nn.Parameter(t.ones(size))
            self.register_parameter("absent", None)
            self.register_buffer("mean", t.zeros(size))
            self.register_buffer("scratch", t.zeros(1), persistent=False)
            self.register_buffer("nothing", None)

        def forward(self, x):
            return x * self.weight + self.bias

        def extra_repr(self):
            return extra or f"{self.size}"

    return Small


def tree(t):
    """A net with a shared module, nested containers and an empty slot."""
    small_ = small(t)
    net = t.nn.Sequential(small_(), t.nn.Sequential(small_(3), small_(1)))
    net.add_module("named", t.nn.ModuleDict({"a": small_(), "b": net[0]}))
    net.register_module("empty", None)
    return net
