"""Owns the audit of a model: what is wrong with how it is put together and trained, though nothing raises an error.

May import the check for unregistered modules and the traversal.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ._traversal import walk
from ._unregistered import _CONTAINERS, _DEEPEST, _OWN, _describe, _inside

_MOST = 4


@dataclass(frozen=True)
class Finding:
    """One thing that an audit found.

    Attributes:
        kind: ``"unoptimized"``, ``"foreign"``, ``"hidden"``, ``"statistics"``, ``"mode"``, ``"no gradient"`` or
            ``"shared"``.
        path: the module or parameter; of several, the first.
        message: what is the case.
        remedy: what to do about it.
        paths: all modules or parameters that it is about.
    """

    kind: str
    path: str
    message: str
    remedy: str
    paths: tuple[str, ...] = ()

    def __str__(self) -> str:
        some = ", ".join(p if p else repr(p) for p in self.paths[:_MOST])
        more = f" and {len(self.paths) - _MOST} more" if len(self.paths) > _MOST else ""
        text = f"{some or 'the model'}{more}: {self.message}. {self.remedy}"
        return textwrap.fill(text, 100, subsequent_indent="    ", break_on_hyphens=False, break_long_words=False)


class Audit(list):
    """The findings of an audit, the worst first; prints one a line."""

    def of(self, kind: str) -> Audit:
        """The findings of one kind."""
        return Audit(f for f in self if f.kind == kind)

    def __repr__(self) -> str:
        return "\n".join(map(str, self)) or "nothing found"


def audit(module: Any, optimizers: Iterable[Any]) -> Audit:
    """See ``Module.audit``."""
    optimizers = list(optimizers)
    for optimizer in optimizers:
        if not hasattr(optimizer, "param_groups"):
            raise TypeError(
                f"audit(): expected optimizers, received {type(optimizer).__name__}. Call model.audit(optimizer)."
            )
    found = Audit(_hidden(module))
    if optimizers:
        found += _optimized(module, optimizers)
    found += _without_gradient(module)
    found += _statistics(module)
    found += _modes(module)
    found += _shared(module)
    return found


def _common(paths: list[str]) -> str:
    """The shortest pattern that covers these names and looks like what somebody would write."""
    parts = [p.split(".")[:-1] for p in paths]
    shared = []
    for level in zip(*parts):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return ".".join(shared)


def _pattern(paths: list[str]) -> str:
    common = _common(paths)
    return repr(common) if common else ", ".join(map(repr, paths[:_MOST]))


def _plural(count: int, what: str) -> str:
    return f"this {what}" if count == 1 else f"these {count} {what}s"


def _optimized(module: Any, optimizers: list[Any]) -> Iterator[Finding]:
    held = {id(p): p for o in optimizers for group in o.param_groups for p in group["params"]}
    named = dict(module.named_parameters())
    lost = [name for name, p in named.items() if p._requires_grad and id(p) not in held]
    if lost:
        they = "it stays as it is" if len(lost) == 1 else "they stay as they are"
        yield Finding(
            "unoptimized", lost[0], f"no optimizer holds {_plural(len(lost), 'parameter')}, so {they}",
            f"Pass {'it' if len(lost) == 1 else 'them'} to the optimizer, or freeze "
            f"{'it' if len(lost) == 1 else 'them'}: model.freeze({_pattern(lost)}).", tuple(lost),
        )  # fmt: skip
    own = {id(p) for p in named.values()}
    strange = [p for key, p in held.items() if key not in own]
    if strange:
        shapes = ", ".join(str(list(p.shape)) for p in strange[:_MOST])
        yield Finding(
            "foreign", "",
            f"the optimizer updates {len(strange)} tensors that are no parameters of it (shapes {shapes})",
            "If they were parameters when it was made, the model has got others since: make the optimizer after "
            "replacing layers or loading with assign=True.",
        )  # fmt: skip


def _hidden(module: Any) -> Iterator[Finding]:
    below = list(walk(module))
    known = {id(part) for _, part in below}
    known.update(id(p) for _, part in below for p in part._parameters.values())
    for path, part in below:
        for name, value in part.__dict__.items():
            if type(value) in _CONTAINERS and value and name not in _OWN:
                lost = [item for item in _inside(value, _DEEPEST) if id(item) not in known]
                if lost:
                    what, _, remedy = _describe("", part, name, value, lost).partition(". Register")
                    place = f"{path}.{name}" if path else name
                    yield Finding("hidden", place, what, "Register" + remedy, (place,))


def _without_gradient(module: Any) -> Iterator[Finding]:
    named = [(name, p) for name, p in module.named_parameters() if p._requires_grad]
    missed = [name for name, p in named if p.grad is None]
    if missed and len(missed) < len(named):
        yield Finding(
            "no gradient", missed[0],
            f"{_plural(len(missed), 'parameter')} got no gradient in the last backward pass, others did",
            "Check that forward() uses the layer and that nothing on the way detaches it (.detach(), .data, .item(), "
            f"no_grad); if it is not meant to train, model.freeze({_pattern(missed)}).", tuple(missed),
        )  # fmt: skip


def _statistics(module: Any) -> Iterator[Finding]:
    found = []
    for path, part in walk(module):
        if not part.training or part._buffers.get("running_mean") is None:
            continue
        if not getattr(part, "track_running_stats", True):
            continue
        weights = [p for p in part._parameters.values() if p is not None]
        if not weights:
            # Without weights of its own it belongs to the layers beside it.
            weights = list(module.get_submodule(path.rpartition(".")[0]).parameters())
        if weights and not any(p._requires_grad for p in weights):
            found.append(path)
    if found:
        kind = type(module.get_submodule(found[0])).__name__
        they = "updates its running statistics" if len(found) == 1 else "update their running statistics"
        yield Finding(
            "statistics", found[0], f"{kind} {they} on every training batch, though the weights are frozen",
            f"Put {'it' if len(found) == 1 else 'them'} into evaluation mode after model.train(): "
            f"model.get_submodule({found[0]!r}).eval().", tuple(found),
        )  # fmt: skip


def _modes(module: Any) -> Iterator[Finding]:
    other: list[str] = []
    for path, part in walk(module):
        above = any(not p or path.startswith(p + ".") for p in other)
        if part.training is not module.training and not above:
            trained = list(part.parameters())
            frozen = trained and not any(p._requires_grad for p in trained)
            if part.training or not frozen:  # frozen layers are put into evaluation mode on purpose
                other.append(path)
    if other:
        mode, rest = ("training", "evaluation") if not module.training else ("evaluation", "training")
        call = "eval" if not module.training else "train"
        yield Finding(
            "mode", other[0],
            f"in {mode} mode while the model is in {rest} mode (dropout and normalisation behave differently)",
            f"Call model.{call}(); for a while only, use 'with model.evaluating():', which puts every mode back.",
            tuple(other),
        )  # fmt: skip


def _shared(module: Any) -> Iterator[Finding]:
    names: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    for group in names.values():
        if len(group) > 1:
            yield Finding(
                "shared", group[0], "one parameter under several names; it counts, trains and is saved once",
                "If that is not meant, give each its own: copy.deepcopy(layer).", tuple(group),
            )  # fmt: skip
