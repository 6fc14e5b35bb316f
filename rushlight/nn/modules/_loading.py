"""Owns what happens around a load: renaming keys, ties, and working out from a mismatch what the caller should do.

May import the tensor cell; ``_state_dict`` calls it.
"""

from __future__ import annotations

import ctypes
import difflib
import functools
import re
import sys
import warnings
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

import jax

from ..._tensor.tensor import Tensor
from ..parameter import is_lazy

_ADDED_BY = {
    "module.": "nn.DataParallel or DistributedDataParallel",
    "_orig_mod.": "torch.compile",
    "module._orig_mod.": "torch.compile inside DistributedDataParallel",
    "_orig_mod.module.": "DistributedDataParallel inside torch.compile",
    "ema_model.": "an average of the weights",
}
# Where training scripts keep a model inside of a checkpoint, the likeliest first.
_AVERAGES = ("ema", "averag", "swa")
_SHOWN = 8
_COMPARED = 300


# -- before: the caller's renames -----------------------------------------------------------------------------------


def renamed(entries: Mapping, key_map, strip_prefix) -> OrderedDict:
    """The entries under the names that the caller asks for, with their metadata.

    Args:
        entries: a state dict.
        key_map: a dict from regular expressions to replacements, applied in turn (None drops the key), or a function
            from a key to its new name (None drops it).
        strip_prefix: a prefix, or several, to take off the keys that begin with it.

    Raises:
        TypeError: arguments of other types.
        ValueError: no key begins with the prefix; a pattern is no regular expression, or matches no key; two keys get
            one name.
    """
    found = OrderedDict(entries)
    metadata = getattr(entries, "_metadata", None)
    for change in (*_stripping(found, strip_prefix), *_mapping(found, key_map)):
        found, metadata = _rename(found, metadata, change)
    if metadata is not None:
        found._metadata = metadata  # type: ignore[attr-defined]
    return found


def _stripping(entries: Mapping, prefixes) -> Iterator[Callable]:
    if prefixes is None:
        return
    prefixes = (prefixes,) if isinstance(prefixes, str) else tuple(prefixes)
    if any(not isinstance(p, str) for p in prefixes):
        raise TypeError(f"load_state_dict(): argument 'strip_prefix' must be str or a list of str, not {prefixes!r}")
    if entries and not any(key.startswith(p) for key in entries for p in prefixes):
        shown = ", ".join(f"'{key}'" for key in list(entries)[:3])
        raise ValueError(f"strip_prefix={prefixes[0]!r}: expected keys that begin with it, received {shown}, ...")

    def strip(key: str) -> str:
        return next((key[len(p) :] for p in prefixes if key.startswith(p)), key)

    yield strip


def _mapping(entries: Mapping, key_map) -> Iterator[Callable]:
    if key_map is None:
        return
    if callable(key_map):
        yield key_map
        return
    if not isinstance(key_map, Mapping):
        raise TypeError(
            f"load_state_dict(): argument 'key_map' must be a dict from regular expressions to replacements or a "
            f"function, not {type(key_map).__name__}"
        )
    for pattern, replacement in key_map.items():
        if not isinstance(replacement, (str, type(None))):
            raise TypeError(f"key_map[{pattern!r}]: expected a replacement or None, received {replacement!r:.40}")
        try:
            compiled = re.compile(pattern)
            if isinstance(replacement, str):
                compiled.sub(replacement, "")
        except (re.error, IndexError) as error:
            raise ValueError(f"key_map: {pattern!r} -> {replacement!r} is no regular expression ({error})") from None
        yield functools.partial(_substitute, compiled, replacement)


def _substitute(pattern: re.Pattern, replacement: str | None, key: str) -> str | None:
    if replacement is None:
        return None if pattern.search(key) else key
    return pattern.sub(replacement, key)


def _rename(entries: Mapping, metadata, change: Callable) -> tuple[OrderedDict, Any]:
    out: OrderedDict = OrderedDict()
    sources: dict[str, str] = {}
    paths: dict[str, str] = {}
    for key, value in entries.items():
        new = change(key)
        if new is None:
            continue
        if not isinstance(new, str):
            raise TypeError(f"key_map function: expected a str or None for '{key}', received {type(new).__name__}")
        if new in out:
            raise ValueError(f"key_map gives both '{sources[new]}' and '{key}' the name '{new}'")
        out[new], sources[new] = value, key
        old_path, _, old = key.rpartition(".")
        new_path, _, name = new.rpartition(".")
        if old == name:
            paths[old_path] = new_path
    ours = isinstance(change, functools.partial) and change.func is _substitute
    if ours and entries and sources == {key: key for key in entries}:
        pattern = change.args[0].pattern
        raise ValueError(
            f"key_map: the pattern {pattern!r} changes no key; the keys look like {', '.join(map(repr, list(out)[:3]))}"
        )
    if metadata is not None:
        # A module's version goes where its entries go; modules without entries have nothing to convert.
        metadata = OrderedDict((paths[path], value) for path, value in metadata.items() if path in paths)
    return out, metadata


# -- during: what the model has, and which of it is one tensor -------------------------------------------------------


def own_tensors(module, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every path of a parameter or persistent buffer; a tensor that has several paths comes under each."""
    left_out = module._non_persistent_buffers_set
    for name, value in (*module._parameters.items(), *module._buffers.items()):
        if value is not None and name not in left_out:
            yield prefix + name, value
    for name, child in module._modules.items():
        if child is not None:
            yield from own_tensors(child, f"{prefix}{name}.")


class Ties:
    """The tensors of a model that are reached under several names."""

    def __init__(self, model):
        paths: dict[int, list[str]] = {}
        for key, tensor in own_tensors(model):
            paths.setdefault(id(tensor), []).append(key)
        self.groups = [keys for keys in paths.values() if len(keys) > 1]

    def forgive(self, missing: list[str], entries: Mapping) -> None:
        """A missing key is none where the same tensor was loaded under another name."""
        for keys in self.groups:
            if any(key in entries for key in keys):
                missing[:] = [key for key in missing if key not in keys]

    def restore(self, model, entries: Mapping) -> None:
        """After ``assign=True``: names that shared a tensor share the new one, unless the entries differ."""
        for keys in self.groups:
            given = [entries[key] for key in keys if key in entries]
            if not given or any(not _same_memory(given[0], other) for other in given[1:]):
                continue
            new = _slot_of(model, next(key for key in keys if key in entries))
            for key in keys:
                table, name, _ = _slot_of(model, key)
                table[name] = new[2]


def _same_memory(a, b) -> bool:
    return a is b or (a._storage is b._storage and a._path == b._path)


def _slot_of(model, key: str) -> tuple[dict, str, Any]:
    *path, name = key.split(".")
    for part in path:
        model = model._modules[part]
    table = model._parameters if name in model._parameters else model._buffers
    return table, name, table[name]


def without_mismatches(model, entries: Mapping) -> tuple[OrderedDict, set[str]]:
    """The entries whose shapes fit the model, and the keys of the others; warns about them.

    Args:
        model: has the shapes.
        entries: a state dict.
    """
    wrong = {}
    for key, own in own_tensors(model):
        given = entries.get(key)
        if not isinstance(given, Tensor) or is_lazy(own):
            continue
        has, shape = tuple(given.shape), tuple(own.shape)
        if has != shape and (has, shape) != ((1,), ()):  # old files know no 0-dim tensors
            wrong[key] = f"{key} {has} -> {shape}"
    if wrong:
        warnings.warn(
            f"ignore_mismatched=True: {len(wrong)} entries have another shape than the model and were not loaded: "
            f"{_some(list(wrong.values()))}",
            stacklevel=3,
        )
    kept = OrderedDict((key, value) for key, value in entries.items() if key not in wrong)
    if hasattr(entries, "_metadata"):
        kept._metadata = entries._metadata  # type: ignore[attr-defined]
    return kept, set(wrong)


def _some(items: list[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more


def snapshot(state: dict) -> None:
    """Give the tensors of a state dict storages of their own; those that shared one still do."""
    memo: dict = {}
    for key, value in state.items():
        state[key] = deepcopy(value, memo)


_LARGE = 1 << 26


def give_back_memory(arrays: list) -> None:
    """Let large arrays go, and return what they occupied to the system, which malloc would keep.

    Args:
        arrays: what was replaced; emptied.
    """
    if sum(a.size * a.dtype.itemsize for a in arrays) < _LARGE or not sys.platform.startswith("linux"):
        return
    # An array that is still being computed takes its memory later.
    jax.block_until_ready([a for a in arrays if isinstance(a, jax.Array)])
    arrays.clear()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


# -- after: what to tell ---------------------------------------------------------------------------------------------


def advice(model, given: Mapping, entries: Mapping, missing: list[str], unexpected: list[str]) -> list[str]:
    """The lines that follow the problems in the error: nearest names, differing dtypes, and the remedy.

    Args:
        model: what was loaded into.
        given: the state dict as the caller gave it.
        entries: the same after renaming.
        missing, unexpected: keys.
    """
    own = dict(own_tensors(model))
    remedy = _nested(own, given, entries) or _prefixes(own, missing, unexpected) or _by_position(entries)
    lines = [] if remedy else _nearest(own, missing, unexpected)
    lines += _shapes(own, entries, unexpected) + _dtypes(own, entries)
    return lines + ([remedy] if remedy else [])


def _covered(wanted, keys: list[str]) -> tuple[float, str, str]:
    """How much of ``wanted`` the keys give, best after exchanging which prefix for which."""
    wanted = set(wanted)
    best = (len(wanted & set(keys)) / max(len(wanted), 1), "", "")
    if best[0] == 1.0:
        return best
    last: dict[str, list[str]] = {}
    for key in keys:
        last.setdefault(key.rpartition(".")[2], []).append(key)
    pairs: Counter[tuple[str, str]] = Counter()
    for key in list(wanted)[:_COMPARED]:
        for other in last.get(key.rpartition(".")[2], ())[:_COMPARED]:
            pairs[_apart(other, key)] += 1
    for (old, new), _ in sorted(pairs.most_common(16), key=lambda item: (-item[1], _likelihood(item[0][0]))):
        moved = {new + key[len(old) :] for key in keys if key.startswith(old)}
        share = len(wanted & moved) / max(len(wanted), 1)
        if share > best[0]:
            best = share, old, new
    return best


def _likelihood(prefix: str) -> int:
    return 0 if any(word in prefix.lower() for word in _AVERAGES) else 1


def _apart(found: str, wanted: str) -> tuple[str, str]:
    """The prefixes that are left once the common end of two keys is taken off."""
    a, b = found.split("."), wanted.split(".")
    count = 0
    while count < min(len(a), len(b)) and a[-1 - count] == b[-1 - count]:
        count += 1
    heads = a[: len(a) - count], b[: len(b) - count]
    return tuple("".join(f"{part}." for part in head) for head in heads)  # type: ignore[return-value]


def _arguments(old: str, new: str, strict: bool) -> str:
    change = ""
    if old and not new:
        change = f", strip_prefix={old!r}"
    elif old or new:
        change = f", key_map={{{'^' + re.escape(old)!r}: {new!r}}}"
    return change + ("" if strict else ", strict=False")


def _nested(own: dict, given: Mapping, entries: Mapping) -> str | None:
    """The line for checkpoints that hold the state dict under one of their keys."""
    if len(own.keys() & entries.keys()) * 2 > len(own):
        return None
    if {"state", "param_groups"} == given.keys():
        return "state_dict is that of an optimizer. Remedy: optimizer.load_state_dict(state_dict)"
    found = []
    for name, inner in given.items():
        if isinstance(inner, Mapping) and inner and all(isinstance(key, str) for key in inner):
            share, old, new = _covered(own, list(inner))
            if share > 0.5:
                found.append((share, not any(word in str(name).lower() for word in _AVERAGES), name, old, new))
    if not found:
        return None
    share, _, name, old, new = max(found, key=lambda item: item[:2])
    inner = given[name]
    rest = {new + key.removeprefix(old) if key.startswith(old) else key for key in inner} - own.keys()
    kind = "is a Lightning checkpoint: it" if "pytorch-lightning_version" in given else "is a checkpoint that"
    also = [repr(other[2]) for other in found if other[2] != name]
    more = f" (others are under {', '.join(also)})" if also else ""
    how = _arguments(old, new, share == 1.0 and not rest)
    return (
        f"state_dict {kind} holds the model's entries under {name!r}{more}. Remedy: "
        f"model.load_state_dict(checkpoint[{name!r}]{how})"
    )


def _second_copy(own: dict, unexpected: list[str]) -> str | None:
    """The line for a state dict that holds the model once more under a prefix, as an average is kept."""
    share, old, new = _covered(list(own), unexpected)
    if share <= 0.5 or new or any(not key.startswith(old) for key in unexpected):
        return None
    return (
        f"state_dict holds the model a second time, under '{old}'. Remedy: "
        f"model.load_state_dict(state_dict, key_map={{{'^' + re.escape(old)!r}: None}}), or load "
        f"{{k.removeprefix('{old}'): v for k, v in state_dict.items() if k.startswith('{old}')}} to take that one."
    )


def _prefixes(own: dict, missing: list[str], unexpected: list[str]) -> str | None:
    """The line for keys that differ from the model's by their beginning alone."""
    if not unexpected:
        return None
    if not missing:
        return _second_copy(own, unexpected)
    share, old, new = _covered(missing, unexpected)
    if share <= 0.5 or old == new:
        return None
    moved = {new + key[len(old) :] for key in unexpected if key.startswith(old)}
    rest = [key for key in unexpected if not key.startswith(old) or new + key[len(old) :] not in own]
    strict = share == 1.0 and not rest and moved <= own.keys()
    how = _arguments(old, new, strict)
    if old and new:
        return (
            f"Keys in state_dict begin with '{old}' where those in the model begin with '{new}'. Remedy: "
            f"model.load_state_dict(state_dict{how})"
        )
    if old:
        by = f", which {_ADDED_BY[old]} adds" if old in _ADDED_BY else ""
        if "n_averaged" in unexpected:
            by, how = (
                ", as AveragedModel saves them",
                f", key_map={{{'^' + re.escape(old)!r}: '', '^n_averaged$': None}}",
            )
        return (
            f"The keys in state_dict begin with '{old}'{by}. Remedy: model.load_state_dict(state_dict{how}), or load "
            f"{{k.removeprefix('{old}'): v for k, v in state_dict.items()}} instead."
        )
    by = f", which {_ADDED_BY[new]} adds" if new in _ADDED_BY else ""
    return (
        f"The keys in the model begin with '{new}'{by}, those in state_dict do not. Remedy: "
        f"model.load_state_dict(state_dict{how}), or load {{'{new}' + k: v for k, v in state_dict.items()}} instead."
    )


def _by_position(entries: Mapping) -> str | None:
    """The line for averages that are kept as a list, without names."""
    shadows = entries.get("shadow_params")
    if not isinstance(shadows, (list, tuple)):
        return None
    return (
        "state_dict is an average that keeps its parameters by position. Remedy: "
        "model.load_state_dict(dict(zip(dict(model.named_parameters()), checkpoint['shadow_params'])), strict=False)"
    )


def _nearest(own: dict, missing: list[str], unexpected: list[str]) -> list[str]:
    """For keys that only one side has: what the other side has that looks alike."""
    lines = []
    pool = unexpected[: _COMPARED * 2]
    for key in missing[:_SHOWN]:
        close = difflib.get_close_matches(key, pool, 2, 0.75)
        if close:
            lines.append(f'nearest to the missing "{key}" in state_dict: {_quoted(close)}.')
    taken = " ".join(lines)
    pool = (missing or list(own))[: _COMPARED * 2]
    for key in unexpected[:_SHOWN]:
        if f'"{key}"' in taken:
            continue
        close = difflib.get_close_matches(key, pool, 2, 0.75)
        if close:
            lines.append(f'nearest to the unexpected "{key}" in the model: {_quoted(close)}.')
    return lines


def _quoted(keys: list[str]) -> str:
    return ", ".join(f'"{key}"' for key in keys)


def _shapes(own: dict, entries: Mapping, unexpected: list[str]) -> list[str]:
    """For entries of another shape: whether a transposed one fits, or another entry does."""
    lines = []
    for key, tensor in own.items():
        given = entries.get(key)
        if not isinstance(given, Tensor) or is_lazy(tensor) or len(lines) == _SHOWN:
            continue
        has, shape = tuple(given.shape), tuple(tensor.shape)
        if has == shape:
            continue
        if len(has) > 1 and has[::-1] == shape:
            lines.append(f'"{key}" in state_dict is the transpose of what the model has.')
            continue
        fits = [k for k in unexpected if isinstance(entries.get(k), Tensor) and tuple(entries[k].shape) == shape]
        close = difflib.get_close_matches(key, fits[:_COMPARED], 2, 0.5)
        if close:
            lines.append(f'nearest to "{key}" with its shape in state_dict: {_quoted(close)}.')
    return lines


def _dtypes(own: dict, entries: Mapping) -> list[str]:
    """Which dtypes differ: no problem by itself, because contents are converted."""
    kinds: dict[tuple, list[str]] = {}
    for key, tensor in own.items():
        given = entries.get(key)
        if isinstance(given, Tensor) and given.dtype is not tensor.dtype:
            kinds.setdefault((given.dtype, tensor.dtype), []).append(key)
    return [
        f"dtype differs for {_quoted(keys[:3])}{f' and {len(keys) - 3} more' if len(keys) > 3 else ''}: {given!r} in "
        f"state_dict, {has!r} in the model; loading converts."
        for (given, has), keys in kinds.items()
    ]
