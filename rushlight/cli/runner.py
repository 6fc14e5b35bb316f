"""Owns running a program as ``__main__`` under the torch alias, as the ``python`` command would run it.

May import ``alias``; everything else is the standard library.
"""

from __future__ import annotations

import builtins
import importlib.machinery
import importlib.util
import os
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from typing import Any, Literal, NoReturn

from .. import alias


@dataclass(frozen=True)
class Program:
    """What to run: a script's path, a module's name or code, and the arguments it will see."""

    kind: Literal["script", "module", "code"]
    what: str
    arguments: list[str]


_entry: Any = None  # keeps the command's own __main__ alive while the program takes its place


def execute(program: Program) -> None:
    """Run ``program`` as ``__main__``; returns when it ends, and lets its exceptions through.

    Raises:
        SystemExit: the program exits, or cannot be found (with Python's exit code).
    """
    global _entry
    alias.install()
    _entry = sys.modules["__main__"]
    main = types.ModuleType("__main__")
    vars(main).update(__builtins__=builtins, __annotations__={})
    sys.modules["__main__"] = main
    try:
        exec(_prepare(program, vars(main)), vars(main))
    except SystemExit:
        raise
    except BaseException:
        _hide_own_frames()
        raise


def _prepare(program: Program, space: dict[str, Any]) -> types.CodeType:
    """Set ``sys.argv``, ``sys.path[0]`` and the names a main module has; return the code to run."""
    if program.kind == "code":
        _set_arguments(["-c", *program.arguments], path="")
        space.update(__loader__=importlib.machinery.BuiltinImporter)
        return compile(program.what, "<string>", "exec", dont_inherit=True)
    if program.kind == "module":
        _set_arguments(["-m", *program.arguments], path=os.getcwd())
        return _prepare_module(_find_module(program.what), space)
    return _prepare_script(program, space)


def _prepare_script(program: Program, space: dict[str, Any]) -> types.CodeType:
    arguments = [program.what, *program.arguments]
    if program.what == "-":
        _set_arguments(arguments, path="")
        space.update(__loader__=importlib.machinery.BuiltinImporter, __file__="<stdin>", __cached__=None)
        return compile(sys.stdin.buffer.read(), "<stdin>", "exec", dont_inherit=True)
    path = os.path.abspath(program.what)
    package = _main_in(path)
    if package is not None:
        _set_arguments(arguments, path=path)
        return _prepare_module(package, space, arguments[0])
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as problem:
        _give_up(f"can't open file '{path}': [Errno {problem.errno}] {problem.strerror}", 2)
    _set_arguments(arguments, path=os.path.dirname(os.path.realpath(path)))
    space.update(__loader__=SourceFileLoader("__main__", path), __file__=path, __cached__=None)
    return compile(source, path, "exec", dont_inherit=True)


def _prepare_module(spec: ModuleSpec, space: dict[str, Any], name: str | None = None) -> types.CodeType:
    code = getattr(spec.loader, "get_code", lambda name: None)(spec.name)
    if code is None:
        _give_up(f"No code object available for {spec.name}", 1)
    sys.argv[0] = name or spec.origin or spec.name
    space.update(
        __spec__=spec,
        __loader__=spec.loader,
        __package__=spec.parent,
        __file__=spec.origin,
        __cached__=spec.cached,
    )
    return code


def _find_module(name: str) -> ModuleSpec:
    """The spec of a module, or of ``__main__`` in it where it is a package."""
    try:
        spec = importlib.util.find_spec(name)
    except (ModuleNotFoundError, ValueError) as problem:
        _give_up(f"Error while finding module specification for '{name}' ({type(problem).__name__}: {problem})", 1)
    if spec is None:
        _give_up(f"No module named {name}", 1)
    if spec.submodule_search_locations is not None:
        package = name
        spec = importlib.util.find_spec(name + ".__main__")
        if spec is None:
            _give_up(f"No module named {package}.__main__; '{package}' is a package and cannot be directly executed", 1)
    return spec


def _main_in(path: str) -> ModuleSpec | None:
    """The spec of ``__main__`` in a directory or zip file; None for an ordinary file."""
    import pkgutil

    finder = pkgutil.get_importer(path)
    if finder is None:
        return None
    spec = finder.find_spec("__main__")
    if spec is None:
        _give_up(f"can't find '__main__' module in '{path}'", 1)
    return spec


def _set_arguments(arguments: list[str], path: str) -> None:
    sys.argv[:] = arguments
    if not sys.flags.safe_path:
        sys.path[0] = path  # where Python had put the folder of the rushlight command


def _give_up(message: str, code: int) -> NoReturn:
    print(f"rushlight: {message}", file=sys.stderr)
    raise SystemExit(code)


def _hide_own_frames() -> None:
    """Print the traceback of the exception on its way out without the frames of the command and the import system.

    The exception still ends the interpreter by itself, so exit codes, signals and a hook that the program has set
    all stay Python's.
    """
    previous = sys.excepthook

    def show(kind: type[BaseException], value: BaseException, traceback: types.TracebackType | None) -> None:
        kept = None
        for frame, instruction, line in reversed(list(_program_frames(traceback))):
            kept = types.TracebackType(kept, frame, instruction, line)
        previous(kind, value.with_traceback(kept), kept)

    sys.excepthook = show


def _program_frames(traceback: types.TracebackType | None) -> Iterator[tuple[types.FrameType, int, int]]:
    own = (os.path.dirname(__file__) + os.sep, alias.__file__, "<frozen importlib", importlib.__file__)
    inside = False
    while traceback is not None:
        if inside and not traceback.tb_frame.f_code.co_filename.startswith(own):
            yield traceback.tb_frame, traceback.tb_lasti, traceback.tb_lineno
        inside = inside or traceback.tb_frame.f_code is execute.__code__
        traceback = traceback.tb_next
