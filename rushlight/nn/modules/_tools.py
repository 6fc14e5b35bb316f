"""Owns what ``Module`` offers beyond torch: freezing by name, an evaluation block, captured outputs, and the audit.

May import the tape's modes and the audit beside it; none of these names takes one from a user's own attributes.
"""

from __future__ import annotations

import contextlib
import difflib
import fnmatch
import importlib
import types
from collections.abc import Iterator
from typing import Any

from ..._graph.modes import no_grad
from ..._tensor.tensor import Tensor

_TABLES = ("_parameters", "_buffers", "_modules")


class tool:
    """A method of ``Module`` that torch does not have: it gives way to anything that a module registers by its name."""

    def __init__(self, function):
        self.function = function
        self.__doc__, self.__name__, self.__wrapped__ = function.__doc__, function.__name__, function

    def __set_name__(self, owner, name: str) -> None:
        self.name = name

    def __get__(self, module, owner=None) -> Any:
        if module is None:
            return self.function
        for table in _TABLES:
            held = module.__dict__.get(table)
            if held and self.name in held:
                return held[self.name]
        return types.MethodType(self.function, module)


def is_tool(kind: type, name: str) -> bool:
    """Whether a name of a class is a tool, which a registration may hide."""
    return any(type(vars(base).get(name)) is tool for base in kind.__mro__ if name in vars(base))


def select(names: list[str], patterns: tuple[str, ...], what: str, below: bool = True) -> list[str]:
    """The names that a pattern matches, or (``below``) that lie below one that it matches.

    Raises:
        ValueError: a pattern matches nothing.
    """
    chosen: dict[str, None] = {}
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TypeError(f"{what}: expected names or patterns such as 'backbone.*', received {pattern!r:.60}")
        wider = pattern + ".*" if below else pattern
        found = [n for n in names if fnmatch.fnmatchcase(n, pattern) or fnmatch.fnmatchcase(n, wider)]
        if not found:
            near = difflib.get_close_matches(pattern.strip("*."), names, 3, 0.4) or names[:3]
            raise ValueError(f"{what}: nothing is named '{pattern}'. There are: {', '.join(near)}, ...")
        chosen.update(dict.fromkeys(found))
    return [n for n in names if n in chosen]


class Tools:
    """The part of ``Module`` that torch does not have."""

    @tool
    def freeze(self, *patterns: str) -> list[str]:
        """Let parameters keep their values: they get no gradients any more.

        Normalisation layers keep updating their running statistics in training mode; :meth:`audit` tells where.

        Args:
            patterns: names of parameters or modules, in which ``*`` stands for anything (dots too); a module's name
                means everything below it. None means all.

        Returns:
            list: the names of the parameters that were not frozen before.

        Raises:
            ValueError: a pattern matches nothing.

        Example:
            >>> from rushlight import nn
            >>> net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
            >>> net.freeze("0")
            ['0.weight', '0.bias']
            >>> net.unfreeze("*.bias")
            ['0.bias']
        """
        return _switch(self, patterns, False, "freeze()")

    @tool
    def unfreeze(self, *patterns: str) -> list[str]:
        """The opposite of :meth:`freeze`: parameters get gradients again.

        Args:
            patterns: as for ``freeze``.

        Returns:
            list: the names of the parameters that were frozen before.

        Raises:
            ValueError: a pattern matches nothing.
        """
        return _switch(self, patterns, True, "unfreeze()")

    @tool
    @contextlib.contextmanager
    def evaluating(self, grad: bool = False) -> Iterator[Any]:
        """A block in which the module and all below it are in evaluation mode, and nothing is recorded for gradients.

        Afterwards every module is in the mode it was in before, also where they differed.

        Args:
            grad: record for gradients all the same.

        Example:
            >>> from rushlight import nn
            >>> net = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2).eval())
            >>> with net.evaluating():
            ...     net[0].training
            False
            >>> net[0].training, net[1].training
            (True, False)
        """
        module: Any = self
        modes = [(m, m.training) for m in module.modules()]
        try:
            module.eval()
            with contextlib.nullcontext() if grad else no_grad():
                yield self
        finally:
            for part, mode in modes:
                part.training = mode

    @tool
    def capture(self, *patterns: str, detach: bool = True) -> Capture:
        """Keep what modules return, by their names, in a ``with`` block; compiled modules included.

        Args:
            patterns: names of modules, in which ``*`` stands for anything (dots too).
            detach: without their history. With it (``detach=False``) a compiled call runs eagerly instead.

        Returns:
            Capture: a mapping from names to outputs, which stays when the block has ended.

        Raises:
            ValueError: a pattern matches nothing.

        Example:
            >>> import rushlight as torch
            >>> net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())
            >>> with net.capture("*") as seen:
            ...     _ = net(torch.ones(1, 2))
            >>> list(seen), seen["1"].shape
            (['0', '1'], torch.Size([1, 3]))
        """
        module: Any = self
        named = {name: part for name, part in module.named_modules() if name}
        if not patterns:
            raise ValueError("capture(): expected names of modules or patterns such as 'layer3.*', received none")
        names = select(list(named), patterns, "capture()", below=False)
        return Capture(module, {name: named[name] for name in names}, detach)

    @tool
    def audit(self, *optimizers: Any) -> Any:
        """Look for the mistakes in how a model is put together and trained that raise no error.

        Parameters that no optimizer holds, and tensors it holds that are no longer the model's; modules and parameters
        in plain lists; batch normalisation that updates under frozen weights; modules in another mode than the rest;
        parameters that got no gradient in the last backward pass; shared parameters.

        Args:
            optimizers: those that train the model; without any, what concerns them is left out.

        Returns:
            Audit: a list of findings, each with ``kind``, ``path``, ``message`` and ``remedy``; prints one a line.

        Example:
            >>> import rushlight as torch
            >>> net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
            >>> net.audit(torch.optim.SGD(net[0].parameters(), lr=0.1))
            1.weight, 1.bias: no optimizer holds these 2 parameters, so they stay as they are. Pass them to the
                optimizer, or freeze them: model.freeze('1').
        """
        from ._audit import audit

        return audit(self, optimizers)

    @tool
    def _repr_html_(self) -> str:
        """The module's tree for notebooks: treescope's where it is installed, else that of ``rushlight view``."""
        return importlib.import_module("rushlight.inspect.view").module_html(self)

    @tool
    def __treescope_repr__(self, path: str | None, subtree_renderer: Any) -> Any:
        """How treescope shows the module."""
        return importlib.import_module("rushlight.inspect.treescope_tree").render(self, path, subtree_renderer)


def _switch(module: Any, patterns: tuple[str, ...], wants: bool, what: str) -> list[str]:
    named = dict(module.named_parameters())
    chosen = select(list(named), patterns, what) if patterns else list(named)
    changed = [name for name in chosen if named[name]._requires_grad is not wants]
    for name in changed:
        named[name].requires_grad_(wants)
    return changed


class Capture:
    """What modules returned, by name; made by ``Module.capture``.

    Each holds the output of its last call; ``calls(name)`` has all of them of the last call of the model. A compiled
    program does not run hooks: outputs are kept as attributes of the modules, which a program writes like any state.
    """

    def __init__(self, root: Any, modules: dict[str, Any], detach: bool):
        self._root, self._modules, self._detach = root, modules, detach
        self._count: dict[str, int] = {}
        self._shapes: dict[tuple[str, int], Any] = {}
        self._handles: list[Any] = []
        self._kept: dict[tuple[str, int], Any] = {}

    def __enter__(self) -> Capture:
        def begin(module, args) -> None:
            self._count.clear()

        self._handles = [self._root.register_forward_pre_hook(begin, prepend=True)]
        for name, module in self._modules.items():
            self._handles.append(module.register_forward_hook(_keeper(self, name)))
        return self

    def __exit__(self, *exc) -> None:
        for handle in self._handles:
            handle.remove()
        self._kept = {key: self._get(*key) for key in self._shapes}
        for (name, _), shape in self._shapes.items():
            for slot in _slots(shape):
                self._modules[name].__dict__.pop(slot, None)

    def _get(self, name: str, call: int) -> Any:
        held = self._modules[name].__dict__
        return _fill(self._shapes[name, call], held)

    def calls(self, name: str) -> list[Any]:
        """Every output of a module during the last call of the model.

        Raises:
            KeyError: it is not captured, or was not called.
        """
        if name not in self._modules:
            raise KeyError(f"'{name}' is not captured; captured are {', '.join(self._modules)}")
        places = [(name, i) for i in range(self._count.get(name, 0))]
        made = [self._kept[place] if place in self._kept else self._get(*place) for place in places]
        if not made:
            raise KeyError(f"'{name}' was not called in the block")
        return made

    def __getitem__(self, name: str) -> Any:
        return self.calls(name)[-1]

    def __contains__(self, name: object) -> bool:
        return name in self._count

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._modules if name in self._count)

    def __len__(self) -> int:
        return len(self._count)

    def keys(self) -> list[str]:
        """The names of the modules that were called."""
        return list(self)

    def items(self) -> list[tuple[str, Any]]:
        """Names and outputs."""
        return [(name, self[name]) for name in self]

    def __repr__(self) -> str:
        lines = [f"{name}: {_describe(value)}" for name, value in self.items()]
        return "Capture(" + "".join(f"\n  {line}" for line in lines) + ("\n)" if lines else ")")


class _Slot(str):
    """The name of the attribute that stands for a tensor in an output."""


def _keeper(capture: Capture, name: str) -> Any:
    """The hook of one module; a function, whose closure a compiled program takes for no state of the user's."""

    def keep(module, args, output) -> None:
        _keep(capture, name, module, args, output)

    return keep


def _keep(capture: Capture, name: str, module: Any, args: tuple, output: Any) -> None:
    call = capture._count.get(name, 0)
    capture._count[name] = call + 1
    capture._shapes[name, call] = _store(output, module.__dict__, f"_captured {name} {call}", capture._detach)


def _store(value: Any, held: dict, slot: str, detach: bool) -> Any:
    if isinstance(value, Tensor):
        held[slot] = value.detach() if detach else value
        return _Slot(slot)
    if isinstance(value, dict):
        return type(value)((k, _store(v, held, f"{slot} {k}", detach)) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        items = [_store(v, held, f"{slot} {i}", detach) for i, v in enumerate(value)]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


def _fill(shape: Any, held: dict) -> Any:
    if isinstance(shape, _Slot):
        return held[shape]
    if isinstance(shape, dict):
        return type(shape)((k, _fill(v, held)) for k, v in shape.items())
    if isinstance(shape, (list, tuple)):
        items = [_fill(v, held) for v in shape]
        return type(shape)(*items) if hasattr(shape, "_fields") else type(shape)(items)
    return shape


def _slots(shape: Any) -> Iterator[str]:
    if isinstance(shape, _Slot):
        yield shape
    elif isinstance(shape, (dict, list, tuple)):
        for item in shape.values() if isinstance(shape, dict) else shape:
            yield from _slots(item)


def _describe(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{list(value.shape)} {value.dtype!r}"
    return type(value).__name__
