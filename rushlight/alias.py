"""Owns the name alias: while it is installed, ``import torch`` gives rushlight's own modules.

May import only ``_version``; it handles every other rushlight module by name, through ``sys.modules``.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ._version import TORCH_VERSION

_ROOT = __name__.partition(".")[0]
_MODELS = _ROOT + ".models"
# Modules of rushlight that torch has no counterpart for: not importable under torch's name.
_HIDDEN = tuple(f"{_ROOT}.{name}" for name in ("alias", "cli", "inspect", "__main__"))
# Classes that torch prints directly under ``torch``, wherever they are defined.
_PRINTED_AS_ROOT = tuple(f"{_ROOT}.{name}" for name in ("_tensor", "_device", "dtypes", "random.generator"))
_GUIDE = "docs/conformance.md lists what rushlight offers."

_undo: list[Callable[[], None]] = []
_renamed: list[tuple[type, str]] = []


def install() -> None:
    """Make ``torch`` another name for rushlight in this process, until ``uninstall()``.

    ``torch.x.y`` and ``rushlight.x.y`` are then the same module object; ``importlib.metadata.version("torch")`` answers
    with the version of torch's interface that rushlight follows; rushlight's classes print under torch's names; and
    ``torchvision.models`` is rushlight's, unless torchvision itself is installed. Child processes that the program
    starts through ``multiprocessing`` see the alias as well; no other process does. Installing twice does nothing.

    Raises:
        RuntimeError: the real torch is already imported in this process.

    Example:
        >>> import rushlight.alias
        >>> with rushlight.alias.aliased():
        ...     import torch.nn
        ...     torch.nn is rushlight.nn
        True
    """
    if _undo:
        return
    present = sys.modules.get("torch")
    if present is not None:
        where = getattr(present, "__file__", None) or "no file"
        raise RuntimeError(
            f"rushlight.alias.install(): expected a process without torch, received one that has already imported it "
            f"({where}). Install the alias before the first 'import torch', or start the program with 'rushlight run'."
        )
    finder, fallback = _TorchFinder(), _TorchvisionFinder()
    sys.meta_path.insert(0, finder)
    sys.meta_path.append(fallback)
    _undo.append(lambda: sys.meta_path.remove(finder))
    _undo.append(lambda: sys.meta_path.remove(fallback))
    _undo.append(_forget_modules)
    _undo.append(_restore_names)
    _undo.append(_pass_on_to_children())
    for name in [name for name in sys.modules if name == _ROOT or name.startswith(_ROOT + ".")]:
        _adopt(name)


def uninstall() -> None:
    """Take the alias away again: afterwards ``import torch`` finds the real torch, or nothing.

    Removes what ``install()`` added and nothing else; what a program already bound to a name stays bound. Does nothing
    where the alias is not installed.

    Example:
        >>> import rushlight.alias
        >>> rushlight.alias.install()
        >>> rushlight.alias.uninstall()
        >>> rushlight.alias.installed()
        False
    """
    while _undo:
        _undo.pop()()


def installed() -> bool:
    """Whether ``torch`` names rushlight in this process now."""
    return bool(_undo)


@contextlib.contextmanager
def aliased() -> Iterator[None]:
    """Install the alias for a ``with`` block; an alias that was there before stays.

    Raises:
        RuntimeError: the real torch is already imported in this process.

    Example:
        >>> from rushlight.alias import aliased
        >>> with aliased():
        ...     import torch
        ...     print(torch.nn.Linear)
        <class 'torch.nn.modules.linear.Linear'>
    """
    mine = not installed()
    install()
    try:
        yield
    finally:
        if mine:
            uninstall()


def _real_torchvision() -> bool:
    """Whether a torchvision other than ours is imported or could be."""
    module = sys.modules.get("torchvision")
    if module is not None:
        return not isinstance(module, _Torchvision)
    return any(
        finder.find_spec("torchvision", None) is not None
        for finder in sys.meta_path
        if not isinstance(finder, _Finder) and hasattr(finder, "find_spec")
    )


def _alias_of(source: str) -> str | None:
    """The name under which torch's users import the module ``source`` of rushlight; None where there is none."""
    if _within(source, _HIDDEN):
        return None
    if _within(source, (_MODELS,)):
        return None if _real_torchvision() else "torchvision" + source.removeprefix(_ROOT)
    return "torch" + source.removeprefix(_ROOT)


def _within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def _adopt(source: str) -> None:
    """Register a module of rushlight under its torch name, and let its classes print under that name."""
    module, name = sys.modules[source], _alias_of(source)
    if name is not None and module is not None:
        sys.modules[name] = module
        _rename(vars(module))


def _rename(namespace: Any) -> None:
    for value in list(namespace.values()):
        if not isinstance(value, type):
            continue
        home = value.__dict__.get("__module__")
        if not isinstance(home, str) or not _within(home, (_ROOT,)):
            continue
        name = "torch" if _within(home, _PRINTED_AS_ROOT) else _alias_of(home)
        if name is not None:
            _renamed.append((value, home))
            value.__module__ = name
            _rename(vars(value))


def _restore_names() -> None:
    while _renamed:
        cls, home = _renamed.pop()
        cls.__module__ = home


def _forget_modules() -> None:
    ours = ["torch"] if _real_torchvision() else ["torch", "torchvision"]
    for name in list(sys.modules):
        if _within(name, tuple(ours)):
            del sys.modules[name]


class _Finder:
    """What marks the finders of this file among all finders."""


def _refuse(name: str, message: str) -> None:
    """Fail an import with a message; let a probe for the module go on to its answer None."""
    # importlib.util.find_spec(name) asks whether a module exists and expects None; only an import statement deserves
    # the message. Which of the two it is shows in the caller's caller.
    frame = sys._getframe(3)
    if frame.f_code.co_name != "find_spec":
        raise ModuleNotFoundError(f"No module named '{name}': {message}", name=name)


class _TorchFinder(_Finder):
    """Answers ``torch`` and everything below it, ahead of every other finder."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name.startswith(_ROOT + "."):
            return _watched(name, path)
        if not _within(name, ("torch",)):
            return None
        source = _ROOT + name.removeprefix("torch")
        if _alias_of(source) == name and _exists(source):
            return importlib.machinery.ModuleSpec(name, _Loader(source))
        _refuse(name, f"rushlight, which stands in for torch here, has no module of that name. {_GUIDE}")
        return None

    def find_distributions(self, context: Any) -> list:
        """What ``importlib.metadata`` asks; torch is there, in the version whose interface rushlight follows."""
        if context.name is not None and context.name.lower() != "torch":
            return []
        return [_distribution_class()()]


class _TorchvisionFinder(_Finder):
    """Answers ``torchvision`` after every other finder, so only where torchvision is not installed."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name == "torchvision":
            return importlib.machinery.ModuleSpec(name, _TorchvisionLoader(), is_package=True)
        if not name.startswith("torchvision.") or not isinstance(sys.modules.get("torchvision"), _Torchvision):
            return None
        source = _ROOT + name.removeprefix("torchvision")
        if _within(source, (_MODELS,)) and _exists(source):
            return importlib.machinery.ModuleSpec(name, _Loader(source))
        _refuse(name, _Torchvision.OFFER)
        return None


def _exists(source: str) -> bool:
    """Whether rushlight has this module; a name bound to something else hides a file of that name."""
    if source in sys.modules:
        return sys.modules[source] is not None
    parent, _, last = source.rpartition(".")
    bound = getattr(sys.modules.get(parent), "__dict__", {}).get(last)
    if bound is not None and not isinstance(bound, types.ModuleType):
        return False
    try:
        return importlib.util.find_spec(source) is not None
    except ModuleNotFoundError:
        return False


class _Loader(importlib.abc.Loader):
    """Hands the import system the module of rushlight, whole, instead of a second copy."""

    def __init__(self, source: str):
        self.source = source
        self.spec: Any = None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        module = importlib.import_module(self.source)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        module.__spec__ = self.spec  # the import system has just put the alias's own spec there


def _watched(name: str, path: Any) -> importlib.machinery.ModuleSpec | None:
    """The spec of a module of rushlight, made so that the module is adopted as soon as it has run."""
    spec = None
    for finder in sys.meta_path:
        if not isinstance(finder, _Finder) and hasattr(finder, "find_spec"):
            spec = finder.find_spec(name, path)
            if spec is not None:
                break
    loader: Any = getattr(spec, "loader", None)
    if loader is None or not hasattr(loader, "exec_module"):
        return spec
    run = loader.exec_module

    @functools.wraps(run)
    def exec_module(module: types.ModuleType) -> None:
        del loader.exec_module
        run(module)
        if installed():
            _adopt(name)

    loader.exec_module = exec_module
    return spec


class _Torchvision(types.ModuleType):
    """The stand-in for torchvision: a package that holds ``models`` and nothing else."""

    OFFER = "torchvision is not installed; in its place rushlight offers only torchvision.models, its own models."

    def __getattr__(self, name: str) -> Any:
        if name == "models":
            return importlib.import_module("torchvision.models")
        raise AttributeError(f"module 'torchvision' has no attribute '{name}': {self.OFFER}", name=name, obj=self)


class _TorchvisionLoader(importlib.abc.Loader):
    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Torchvision(spec.name, _Torchvision.OFFER)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


@functools.cache
def _distribution_class() -> type:
    import importlib.metadata

    class Distribution(importlib.metadata.Distribution):
        """The metadata of a torch that is not there; it lists no files."""

        _texts = {
            "METADATA": f"Metadata-Version: 2.1\nName: torch\nVersion: {TORCH_VERSION}\nSummary: rushlight's alias\n",
            "top_level.txt": "torch\n",
        }

        def read_text(self, filename: str) -> str | None:
            return self._texts.get(filename)

        def locate_file(self, path: Any) -> Any:
            return Path(__file__).parent / path

    return Distribution


class _InstallThere:
    """An object that installs the alias in the process that unpickles it."""

    def __reduce__(self) -> tuple:
        return install, ()


def _pass_on_to_children() -> Callable[[], None]:
    """Let spawned children of ``multiprocessing`` install the alias before they import the program again.

    ``multiprocessing`` sends a child one pickled dict before anything else; unpickling an extra entry of it is enough.
    """
    import multiprocessing.spawn as spawn

    original = spawn.get_preparation_data

    @functools.wraps(original)
    def get_preparation_data(name: str) -> dict:
        data = original(name)
        if installed():
            data["rushlight_alias"] = _InstallThere()
        return data

    spawn.get_preparation_data = get_preparation_data

    def undo() -> None:
        if spawn.get_preparation_data is get_preparation_data:
            spawn.get_preparation_data = original

    return undo
