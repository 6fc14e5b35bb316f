"""Owns rebuilding the standard library's plain data types, which training scripts keep beside their tensors.

May import only the standard library; every argument is checked before a constructor sees it.
"""

from __future__ import annotations

import argparse
import datetime
import decimal
import fractions
import os
import pathlib
import pickle
import re
import types
from collections import deque
from typing import Any

from .brief import brief

_DECIMAL = re.compile(r"[+-]?(\d{1,1000}(\.\d{0,1000})?(E[+-]?\d{1,6})?|s?NaN|Infinity)", re.IGNORECASE)
_BITS = 1 << 14


def _bad(what: str, args) -> pickle.UnpicklingError:
    return pickle.UnpicklingError(
        f"{what} in a checkpoint: received unexpected arguments {brief(args)}. The file is damaged."
    )


def _empty(kind):
    """An object that its state fills afterwards."""

    def build(args, kwargs):
        if args or kwargs:
            raise _bad(kind.__name__, args)
        return kind()

    return build


def _path(kind):
    def build(args, kwargs):
        if kwargs or len(args) > 1000 or any(type(a) is not str for a in args):
            raise _bad("path", args)
        return kind(*args)

    return build


def _deque(args, kwargs):
    items = args[0] if args else ()
    limit = args[1] if len(args) > 1 else None
    sound = isinstance(items, (list, tuple)) and (limit is None or (type(limit) is int and limit >= 0))
    if kwargs or len(args) > 2 or not sound:
        raise _bad("deque", args)
    return deque(items, limit)


def _packed(kind, size: int):
    """Dates and times keep themselves in a few bytes."""

    def build(args, kwargs):
        data = args[0] if args else None
        data = data.encode("latin1") if isinstance(data, str) else data
        zone = args[1:]
        sound = isinstance(data, bytes) and len(data) == size and len(zone) <= (kind is not datetime.date)
        if kwargs or not sound or any(not isinstance(z, (datetime.timezone, type(None))) for z in zone):
            raise _bad(kind.__name__, args)
        return kind(data, *zone)

    return build


def _timedelta(args, kwargs):
    if kwargs or len(args) > 3 or any(type(a) is not int for a in args):
        raise _bad("timedelta", args)
    return datetime.timedelta(*args)


def _timezone(args, kwargs):
    sound = 1 <= len(args) <= 2 and isinstance(args[0], datetime.timedelta) and all(type(a) is str for a in args[1:])
    if kwargs or not sound:
        raise _bad("timezone", args)
    return datetime.timezone(*args)


def _decimal(args, kwargs):
    if kwargs or len(args) != 1 or type(args[0]) is not str or not _DECIMAL.fullmatch(args[0]):
        raise _bad("Decimal", args)
    return decimal.Decimal(args[0])


def _fraction(args, kwargs):
    numbers = args
    if len(args) == 1 and type(args[0]) is str and re.fullmatch(r"-?\d{1,1000}(/\d{1,1000})?", args[0]):
        numbers = tuple(int(part) for part in args[0].split("/"))
    if kwargs or not 1 <= len(numbers) <= 2 or any(type(n) is not int or n.bit_length() > _BITS for n in numbers):
        raise _bad("Fraction", args)
    if len(numbers) == 2 and not numbers[1]:
        raise _bad("Fraction", args)
    return fractions.Fraction(*numbers)


# A path of the other system can be named, though not opened.
_POSIX = pathlib.PurePosixPath if os.name == "nt" else pathlib.PosixPath
_WINDOWS = pathlib.WindowsPath if os.name == "nt" else pathlib.PureWindowsPath
_PATHS = {
    "PosixPath": _POSIX, "WindowsPath": _WINDOWS, "PurePosixPath": pathlib.PurePosixPath,
    "PureWindowsPath": pathlib.PureWindowsPath, "Path": pathlib.Path, "PurePath": pathlib.PurePath,
}  # fmt: skip

# Names in files -> (value, builder); built with weights_only=False alone, as torch would do.
TYPES: dict[str, tuple[Any, Any]] = {
    "argparse.Namespace": (argparse.Namespace, _empty(argparse.Namespace)),
    "types.SimpleNamespace": (types.SimpleNamespace, _empty(types.SimpleNamespace)),
    "collections.deque": (deque, _deque),
    "datetime.datetime": (datetime.datetime, _packed(datetime.datetime, 10)),
    "datetime.date": (datetime.date, _packed(datetime.date, 4)),
    "datetime.time": (datetime.time, _packed(datetime.time, 6)),
    "datetime.timedelta": (datetime.timedelta, _timedelta),
    "datetime.timezone": (datetime.timezone, _timezone),
    "decimal.Decimal": (decimal.Decimal, _decimal),
    "fractions.Fraction": (fractions.Fraction, _fraction),
    **{
        f"{home}.{name}": (kind, _path(kind)) for name, kind in _PATHS.items() for home in ("pathlib", "pathlib._local")
    },
}
# Plain names that are values already.
VALUES: dict[str, Any] = {
    "builtins.str": str, "builtins.bool": bool, "builtins.object": object, "builtins.Ellipsis": Ellipsis,
    "builtins.NotImplemented": NotImplemented,
}  # fmt: skip


def fill(obj, state) -> bool:
    """Fill a namespace in; False for objects of other kinds.

    Raises:
        UnpicklingError: the state is no dict of names.
    """
    if type(obj) not in (argparse.Namespace, types.SimpleNamespace):
        return False
    if not isinstance(state, dict) or any(type(k) is not str for k in state):
        raise _bad(type(obj).__name__, (state,))
    vars(obj).update(state)
    return True
