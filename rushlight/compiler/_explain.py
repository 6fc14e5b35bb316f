"""Owns saying why a function was compiled: in terms of arguments, attributes and module paths.

May import nothing of rushlight but what describes tensors.
"""

from __future__ import annotations

from typing import Any

_MODES = ("grad mode", "inference mode", "autocast", "the default dtype", "the default device")


class Explanation:
    """What ``compile.explain`` gives; printing it shows a list.

    Attributes:
        compiles: how often the function was compiled.
        reasons: why, in order.
        programs: how many programs are kept.
        calls: how often they ran.
        eager: for how many ways of calling it the function runs eagerly.
    """

    def __init__(self, name, reasons, programs, calls, eager):
        self.name, self.reasons, self.programs, self.calls, self.eager = name, reasons, programs, calls, eager
        self.compiles = len(reasons)

    def __repr__(self) -> str:
        lines = [f"{self.name}: compiled {self.compiles} times, {self.programs} programs kept, {self.calls} calls"]
        lines += [f"  {i}. {reason}" for i, reason in enumerate(self.reasons, 1)]
        if self.eager:
            lines.append(f"  runs eagerly for {self.eager} of its signatures (see the warning)")
        return "\n".join(lines)


def explain(function) -> Explanation:
    """How often a compiled function was compiled, and why each time.

    Args:
        function: what ``compile`` gave; a compiled module too.

    Raises:
        TypeError: something else.
    """
    compiled = getattr(function, "_compiled_function", function)
    if not hasattr(compiled, "entries"):
        raise TypeError(f"explain() takes what compile() gave, received {type(function).__name__}")
    entries = [e for held in compiled.entries.values() for e in held]
    kept = [e for e in entries if e is not None]
    return Explanation(
        compiled.name, list(compiled.history), len(kept), sum(e.runs for e in kept), len(entries) - len(kept)
    )


def why(compiled, key, leaves, failed) -> str:
    """The reason for the compilation that is about to happen, in words."""
    if failed is not None:
        return _phrase(compiled, failed)
    if not compiled.entries:
        return "it was called for the first time"
    (structure, now), best = key, None
    for other, then in compiled.entries:
        if other == structure and len(then) == len(now):
            found = [i for i, (a, b) in enumerate(zip(then, now)) if a != b]
            if best is None or len(found) < len(best[0]):
                best = found, then
    if best is None:
        return "it was called with other arguments"
    place = best[0][0]
    then = best[1]
    if place < len(_MODES):
        return f"{_MODES[place]} is {now[place]!r} instead of {then[place]!r}"
    tensor, what = divmod(place - len(_MODES), 5)
    what = ("shape", "dtype", "device", "requires_grad", "class")[what]
    return f"tensor argument {tensor} has {what} {_plain(now[place])} instead of {_plain(then[place])}"


def _plain(value) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)


def _module_name(compiled, module) -> str:
    for held in compiled.entries.values():
        for entry in held:
            if entry is not None:
                for m, _ in entry.modules:
                    if m is module:
                        path = entry.paths.get(id(module), "")
                        return f"module '{path}'" if path else f"the {type(module).__name__}"
    return f"a {type(module).__name__}"


def _tensor_name(compiled, tensor) -> str:
    for held in compiled.entries.values():
        for entry in held:
            if entry is None:
                continue
            for module, _ in entry.modules:
                for table in (module._parameters, module._buffers):
                    for name, value in table.items():
                        if value is tensor:
                            return f"'{'.'.join(filter(None, (entry.paths.get(id(module), ''), name)))}'"
    return f"a tensor of shape {list(tensor.shape)}"


def _phrase(compiled, failed) -> str:
    kind: Any = failed[0]
    if kind == "number":
        return f"argument{failed[1]} is {failed[3]!r} instead of {failed[2]!r}"
    if kind == "outcome":
        return f"{failed[1]} is {failed[3]!r} instead of {failed[2]!r}"
    if kind == "attribute":
        return f"'{failed[2]}' of {_module_name(compiled, failed[1])} is {failed[4]!r} instead of {failed[3]!r}"
    if kind == "name":
        return f"'{failed[2]}' is {_short(failed[4])} instead of {_short(failed[3])}"
    if kind == "slot":
        if failed[1] is None:
            return "a gradient is missing, or of another shape"
        return f"'{failed[1]}' is another tensor or module than before"
    if kind == "kind":
        return f"'{failed[1]}' is no {failed[2].__name__} any more"
    if kind == "contents":
        return f"the contents of '{failed[1]}' changed"
    if kind == "structure":
        return f"the parts or hooks of {_module_name(compiled, failed[1])} changed"
    if kind == "requires_grad":
        return f"requires_grad of {_tensor_name(compiled, failed[1])} is {failed[1].requires_grad}"
    if kind == "storage":
        return f"{_tensor_name(compiled, failed[1])} was given other data"
    if kind == "grad":
        there = "None" if failed[1]._grad is None else "there"
        return f"the gradient of {_tensor_name(compiled, failed[1])} is {there} at the start"
    if kind == "hooks":
        return "hooks changed"
    if kind == "layout":
        return f"tensor argument {failed[1]} lies otherwise in memory, or has another history"
    if kind == "shape":
        return "a tensor outside was given another shape in place"
    if kind == "identity":
        return f"{failed[1]} is another object than before, or one that the function refers to itself"
    if kind == "group":
        return f"an optimizer's {failed[1]} changed"
    if kind == "state":
        return "an optimizer's state was replaced, as load_state_dict does"
    if kind == "steps":
        return "an optimizer's step counts came apart"
    if len(failed) > 1:
        return f"'{failed[2]}' of an optimizer is {failed[4]!r} instead of {failed[3]!r}"
    return "an optimizer's option changed"


def _short(value) -> str:
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "..."
