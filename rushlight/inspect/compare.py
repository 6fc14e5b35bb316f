"""Owns ``compare``: which tensors of two checkpoints were renamed, added, removed or changed, and by how much.

May import the sources, statistics and rich.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .. import dtypes
from .._tensor.tensor import Tensor
from ..checkpoint import Stub
from ..checkpoint.inert import InertTensor
from .report import _plain
from .source import Entry, Source, blocks, forget
from .stats import counted, number, short_dtype

_MOST_VALUES = 20


def compare(a: Source, b: Source, rtol: float = 0.0, atol: float = 0.0) -> dict[str, Any]:
    """What became of the tensors of ``a`` in ``b``, as plain data for JSON.

    Names that differ are matched where one set has a prefix that the other lacks, and where contents are equal.

    Args:
        a, b: the checkpoints.
        rtol, atol: elements count as equal where ``|a - b| <= atol + rtol * |b|``.
    """
    old, new = ({entry.name: entry for entry in source.entries} for source in (a, b))
    pairs = [(name, name, "") for name in old if name in new]
    left, right = [n for n in old if n not in new], [n for n in new if n not in old]
    for match in (
        lambda l, r: _by_prefix(l, r, old, new),
        lambda l, r: _by_content(a, b, [old[n] for n in l], [new[n] for n in r]),
    ):
        found = match(left, right)
        pairs += found
        left = [n for n in left if n not in {p[0] for p in found}]
        right = [n for n in right if n not in {p[1] for p in found}]
    changed = []
    for was, now, how in pairs:
        row = {} if how == "content" else difference(a, old[was], b, new[now], rtol, atol)
        if row:
            changed.append({"name": was, "to": now, **row})
    renamed = [{"from": was, "to": now, "by": how} for was, now, how in pairs if how]
    moved = next((_outer(was, now) for was, now, how in pairs if how == "prefix"), ("", ""))
    values = _values(a, b, *moved)
    return {
        "a": a.path,
        "b": b.path,
        "equal": not (changed or renamed or left or right or values),
        "unchanged": len(pairs) - len(changed) - sum(r["by"] == "content" for r in renamed),
        "renamed": renamed,
        "removed": [_describe(old[n]) for n in left],
        "added": [_describe(new[n]) for n in right],
        "changed": changed,
        "values": values,
    }


def _describe(entry: Entry) -> dict[str, Any]:
    return {"name": entry.name, "dtype": entry.dtype.name, "shape": list(entry.shape)}


def _by_prefix(
    left: list[str], right: list[str], old: dict[str, Entry], new: dict[str, Entry]
) -> list[tuple[str, str, str]]:
    """Pairs that differ by one change of prefix, where that holds for half of the names or more, and of the shapes."""
    ends: dict[str, list[str]] = {}
    for name in right:
        for _, end in _splits(name):
            ends.setdefault(end, []).append(name)
    votes: Counter[tuple[str, str]] = Counter()
    for name in left:
        for start, end in _splits(name):
            found = ends.get(end)
            if found:
                votes.update((start, other.removesuffix(end)) for other in found)
                break
    if not votes:
        return []
    (gone, come), count = votes.most_common(1)[0]
    if count * 2 < min(len(left), len(right)):
        return []
    there = set(right)
    pairs = [(name, come + name[len(gone) :], "prefix") for name in left if name.startswith(gone)]
    pairs = [pair for pair in pairs if pair[1] in there]
    alike = sum(old[was].shape == new[now].shape for was, now, _ in pairs)
    return pairs if alike * 2 >= len(pairs) else []


def _splits(name: str) -> Iterator[tuple[str, str]]:
    """A name cut before each of its parts, the longest end first."""
    at = 0
    while at >= 0:
        yield name[:at], name[at:]
        at = name.find(".", at) + 1 or -1


def _by_content(a: Source, b: Source, left: list[Entry], right: list[Entry]) -> list[tuple[str, str, str]]:
    """Pairs of equal dtype, shape and values."""
    kinds = {(e.dtype, e.shape) for e in left} & {(e.dtype, e.shape) for e in right}
    waiting: dict[tuple, list[str]] = {}
    for entry in right:
        if (entry.dtype, entry.shape) in kinds:
            waiting.setdefault((entry.dtype, entry.shape, digest(b, entry)), []).append(entry.name)
    found = []
    for entry in left:
        if (entry.dtype, entry.shape) in kinds:
            names = waiting.get((entry.dtype, entry.shape, digest(a, entry)))
            if names:
                found.append((entry.name, names.pop(0), "content"))
    return found


def digest(source: Source, entry: Entry) -> bytes:
    """A hash of a tensor's values, whatever their layout in the file."""
    made = hashlib.blake2b(digest_size=16)
    for chunk in source.chunks(entry):
        made.update(chunk.view(np.uint8).data)
    return made.digest()


def difference(a: Source, x: Entry, b: Source, y: Entry, rtol: float, atol: float) -> dict[str, Any]:
    """How two tensors differ; empty where they do not.

    Returns:
        dict: ``shape`` or ``dtype`` as pairs where they differ; ``norm`` of both as a pair, and of what was added
            ``difference``, its ratio to the first ``relative``, the largest ``max`` and how many ``elements`` differ.
    """
    made: dict[str, Any] = {}
    if x.dtype is not y.dtype:
        made["dtype"] = [x.dtype.name, y.dtype.name]
    if x.shape != y.shape:
        return made | {"shape": [list(x.shape), list(y.shape)]}
    one, two = a.read(x), b.read(y)
    if one.flags.c_contiguous and two.flags.c_contiguous:
        one, two = one.reshape(-1), two.reshape(-1)
    if not made and all(_same_bytes(one[part], two[part]) for part in blocks(one.shape)):
        forget(one)
        forget(two)
        return made
    squares, most, count = np.zeros(3), 0.0, 0
    with np.errstate(all="ignore"):
        for part in blocks(one.shape):
            p, q = _exact(one[part]), _exact(two[part])
            # What is not finite in the same way on both sides does not differ.
            same = (p == q) | (np.isnan(p) & np.isnan(q))
            away = np.where(same, 0, np.abs(p - q))
            if not made and one.dtype.kind in "iu":
                # Large integers that differ can be equal as floating point numbers.
                same = one[part] == two[part]
                away = np.where(same, 0, np.maximum(away, 1))
            differs = ~same & ~(away <= atol + rtol * np.abs(q))
            count += int(differs.sum())
            finite = away[np.isfinite(away)]
            most = math.inf if finite.size < away.size else max(most, float(away.max(initial=0)))
            squares += [float(np.square(np.abs(v[np.isfinite(v)])).sum()) for v in (p, q)] + [
                float(np.square(finite).sum())
            ]
    forget(one)
    forget(two)
    if not count and not made:
        return made
    norms = [norm if math.isfinite(norm) else None for norm in np.sqrt(squares).tolist()]
    if None in (norms[0], norms[2]):
        relative = None
    else:
        relative = norms[2] / norms[0] if norms[0] else (0.0 if not norms[2] else None)
    return made | {
        "norm": norms[:2],
        "difference": norms[2],
        "relative": relative,
        "max": most if math.isfinite(most) else None,
        "elements": count,
        "of": x.count,
    }


def _same_bytes(p: np.ndarray, q: np.ndarray) -> bool:
    p, q = (np.ascontiguousarray(v).reshape(-1).view(np.uint8) for v in (p, q))
    return bool((p == q).all())


def _exact(values: np.ndarray) -> np.ndarray:
    return values.astype(np.complex128 if values.dtype.kind == "c" else np.float64)


def _values(a: Source, b: Source, gone: str, come: str) -> list[dict[str, Any]]:
    """The values that differ; one whose path changed as the tensors' did is the same value."""
    old, new = dict(a.values), b.values
    for path in [path for path in old if path not in new and path.startswith(gone)]:
        if come + path[len(gone) :] in new:
            old[come + path[len(gone) :]] = old.pop(path)
    rows = []
    for path in dict.fromkeys([*old, *new]):
        here = [path in old, path in new]
        if all(here) and _contents(old[path]) == _contents(new[path]):
            continue
        one, two = _plain(old.get(path)), _plain(new.get(path))
        if all(here) and one == two:
            two = f"{two}, with other contents"
        rows.append({"path": path, "a": one, "b": two, "in": here})
    return rows


def _contents(value: Any) -> Any:
    """Equal for equal values, however much their printed forms leave out."""
    if isinstance(value, Tensor):
        return value.dtype, tuple(value.shape), None if value.is_meta else _contents(np.asarray(value._array()))
    if isinstance(value, np.ndarray):
        held = value.tolist() if value.dtype.hasobject else value.tobytes()
        return value.dtype.str, value.shape, _contents(held)
    if isinstance(value, InertTensor):
        return value.kind, repr(value.dtype), value.shape, _contents(value.parts)
    if isinstance(value, Stub):
        parts = value.args, value.kwargs, value.state, value.items, value.entries
        return value.class_name, _contents(parts)
    if isinstance(value, dict):
        return [(repr(key), _contents(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [_contents(item) for item in value]
    return repr(value)


def show(data: dict, console: Console) -> None:
    """Print a comparison."""
    arrow = "->"
    prefixes = [r for r in data["renamed"] if r["by"] == "prefix"]
    if prefixes:
        console.print(Text(f"renamed  {describe_prefix(prefixes)}", style="cyan"))
    for row in data["renamed"]:
        if row["by"] == "content":
            console.print(Text(f"renamed  {row['from']} {arrow} {row['to']}", style="cyan"))
    for kind, style in (("removed", "red"), ("added", "green")):
        for row in data[kind]:
            shape = ",".join(map(str, row["shape"]))
            console.print(Text(f"{kind:<8} {row['name']} {row['dtype']}[{shape}]", style=style))
    if data["changed"]:
        console.print(_table(data["changed"]))
    for row in data["values"][:_MOST_VALUES]:
        old, new = (_shown(row[k]) if here else "nothing" for k, here in zip("ab", row["in"]))
        console.print(Text(f"value    {row['path']}: {old} {arrow} {new}", style="yellow"))
    if len(data["values"]) > _MOST_VALUES:
        more = counted(len(data["values"]) - _MOST_VALUES, "more value")
        console.print(Text(f"and {more}; --json lists them all", style="dim"))
    counts = [f"{len(data[k]):,} {k}" for k in ("changed", "renamed", "added", "removed") if data[k]]
    if data["equal"]:
        console.print(Text(f"equal    {_all_of(data['unchanged'])} and all values", style="green"))
    else:
        same = f"{data['unchanged']:,} unchanged"
        count = len(data["values"])
        others = [f"{counted(count, 'value')} differ{'s' if count == 1 else ''}"] if count else []
        console.print(Text("differs  " + ", ".join([*counts, same, *others]), style="bold"))


def _all_of(count: int) -> str:
    """So many tensors, in words."""
    return "the one tensor" if count == 1 else f"all {count:,} tensors"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def describe_prefix(rows: list[dict]) -> str:
    """What became of the names that changed by one prefix."""
    gone, come = _outer(rows[0]["from"], rows[0]["to"])
    return f"{counted(len(rows), 'name')}: '{gone}' -> '{come}'"


def _outer(was: str, now: str) -> tuple[str, str]:
    """The prefixes by which two names differ."""
    return next((a, b) for a, end in _splits(was) for b, other in _splits(now) if end == other)


def _table(rows: list[dict]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("changed", overflow="fold")
    for head in ("norm a", "norm b", "|b - a|", "relative", "largest"):
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        name = Text(row["to"])
        if "dtype" in row:
            name.append(f" {_short(row['dtype'][0])} -> {_short(row['dtype'][1])}", style="yellow")
        if "shape" in row:
            old, new = (",".join(map(str, shape)) for shape in row["shape"])
            name.append(f" [{old}] -> [{new}]", style="yellow")
            table.add_row(name, "", "", "", "", "")
            continue
        relative = "-" if row["relative"] is None else f"{row['relative']:.2%}"
        cells = [number(v) for v in (*row["norm"], row["difference"])]
        table.add_row(name, *cells, relative, "NaN/Inf" if row["max"] is None else number(row["max"]))
    return table


def _short(name: str) -> str:
    return short_dtype(dtypes.named(name))
