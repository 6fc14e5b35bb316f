"""Owns ``inspection``, what there is to say about a checkpoint as plain data, and how a terminal shows it.

May import the sources, statistics and rich.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .. import dtypes
from .source import Source
from .stats import counted, number, readable_count, readable_size, short_dtype, sparkline, statistics

_MOST_VALUES = 12
_MOST_NAMES = 5


def inspection(source: Source, with_statistics: bool = True) -> dict[str, Any]:
    """Everything that ``rushlight inspect`` tells, as plain data for JSON.

    Args:
        source: the checkpoint.
        with_statistics: read every tensor; otherwise only the file's own account of them is used.
    """
    tensors = []
    seen: dict[tuple, dict] = {}
    first: dict[tuple, str] = {}
    for entry in source.entries:
        row: dict[str, Any] = {
            "name": entry.name,
            "dtype": entry.dtype.name,
            "shape": list(entry.shape),
            "count": entry.count,
            "bytes": entry.nbytes,
        }
        if first.setdefault(entry.place, entry.name) != entry.name:
            row["same_as"] = first[entry.place]
        if with_statistics:
            found = seen.get(entry.place)
            if found is None:
                found = seen[entry.place] = statistics(source.chunks(entry), entry.count).as_dict()
            row["statistics"] = found
        tensors.append(row)
    shared = [[entry.name for entry in group] for group in source.shared()]
    return {
        "file": source.path,
        "format": source.format,
        "bytes": source.size,
        "tensors": tensors,
        "totals": _totals(source),
        "shared": shared,
        "classes": source.classes,
        "values": {path: _plain(value) for path, value in source.values.items()},
        "metadata": source.metadata,
        "notes": source.notes,
        "findings": _findings(tensors) if with_statistics else None,
    }


def _totals(source: Source) -> dict[str, Any]:
    places = {entry.place: entry for entry in source.entries}.values()
    by_dtype: dict[str, int] = {}
    for entry in places:
        by_dtype[entry.dtype.name] = by_dtype.get(entry.dtype.name, 0) + entry.count
    return {
        "tensors": len(source.entries),
        "elements": sum(by_dtype.values()),
        "bytes": sum(source.storages.values()),
        "by_dtype": dict(sorted(by_dtype.items(), key=lambda item: -item[1])),
    }


def _plain(value) -> Any:
    if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and value - value == 0):
        return value
    text = repr(value)
    return text if len(text) <= 200 else text[:197] + "..."


def _findings(tensors: list[dict]) -> list[dict]:
    """What is wrong with values; ``zero`` is worth a look, but not wrong."""
    made = []
    for row in tensors:
        found = row["statistics"]
        for kind in ("nan", "inf"):
            if found[kind]:
                made.append({"kind": kind, "name": row["name"], "count": found[kind], "of": row["count"]})
        if row["count"] > 1 and found["zero"] == row["count"]:
            made.append({"kind": "zero", "name": row["name"], "count": row["count"], "of": row["count"]})
    return made


def has_problem(data: dict) -> bool:
    """Whether an inspection found NaN or infinite values."""
    return any(f["kind"] != "zero" for f in data["findings"] or ())


# -- in a terminal -----------------------------------------------------------------------------------------------------


def plain_console(console: Console) -> bool:
    """Whether only ASCII can be shown."""
    return not (console.encoding or "").lower().startswith("utf")


def show(data: dict, console: Console, depth: int | None = None) -> None:
    """Print an inspection: the tree of tensors, what else the file holds, totals and findings."""
    totals = data["totals"]
    console.print(Text(data["file"], style="bold"), soft_wrap=True)
    parts = [data["format"], readable_size(data["bytes"]), counted(totals["tensors"], "tensor")]
    parts += [counted(totals["elements"], "element"), *[name for path, name in data["classes"].items() if not path]]
    console.print((" | " if plain_console(console) else " · ").join(parts))
    if data["tensors"]:
        console.print()
        console.print(_table(data, console, depth))
    _show_values(data, console)
    console.print()
    kinds = ", ".join(f"{name} {readable_count(n)}" for name, n in totals["by_dtype"].items())
    if kinds:
        kinds = f" in {readable_size(totals['bytes'])} ({kinds})"
    console.print(f"total    {counted(totals['elements'], 'element')}{kinds}")
    for group in data["shared"]:
        console.print(Text(f"shared   {_few(group)}", style="cyan"))
    for note in data["notes"]:
        console.print(Text(f"note     {note}", style="yellow"))
    if data["findings"] is None:
        return
    for kind, style in (("nan", "bold red"), ("inf", "bold red"), ("zero", "yellow")):
        found = [f for f in data["findings"] if f["kind"] == kind]
        if found:
            names = [f["name"] if kind == "zero" else f"{f['name']} ({f['count']:,} of {f['of']:,})" for f in found]
            label = {"nan": "NaN", "inf": "Inf", "zero": "all zero"}[kind]
            console.print(Text(f"{label:<8} {_few(names)}", style=style))
    if data["tensors"] and not has_problem(data):
        console.print(Text("finite   every value is a finite number", style="green"))


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES + 1 else ""
    return ", ".join(names[: _MOST_NAMES if more else None]) + more


def _table(data: dict, console: Console, depth: int | None) -> Table:
    with_statistics = data["findings"] is not None
    wide = console.width >= 104
    ascii_only = plain_console(console)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("tensor", overflow="fold", ratio=None)
    table.add_column("shape", overflow="fold")
    table.add_column("bytes", justify="right", no_wrap=True)
    if with_statistics:
        table.add_column("values", no_wrap=True, style="cyan")
        table.add_column("mean", justify="right", no_wrap=True)
        table.add_column("std", justify="right", no_wrap=True)
        if wide:
            table.add_column("min", justify="right", no_wrap=True)
            table.add_column("max", justify="right", no_wrap=True)
    for level, path, label, row, nbytes, count in tree_rows(data["tensors"], depth):
        name = Text("  " * min(level, 12) + label, style="" if row else "bold")
        if row is None:
            kind = data["classes"].get(path, "").rpartition(".")[2]
            table.add_row(name, Text(kind or counted(count, "tensor"), style="dim"), readable_size(nbytes))
            continue
        cells: list[Any] = [name, _shape(row), readable_size(nbytes)]
        if with_statistics:
            cells += _cells(row["statistics"], wide, ascii_only)
        table.add_row(*cells)
    return table


def _shape(row: dict) -> str:
    return f"{_short(row['dtype'])}[{','.join(map(str, row['shape']))}]"


def _short(name: str) -> str:
    return short_dtype(dtypes.named(name))


def _cells(found: dict, wide: bool, ascii_only: bool) -> list[Any]:
    line: Any = sparkline(found["histogram"], 8, ascii_only)
    if found["nan"] or found["inf"]:
        line = Text("NaN" if found["nan"] else "Inf", style="bold red")
    elif found["count"] and found["zero"] == found["count"]:
        line = Text("zeros", style="yellow")
    elif found["min"] is not None and found["min"] == found["max"]:
        line = Text("constant", style="dim")
    if found["count"] == 1 and found["min"] is not None:
        line = ""
    cells = [line, number(found["mean"]), number(found["std"])]
    return cells + ([number(found["min"]), number(found["max"])] if wide else [])


def tree_rows(tensors: list[dict], depth: int | None = None) -> Iterable[tuple[int, str, str, dict | None, int, int]]:
    """The tensors as the lines of a tree: level, path, label, the tensor (None for a branch), bytes and tensors below.

    A branch with one child is joined with it, so ``a.b.c`` with nothing beside it is one line.
    """
    root: dict[str, Any] = {}
    for row in tensors:
        node = root
        *path, last = row["name"].split(".")
        for part in path:
            node = node.setdefault(part, {})
        # The mark keeps a tensor apart from a branch of the same name.
        node[last + _MARK] = row
    yield from _rows(root, 0, "", depth)


_MARK = "\0"


def _rows(node: dict, level: int, base: str, depth: int | None):
    for key, held in node.items():
        label = key
        while not label.endswith(_MARK) and len(held) == 1:
            part, held = next(iter(held.items()))
            label += "." + part
        path = base + label.removesuffix(_MARK)
        if label.endswith(_MARK):
            yield level, path, label[:-1], held, held["bytes"], 1
            continue
        yield level, path, label, None, *_below(held)
        if depth is None or level + 1 < depth:
            yield from _rows(held, level + 1, path + ".", depth)


def _below(node: dict) -> tuple[int, int]:
    nbytes = count = 0
    for key, held in node.items():
        if key.endswith(_MARK):
            more = (0 if "same_as" in held else held["bytes"]), 1
        else:
            more = _below(held)
        nbytes, count = nbytes + more[0], count + more[1]
    return nbytes, count


def _show_values(data: dict, console: Console) -> None:
    rows = [*data["metadata"].items(), *data["values"].items()]
    if rows:
        console.print()
    for path, value in rows[:_MOST_VALUES]:
        text = value if isinstance(value, str) else repr(value)
        console.print(Text(f"{path} = {text}"), overflow="ellipsis", no_wrap=True)
    if len(rows) > _MOST_VALUES:
        console.print(Text(f"and {len(rows) - _MOST_VALUES:,} more values; --json lists them all", style="dim"))
