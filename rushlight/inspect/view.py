"""Owns the HTML page of ``rushlight view``: what it knows of a model or checkpoint as JSON, and the file it becomes.

May import the sources, statistics, the comparison and the summary; the page's own parts lie in ``page/``.
"""

from __future__ import annotations

import base64
import html
import json
import math
import os
from collections.abc import Callable, Iterable
from importlib import resources
from typing import Any

import numpy as np

from .._tensor.tensor import Tensor
from ..nn.modules.module import Module
from . import compare, treescope_tree
from .report import _plain
from .source import Entry, Source, forget
from .stats import Statistics, as_reals, finite, statistics

_STYLES = ("page.css",)
_SCRIPTS = ("model.js", "tree.js", "treemap.js", "charts.js", "app.js")
_MOST_VALUES = 200
_STRIP = 48
_VALUES = 1 << 20  # blocks of a heat map are read in pieces of this many elements


# -- what the page knows -----------------------------------------------------------------------------------------------


def of_source(source: Source, with_statistics: bool = True) -> dict[str, Any]:
    """What the page shows of a checkpoint.

    Args:
        source: the checkpoint.
        with_statistics: read every tensor for its histogram and heat map.
    """
    cells = _resolution(len(source.entries))
    first: dict[tuple, str] = {}
    seen: dict[tuple, dict] = {}
    tensors = []
    for entry in source.entries:
        row = _row(entry.name, entry)
        if first.setdefault(entry.place, entry.name) != entry.name:
            row["tied"] = first[entry.place]
        if with_statistics:
            if entry.place not in seen:
                seen[entry.place] = _pictures(source, entry, cells)
            row |= seen[entry.place]
        tensors.append(row)
    return {
        "title": os.path.basename(source.path),
        "kind": "file",
        "files": [_file(source)],
        "modules": [[path, name, ""] for path, name in source.classes.items()],
        "tensors": tensors,
        "values": [[path, str(_plain(value))] for path, value in list(source.values.items())[:_MOST_VALUES]],
    }


def of_difference(a: Source, b: Source) -> dict[str, Any]:
    """What the page shows of two checkpoints side by side: the second one, and what became of the first."""
    found = compare.compare(a, b)
    old = {entry.name: entry for entry in a.entries}
    origin = {row["to"]: row["from"] for row in found["renamed"]}
    # A prefix that all names got is one change, not one for each of them.
    prefixed = [row for row in found["renamed"] if row["by"] == "prefix"]
    whole = {row["to"] for row in prefixed}
    changed = {row["to"]: row for row in found["changed"]}
    added = {row["name"] for row in found["added"]}
    cells = _resolution(len(b.entries))
    tensors = []
    for entry in b.entries:
        row = _row(entry.name, entry) | _pictures(b, entry, cells)
        was = old.get(origin.get(entry.name, entry.name))
        row["state"] = "added" if entry.name in added else "changed" if entry.name in changed else "same"
        if entry.name in origin:
            row["from"] = origin[entry.name]
            row["state"] = "renamed" if row["state"] == "same" and entry.name not in whole else row["state"]
        if row["state"] == "changed" and was is not None:
            how = changed[entry.name]
            row["change"] = {k: how[k] for k in ("dtype", "shape", "norm", "difference", "relative", "max") if k in how}
            before = _pictures(a, was, 0)
            row |= {"before": {k: before[k] for k in ("stats", "hist", "range") if k in before}}
            if was.shape == entry.shape:
                row["delta"] = _heat(
                    lambda part, was=was, entry=entry: _gap(a, was, b, entry, part), entry.shape, cells
                )
        tensors.append(row)
    for gone in found["removed"]:
        tensors.append(
            _row(gone["name"], old[gone["name"]]) | _pictures(a, old[gone["name"]], cells) | {"state": "removed"}
        )
    values = [[row["path"], f"{_shown(row, 0)} → {_shown(row, 1)}"] for row in found["values"][:_MOST_VALUES]]
    title = f"{os.path.basename(a.path)} → {os.path.basename(b.path)}"
    modules = dict([*a.classes.items(), *b.classes.items()])
    return {
        "title": title,
        "kind": "diff",
        "files": [_file(a), _file(b)],
        "modules": [[path, name, ""] for path, name in modules.items()],
        "tensors": tensors,
        "values": values,
        "notes": [compare.describe_prefix(prefixed)] if prefixed else [],
    }


def of_module(module: Module, with_statistics: bool = True, table: Any = None) -> dict[str, Any]:
    """What the page shows of a model.

    Args:
        module: the model.
        with_statistics: look at the values of its parameters and buffers.
        table: a summary, for the shapes of the outputs and the work of each layer.
    """
    shapes: dict[str, tuple[Any, int]] = {}
    for row in _rows(table.rows) if table is not None else ():
        shapes.setdefault(row.path, (row.output, row.total_work.macs))
    modules = []
    for path, part in module.named_modules():
        line: list[Any] = [path, type(part).__name__, part.extra_repr() if not part._modules else ""]
        modules.append([*line, *shapes[path]] if path in shapes else line)
    named: list[tuple[str, Tensor]] = [
        *module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)
    ]  # fmt: skip
    order = {path: i for i, (path, _) in enumerate(module.named_modules(remove_duplicate=False))}
    named.sort(key=lambda item: order.get(item[0].rpartition(".")[0], 0))
    cells = _resolution(len(named))
    first: dict[int, str] = {}
    tensors = []
    for name, tensor in named:
        if type(tensor).__name__.startswith("Uninitialized"):
            continue
        entry = Entry(name, tensor.dtype, tuple(int(n) for n in tensor.shape), id(tensor._storage))
        row = _row(name, entry)
        row["trained"] = bool(tensor._requires_grad)
        row["buffer"] = not hasattr(tensor, "requires_grad_") or type(tensor).__name__ != "Parameter"
        if first.setdefault(id(tensor), name) != name:
            row["tied"] = first[id(tensor)]
        elif with_statistics and tensor.device.type != "meta":
            array = np.asarray(tensor._array())
            source = Source("", "module", reader=lambda entry, array=array: array)
            row |= _pictures(source, entry, cells)
        tensors.append(row)
    return {
        "title": type(module).__name__,
        "kind": "module",
        "files": [],
        "modules": modules,
        "tensors": tensors,
        "values": [] if table is None else [["multiply-adds", f"{table.macs:,}"], ["FLOPs", f"{table.flops:,}"]],
    }


def _rows(row: Any) -> Iterable[Any]:
    yield row
    for child in row.rows:
        yield from _rows(child)


def _file(source: Source) -> dict[str, Any]:
    return {"path": source.path, "format": source.format, "bytes": source.size, "notes": source.notes}


def _shown(row: dict, side: int) -> str:
    return str(row["ab"[side]]) if row["in"][side] else "nothing"


def _row(name: str, entry: Entry) -> dict[str, Any]:
    return {
        "name": name,
        "dtype": entry.dtype.name,
        "shape": list(entry.shape),
        "count": entry.count,
        "bytes": entry.nbytes,
    }


def _resolution(tensors: int) -> int:
    """Cells of a heat map along one side: fewer where there are many tensors, so that the page stays small."""
    return 24 if tensors <= 2_000 else 12 if tensors <= 10_000 else 0


def _pictures(source: Source, entry: Entry, cells: int) -> dict[str, Any]:
    """A tensor's statistics, histogram and heat map."""
    found = statistics(source.chunks(entry), entry.count)
    made: dict[str, Any] = {"stats": _numbers(found)}
    if len(found.histogram) > 1:
        top = max(found.histogram)
        made["hist"] = _packed(bytes(math.ceil(n * 255 / top) for n in found.histogram))
        made["range"] = [found.low, found.high]
    if cells and entry.count >= 16 and found.norm:
        array = source.read(entry)
        heat = _heat(lambda part: as_reals(np.asarray(_matrix(array)[part])), entry.shape, cells)
        if heat:
            made["heat"] = heat
        forget(array)
    return made


def _numbers(found: Statistics) -> list[Any]:
    return [found.min, found.max, found.mean, found.std, found.norm, found.nan, found.inf, found.zero]


def _packed(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _matrix(array: np.ndarray) -> np.ndarray:
    """An array as rows (its first dimension) and columns (all others)."""
    return array.reshape(1, -1) if array.ndim < 2 else array.reshape(len(array), -1)


def _gap(a: Source, x: Entry, b: Source, y: Entry, part: Any) -> np.ndarray:
    with np.errstate(all="ignore"):
        return as_reals(np.asarray(_matrix(b.read(y))[part])) - as_reals(np.asarray(_matrix(a.read(x))[part]))


def _heat(read: Callable[[Any], np.ndarray], shape: tuple[int, ...], cells: int) -> dict[str, Any] | None:
    """The root mean square of blocks of a tensor, as a small picture."""
    if not cells or math.prod(shape) < 2:
        return None
    rows, columns = (1, math.prod(shape)) if len(shape) < 2 else (shape[0], math.prod(shape[1:]))
    height, width = min(rows, cells), min(columns, _STRIP if rows == 1 else cells)
    tops = np.linspace(0, rows, height + 1).astype(int)
    starts = np.linspace(0, columns, width + 1).astype(int)
    picture = np.zeros((height, width))
    with np.errstate(all="ignore"):
        for i in range(height):
            step = max(1, _VALUES // max(columns, 1))
            for begin in range(tops[i], tops[i + 1], step):
                block = read(slice(begin, min(begin + step, tops[i + 1])))
                squares = np.square(np.nan_to_num(block, nan=0, posinf=0, neginf=0)).sum(0, dtype=np.float64)
                picture[i] += np.add.reduceat(squares, starts[:-1])
        picture = np.sqrt(picture / np.outer(np.diff(tops), np.diff(starts)))
    most = float(picture.max())
    if not math.isfinite(most) or most == 0:
        return None
    data = np.clip(np.rint(picture * (255 / most)), 0, 255).astype(np.uint8).tobytes()
    return {"size": [width, height], "data": _packed(data), "max": most}


# -- the page ----------------------------------------------------------------------------------------------------------


def page(data: dict[str, Any], compact: bool = False) -> str:
    """The page as one text that needs nothing else.

    Args:
        data: what ``of_source``, ``of_difference`` or ``of_module`` gave.
        compact: for a frame in a notebook.
    """
    # Inside a script element only '<' could end it; names come from files that nobody has to trust.
    text = json.dumps(finite(data), ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    text = text.encode("utf-8", "backslashreplace").decode()  # half of a surrogate pair, written as JSON writes it
    parts = {
        "title": html.escape(f"{data['title']} - rushlight"),
        "class": "compact" if compact else "",
        "style": "\n".join(_part(name) for name in _STYLES),
        "data": text,
        "script": "\n".join(_part(name) for name in _SCRIPTS),
    }
    made = _part("page.html")
    before, _, rest = made.partition("{{")
    out = [before]
    while rest:
        name, _, rest = rest.partition("}}")
        after, _, rest = rest.partition("{{")
        out += [parts[name], after]
    return "".join(out)


def _part(name: str) -> str:
    return resources.files("rushlight.inspect").joinpath("page", name).read_text(encoding="utf-8")


def module_html(module: Module) -> str:
    """A module's tree for a notebook: treescope's where that is installed, else the page in a frame, without values."""
    if treescope_tree.available() and not treescope_tree.asked():
        return treescope_tree.module_html(module)
    return framed(module)


def framed(module: Module) -> str:
    """The page in a frame, without looking at values."""
    text = html.escape(page(of_module(module, with_statistics=False), compact=True), quote=True)
    style = "width:100%;height:420px;border:1px solid #8884;border-radius:6px"
    return f'<iframe sandbox="allow-scripts" style="{style}" title="{type(module).__name__}" srcdoc="{text}"></iframe>'
