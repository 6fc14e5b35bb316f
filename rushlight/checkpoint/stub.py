"""Owns ``Stub``, the inert stand-in for an object whose class a file names and rushlight does not build.

May import only the standard library.
"""

from __future__ import annotations

from .brief import brief


class Stub:
    """What a file says about an object of a class that is not allowed to be built: a record, with no behaviour.

    Attributes:
        class_name: the class or function the file names, for example ``"mylib.model.Net"``.
        args: what the file would have passed to it; None for a bare reference to the class itself.
        kwargs: keyword arguments, likewise.
        state: the object's saved ``__dict__`` (or whatever its ``__getstate__`` gave); None where there was none.
        items: elements, for a subclass of list or set.
        entries: keys and values, for a subclass of dict.
        home: the module and the name in it, where the file gives them apart.
        call: the function and the arguments of the call that the file asks for, if any; ``save`` writes it back.

    Example:
        >>> Stub("mylib.Net", (), state={"training": True})
        <Stub mylib.Net: state with 1 entries>
    """

    __slots__ = ("__weakref__", "args", "call", "class_name", "entries", "home", "items", "kwargs", "state")

    def __init__(
        self, class_name: str, args: tuple | None = None, kwargs: dict | None = None, state=None, home=None, call=None
    ):
        self.class_name = class_name
        self.home: tuple[str, str] = home or (class_name.rpartition(".")[0], class_name.rpartition(".")[2])
        self.call: tuple | None = call
        self.args = args
        self.kwargs = kwargs
        self.state = state
        self.items: list = []
        self.entries: dict = {}

    @property
    def is_reference(self) -> bool:
        """Whether the file only names the class or function, without making an object of it."""
        return self.args is None

    def __repr__(self) -> str:
        if self.args is None:
            return f"<Stub {self.class_name}: reference>"
        notes = []
        if self.state is not None:
            notes.append(f"state with {len(self.state)} entries" if isinstance(self.state, dict) else "state")
        if self.items:
            notes.append(f"{len(self.items)} items")
        if self.entries:
            notes.append(f"{len(self.entries)} entries")
        if self.args and not notes:
            notes.append(f"made from {', '.join(f'{brief(a, 40)}' for a in self.args[:4])}")
        return f"<Stub {self.class_name}: {', '.join(notes) or 'no state'}>"

    def __getattr__(self, name: str):
        # Python's own protocols probe for dunder names; only a user's access deserves the long answer.
        if name.startswith("__") or name in Stub.__slots__:
            raise AttributeError(name)
        tensors = isinstance(self.state, dict) and "_modules" in self.state
        whole = "its tensors with `rushlight.checkpoint.state_dict_of(stub)`"
        where = whole if tensors else "what was saved from `.state`"
        raise AttributeError(
            f"'{self.class_name}' was not built when the checkpoint was read: expected a class that is allowed, "
            f"received a stub without attribute '{name}'. Read {where}, or call "
            f"`torch.serialization.add_safe_globals([...])` with the class before loading, to have it built."
        )

    def __call__(self, *args, **kwargs):
        raise TypeError(
            f"'{self.class_name}' was not built when the checkpoint was read: expected a class that is allowed, "
            "received a call on a stub. Call `torch.serialization.add_safe_globals([...])` with the class before "
            "loading."
        )
