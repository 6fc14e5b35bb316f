"""Owns the parameter groups of optimizers around a trace: which options are read, and that all is as it was later.

May import nothing of rushlight: an optimizer is known by its attributes.
"""

from __future__ import annotations

from operator import is_

OF_ALL = frozenset({
    "_cells", "_opt_called", "_optimizer_load_state_dict_post_hooks", "_optimizer_load_state_dict_pre_hooks",
    "_optimizer_state_dict_post_hooks", "_optimizer_state_dict_pre_hooks", "_optimizer_step_post_hooks",
    "_optimizer_step_pre_hooks", "_preparing", "defaults", "param_groups", "state", "step",
})  # fmt: skip


class Group(dict):
    """A parameter group while a function is traced: it tells the trace which options are read.

    Args:
        real: the group in whose place it stands.
        optimizer: whose group it is.
        trace: whom to tell.
    """

    __slots__ = ("given", "optimizer", "real", "trace")

    def __init__(self, real, optimizer, trace):
        super().__init__(real)
        self.real, self.optimizer, self.trace = real, optimizer, trace
        self.given: dict = {}

    def __getitem__(self, name):
        value = super().__getitem__(name)
        return value if self._known(name) else self.trace.option(self, name, value)

    def get(self, name, default=None):
        value = super().get(name, default)
        return value if self._known(name) else self.trace.option(self, name, value)

    def __setitem__(self, name, value):
        super().__setitem__(name, self.trace.set_option(self, name, value))
        self.given[name] = self.trace.actions(self.optimizer)

    def update(self, *args, **kwargs):
        for name, value in dict(*args, **kwargs).items():
            self[name] = value

    def _known(self, name) -> bool:
        """Whether the function itself gave the option its value, and no schedule was stepped since."""
        return name in self.given and self.given[name] == self.trace.actions(self.optimizer)

    def setdefault(self, name, default=None):
        super().setdefault(name, default)
        return self[name]

    def __iter__(self):
        return super().__iter__()  # dict(), update() and ** ask a class for its values only where it has this

    def copy(self):
        return dict(self)

    def __or__(self, other):
        return dict(self) | other

    def __ror__(self, other):
        return other | dict(self)

    def values(self):
        return [self[name] for name in self]

    def items(self):
        return [(name, self[name]) for name in self]

    def __reduce__(self):
        return dict, (dict(self.items()),)


class Groups:
    """The groups of the optimizers that a function may step, for the length of a trace.

    Args:
        optimizers: whose groups.
        trace: whom to tell of what is read.
        theirs: those whose class is a user's, which may have attributes of its own.
    """

    def __init__(self, optimizers, trace, theirs=()):
        self._own = [(vars(o), OF_ALL.union(vars(o))) for o in theirs]
        self._kept = [(o.param_groups, list(o.param_groups)) for o in optimizers]
        for o, (there, groups) in zip(optimizers, self._kept):
            there[:] = [Group(g, o, trace) for g in groups]

    def written(self) -> str | None:
        """The name of an option that the function wrote; None where it wrote none."""
        for there, groups in self._kept:
            if len(there) != len(groups):
                return "params"
            for now, before in zip(there, groups):
                if getattr(now, "real", None) is not before:
                    return "params"
                for name in (*before, *now):
                    if name in now.given:
                        continue
                    if name not in now or name not in before or dict.__getitem__(now, name) is not before[name]:
                        return name
        return None

    def added(self) -> str | None:
        """The name of an attribute that an optimizer was given; None where there is none."""
        return next((name for own, before in self._own for name in own if name not in before), None)

    def put_back(self) -> None:
        """The trace is over."""
        for own, before in self._own:
            for name in [name for name in own if name not in before]:
                del own[name]
        for there, groups in self._kept:
            there[:] = groups


class Held:
    """What an optimizer looks like besides the values it holds: its groups and its hooks.

    Args:
        optimizer: the optimizer.
    """

    def __init__(self, optimizer):
        self.optimizer = optimizer
        self.groups = [
            (g, list(g["params"]), [(name, value) for name, value in g.items() if _is_tensor(value)])
            for g in optimizer.param_groups
        ]
        self.hooks = _hooks(optimizer)

    def fails(self) -> str | None:
        """What is different; None where nothing is."""
        groups = self.optimizer.param_groups
        if len(groups) != len(self.groups):
            return "parameters"
        for now, (group, params, tensors) in zip(groups, self.groups):
            if now is not group:
                return "groups"
            held = now["params"]
            if len(held) != len(params) or not all(map(is_, held, params)):
                return "parameters"
            if tensors and any(now.get(name) is not value for name, value in tensors):
                return "tensors"
        return "hooks" if _hooks(self.optimizer) != self.hooks else None


def _is_tensor(option) -> bool:
    return any(hasattr(v, "_storage") for v in (option if type(option) is tuple else (option,)))


def tables(optimizer) -> tuple:
    """The tables of hooks that surround a step."""
    own = getattr(optimizer, "_optimizer_step_pre_hooks", {}), getattr(optimizer, "_optimizer_step_post_hooks", {})
    return (*own, *getattr(optimizer, "_hooks_of_all", ()))


def _hooks(optimizer) -> list:
    return [hook for table in tables(optimizer) if table for hook in table.values()]


def equal_scalars(optimizers):
    """Slots of 0-dim state that hold one array, such as the step count of a group's parameters of equal age."""
    for optimizer in optimizers:
        # Groups are updated one after the other, and what they shared before, they do not share after.
        group_of = {id(p): n for n, group in enumerate(optimizer.param_groups) for p in group["params"]}
        groups: dict = {}
        for owner, held in list(optimizer.state.items()):
            if isinstance(held, dict):
                for value in held.values():
                    if hasattr(value, "_storage") and value.dim() == 0 and not value._path:
                        key = group_of.get(id(owner)), id(value._storage.array)
                        groups.setdefault(key, []).append(value._storage)
        yield from (group for group in groups.values() if len(group) > 1)
