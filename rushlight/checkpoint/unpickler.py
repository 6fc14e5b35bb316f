"""Owns the pickle interpreter: it moves data, and asks a policy for everything that would name, call or fill in.

May import only the standard library; knows protocols 2 to 5 and refuses every other opcode.
"""

from __future__ import annotations

import pickle
import struct
from collections import deque
from collections.abc import Callable
from typing import Any

from .stub import Stub

_CHUNK = 1 << 20
_LINE = 1 << 12
_U8, _U16, _U32, _U64, _I32, _F64 = map(struct.Struct, ("<B", "<H", "<I", "<Q", "<i", ">d"))
_DAMAGE = (IndexError, KeyError, struct.error, UnicodeDecodeError, ValueError, TypeError, OverflowError, AttributeError)


class CallerError(Exception):
    """Carries an exception out of the caller's own function, past the handling of damaged files."""

    def __init__(self, error: Exception):
        super().__init__(str(error))
        self.error = error


class Unpickler:
    """Reads one pickle.

    Args:
        file: has ``read`` and ``readline``.
        policy: decides on names, calls and states.
        persistent_load: takes a persistent id, gives the object.
        encoding: for strings that Python 2 wrote; ``"bytes"`` leaves them as bytes.

    Raises:
        UnpicklingError: the pickle is damaged, or asks for what the policy refuses.
        EOFError: there is no pickle.
    """

    def __init__(self, file, policy, persistent_load: Callable[[Any], Any], encoding: str = "utf-8"):
        self._read = file.read
        self._readline = file.readline
        self._policy = policy
        self._persistent_load = persistent_load
        self._encoding = encoding

    def load(self):
        """The object that the pickle describes."""
        self._stack: list = []
        self._marks: list = []
        self._memo: dict[int, Any] = {}
        read, table = self._read, _TABLE
        code = read(1)
        if not code:
            raise EOFError("Ran out of input: expected a checkpoint, received an empty file.")
        try:
            while code != b".":
                step = table.get(code)
                if step is None:
                    raise pickle.UnpicklingError(_unknown(code))
                step(self)
                code = read(1)
            if len(self._stack) != 1 or self._marks:
                raise pickle.UnpicklingError("pickle in a checkpoint ends with values left over. The file is damaged.")
            return self._stack[0]
        except CallerError as carried:
            raise carried.error from None
        except RecursionError as error:
            raise pickle.UnpicklingError("pickle in a checkpoint nests too deeply. The file is damaged.") from error
        except _DAMAGE as error:
            raise pickle.UnpicklingError(
                f"pickle in a checkpoint is not well formed ({type(error).__name__}: {error!s:.200}). Expected a file "
                "written by torch.save; this one is damaged. Save or download it again."
            ) from error

    def _take(self, count: int) -> bytes:
        """Exactly ``count`` bytes; a length that the file does not have costs no memory."""
        data = self._read(count if count < _CHUNK else _CHUNK)
        if len(data) < count:
            parts, have = [data], len(data)
            while have < count:
                data = self._read(min(count - have, _CHUNK))
                if not data:
                    raise pickle.UnpicklingError("pickle data was truncated. Save or download the file again.")
                parts.append(data)
                have += len(data)
            data = b"".join(parts)
        return data

    def _number(self, form: struct.Struct) -> int:
        return form.unpack(self._take(form.size))[0]

    def _line(self) -> str:
        line = self._readline(_LINE)
        if not line.endswith(b"\n"):
            raise pickle.UnpicklingError("pickle data was truncated. Save or download the file again.")
        return line[:-1].decode("utf-8")

    def _pop_mark(self) -> list:
        items = self._stack
        self._stack = self._marks.pop()
        return items

    # -- values -------------------------------------------------------------------------------------------------

    def _push_string(self, data: bytes) -> None:
        self._stack.append(data if self._encoding == "bytes" else data.decode(self._encoding))

    def _push_long(self, data: bytes) -> None:
        self._stack.append(int.from_bytes(data, "little", signed=True))

    # -- containers ---------------------------------------------------------------------------------------------

    def _mark(self) -> None:
        self._marks.append(self._stack)
        self._stack = []

    def _tuple(self, count: int) -> None:
        stack = self._stack
        if len(stack) < count:
            raise IndexError("stack underflow")
        stack[-count:] = [tuple(stack[-count:])]

    def _pop(self) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._pop_mark()

    def _extend(self, items: list) -> None:
        target = self._stack[-1]
        if type(target) is list or type(target) is deque:
            target.extend(items)
        elif type(target) is Stub:
            target.items.extend(items)
        else:
            raise pickle.UnpicklingError(f"Can only append to lists, but got {type(target)}")

    def _set_items(self, items: list) -> None:
        target = self._stack[-1]
        if type(target) is Stub:
            target = target.entries
        elif not isinstance(target, dict):
            raise pickle.UnpicklingError(f"Can only set items of dicts, but got {type(target)}")
        if len(items) % 2:
            raise pickle.UnpicklingError("odd number of items for a dict. The file is damaged.")
        for i in range(0, len(items), 2):
            key = items[i]
            if type(key) is not str and type(key) is not int:
                check_key(key)
            target[key] = items[i + 1]

    def _add_items(self, items: list) -> None:
        target = self._stack[-1]
        for item in items:
            check_key(item)
        if type(target) is set:
            target.update(items)
        elif type(target) is Stub:
            target.items.extend(items)
        else:
            raise pickle.UnpicklingError(f"Can only add to sets, but got {type(target)}")

    def _frozenset(self) -> None:
        items = self._pop_mark()
        for item in items:
            check_key(item)
        self._stack.append(frozenset(items))

    # -- the memo -----------------------------------------------------------------------------------------------

    def _put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def _get(self, index: int) -> None:
        self._stack.append(self._memo[index])

    # -- what the policy decides --------------------------------------------------------------------------------

    def _global(self) -> None:
        module = self._line()
        self._stack.append(self._policy.find(module, self._line()))

    def _stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if type(name) is not str or type(module) is not str:
            raise pickle.UnpicklingError("STACK_GLOBAL requires str")
        self._stack.append(self._policy.find(module, name))

    def _reduce(self) -> None:
        args = self._stack.pop()
        self._stack[-1] = self._policy.reduce(self._stack[-1], args)

    def _new(self) -> None:
        args = self._stack.pop()
        self._stack[-1] = self._policy.new(self._stack[-1], args)

    def _new_with_keywords(self) -> None:
        kwargs, args = self._stack.pop(), self._stack.pop()
        self._stack[-1] = self._policy.new(self._stack[-1], args, kwargs)

    def _build(self) -> None:
        state = self._stack.pop()
        self._policy.build(self._stack[-1], state)

    def _persistent(self) -> None:
        self._stack[-1] = self._persistent_load(self._stack[-1])

    def _protocol(self) -> None:
        found = self._take(1)[0]
        if not 2 <= found <= 5:
            raise pickle.UnpicklingError(
                f"pickle protocol of a checkpoint: expected 2 to 5, received {found}. Save it again with the default."
            )


def check_key(key, budget: int = 1000) -> None:
    """Refuse a dict key or set member whose hash would take too long or too deep a recursion.

    Raises:
        UnpicklingError: the key nests too much, or cannot be hashed.
    """
    stack = [key]
    while stack:
        one = stack.pop()
        if isinstance(one, (tuple, frozenset)):
            budget -= len(one) + 1
            if budget < 0:
                raise pickle.UnpicklingError("key in a checkpoint: expected a short one, received a nest of tuples.")
            stack.extend(one)
        elif type(one).__hash__ is None:
            raise pickle.UnpicklingError(f"key in a checkpoint: unhashable type: '{type(one).__name__}'.")


def check_nest(value, budget: int = 300_000) -> None:
    """Refuse containers that hold themselves, or so much of each other that walking through them would not end.

    Raises:
        UnpicklingError: more than ``budget`` members, each counted wherever it occurs.
    """
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, dict):
            members = one.values()
        elif isinstance(one, (list, tuple, set, frozenset, deque)):
            members = one
        else:
            continue
        budget -= len(members)
        if budget < 0:
            raise pickle.UnpicklingError("state of an object in a checkpoint nests without end. The file is damaged.")
        stack.extend(members)


def _unknown(code: bytes) -> str:
    if code == b"":
        return "pickle data was truncated. Save or download the file again."
    return (
        f"Unsupported operand {code[0]} in a checkpoint: expected a pickle of protocol 2 to 5 without extensions or "
        "buffers outside of it. The file is damaged, or was not written by torch.save."
    )


def _push(value):
    return lambda self: self._stack.append(value)


def _push_number(form: struct.Struct):
    return lambda self: self._stack.append(self._number(form))


_TABLE: dict[bytes, Callable[[Unpickler], Any]] = {
    pickle.PROTO: Unpickler._protocol,
    pickle.FRAME: lambda self: self._take(8),
    pickle.NONE: _push(None),
    pickle.NEWTRUE: _push(True),
    pickle.NEWFALSE: _push(False),
    pickle.EMPTY_TUPLE: _push(()),
    pickle.EMPTY_LIST: lambda self: self._stack.append([]),
    pickle.EMPTY_DICT: lambda self: self._stack.append({}),
    pickle.EMPTY_SET: lambda self: self._stack.append(set()),
    pickle.BININT: _push_number(_I32),
    pickle.BININT1: _push_number(_U8),
    pickle.BININT2: _push_number(_U16),
    pickle.BINFLOAT: _push_number(_F64),
    pickle.LONG1: lambda self: self._push_long(self._take(self._number(_U8))),
    pickle.LONG4: lambda self: self._push_long(self._take(self._number(_U32))),
    pickle.BINUNICODE: lambda self: self._stack.append(str(self._take(self._number(_U32)), "utf-8", "surrogatepass")),
    pickle.SHORT_BINUNICODE: lambda self: self._stack.append(
        str(self._take(self._number(_U8)), "utf-8", "surrogatepass")
    ),
    pickle.BINUNICODE8: lambda self: self._stack.append(str(self._take(self._number(_U64)), "utf-8", "surrogatepass")),
    pickle.BINSTRING: lambda self: self._push_string(self._take(self._number(_U32))),
    pickle.SHORT_BINSTRING: lambda self: self._push_string(self._take(self._number(_U8))),
    pickle.BINBYTES: lambda self: self._stack.append(self._take(self._number(_U32))),
    pickle.SHORT_BINBYTES: lambda self: self._stack.append(self._take(self._number(_U8))),
    pickle.BINBYTES8: lambda self: self._stack.append(self._take(self._number(_U64))),
    pickle.BYTEARRAY8: lambda self: self._stack.append(bytearray(self._take(self._number(_U64)))),
    pickle.MARK: Unpickler._mark,
    pickle.POP: Unpickler._pop,
    pickle.POP_MARK: Unpickler._pop_mark,
    pickle.DUP: lambda self: self._stack.append(self._stack[-1]),
    pickle.TUPLE: lambda self: (lambda items: self._stack.append(tuple(items)))(self._pop_mark()),
    pickle.TUPLE1: lambda self: self._tuple(1),
    pickle.TUPLE2: lambda self: self._tuple(2),
    pickle.TUPLE3: lambda self: self._tuple(3),
    pickle.LIST: lambda self: (lambda items: self._stack.append(items))(self._pop_mark()),
    pickle.APPEND: lambda self: (lambda item: self._extend([item]))(self._stack.pop()),
    pickle.APPENDS: lambda self: (lambda items: self._extend(items))(self._pop_mark()),
    pickle.SETITEM: lambda self: (lambda value: self._set_items([self._stack.pop(), value]))(self._stack.pop()),
    pickle.SETITEMS: lambda self: (lambda items: self._set_items(items))(self._pop_mark()),
    pickle.ADDITEMS: lambda self: (lambda items: self._add_items(items))(self._pop_mark()),
    pickle.FROZENSET: Unpickler._frozenset,
    pickle.BINPUT: lambda self: self._put(self._number(_U8)),
    pickle.LONG_BINPUT: lambda self: self._put(self._number(_U32)),
    pickle.MEMOIZE: lambda self: self._put(len(self._memo)),
    pickle.BINGET: lambda self: self._get(self._number(_U8)),
    pickle.LONG_BINGET: lambda self: self._get(self._number(_U32)),
    pickle.GLOBAL: Unpickler._global,
    pickle.STACK_GLOBAL: Unpickler._stack_global,
    pickle.REDUCE: Unpickler._reduce,
    pickle.NEWOBJ: Unpickler._new,
    pickle.NEWOBJ_EX: Unpickler._new_with_keywords,
    pickle.BUILD: Unpickler._build,
    pickle.BINPERSID: Unpickler._persistent,
}
