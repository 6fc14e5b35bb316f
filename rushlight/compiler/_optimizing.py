"""Owns what a trace notes of optimizers: options that are read or set, steps, and what every call does besides.

May import the tensor class, the numbers that Python computes and what a program cannot repeat.
"""

from __future__ import annotations

from typing import Any

from .._tensor.tensor import Tensor
from ._contents import is_plain
from ._host import Assigned, HostNumber, plain
from ._numbers import Option
from ._outside import Unsupported


class Optimizing:
    """The side of a trace that optimizers and schedules talk to.

    Attributes:
        before, after: ``(action, optimizer)`` for what every call does before the program runs, and after it.
        options: the options that were read as constants.
        printed: what was printed, which is among ``after``.
        more: numbers outside that were written, and have to be computed on every call.
    """

    found: Any
    attributes: dict
    _note: Any

    def __init__(self):
        self.before: list = []
        self.after: list = []
        self.stepped: list = []
        self.rates: list = []
        self.options: dict = {}
        self.more: list = []
        self.printed: list = []

    def option(self, group, name: str, value) -> Any:
        """Note that an option of an optimizer's group was read; a number may come back as an input.

        Raises:
            Unsupported: after a schedule was stepped, which will write it.
        """
        if name == "params" or isinstance(value, Tensor):
            return value
        if self.actions(group.optimizer):
            raise Unsupported(
                f"'{name}' of an optimizer is read after a schedule was stepped", "Read it outside the function."
            )
        key = id(group.real), name
        number = self.attributes.get(key)
        if number is not None:
            return number
        if is_plain(value):
            self.options.setdefault(key, (group.real, name, value))
        else:
            self._note(group.real, name, value)
        return value

    def actions(self, optimizer) -> int:
        """How many things are to be done to an optimizer on every call."""
        return sum(o is optimizer and not isinstance(a, Assigned) for a, o in (*self.before, *self.after))

    def set_option(self, group, name: str, value):
        """Note that an option of an optimizer's group is set, as every call is to do; gives what it is set to.

        Raises:
            Unsupported: to something that is no number or mark, or where zero would make it another update.
        """
        value = value if type(value) is HostNumber else plain(value)
        late = type(value) is HostNumber and value.array is not None
        optional = getattr(group.optimizer, "_optional", ())
        if late or not (is_plain(value) and name in group.real and name not in optional):
            raise Unsupported(f"'{name}' of an optimizer's group is written", "Write it outside the function.")
        read = self.options.get((id(group.real), name))
        if read is not None and read[2] is not value:
            self.more.append(Option(group.real, name))
        self.host(Assigned(group.real, name, value), group.optimizer)
        return value

    def assignments(self) -> list:
        """The options of optimizers that are set on every call."""
        return [action for action, _ in (*self.before, *self.after) if isinstance(action, Assigned)]

    def host(self, action, optimizer) -> None:
        """Do something to an optimizer's numbers on every call: before the program, or after it.

        Raises:
            Unsupported: between two steps of the optimizer.
        """
        place = self.after if any(o is optimizer for o in self.stepped) else self.before
        place.append((action, optimizer))

    def step(self, optimizer, index, where, static, vector) -> None:
        """Note that an optimizer reads the numbers of a group, which live in ``vector``."""
        if any(o is optimizer for _, o in self.after):
            raise Unsupported(
                "a schedule is stepped between two steps of its optimizer",
                "Step the schedule once, after the last step or before the first one.",
            )
        self.stepped.append(optimizer)
        self.rates.append((optimizer, index, where, static))
        self.found.add_storage(vector)
