"""Owns helpers of layers under the names torch's users import: tuples of sizes, and prefixes of checkpoints.

May import nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


def _ntuple(n: int, name: str = "parse") -> Callable[[Any], tuple]:
    """A function that makes a tuple: of one value ``n`` times, or of a sequence as it is."""

    def parse(x: Any) -> tuple:
        return tuple(x) if isinstance(x, Iterable) else (x,) * n

    parse.__name__ = name
    return parse


_single = _ntuple(1, "_single")
_pair = _ntuple(2, "_pair")
_triple = _ntuple(3, "_triple")
_quadruple = _ntuple(4, "_quadruple")


def _reverse_repeat_tuple(t: tuple, n: int) -> tuple:
    """The values from last to first, each ``n`` times: paddings in the order ``functional.pad`` wants them."""
    return tuple(x for x in reversed(t) for _ in range(n))


def _list_with_default(out_size: Any, defaults: list[int]) -> Any:
    """``out_size`` with the last of ``defaults`` in place of None; an int stays one.

    Raises:
        ValueError: too few defaults.
    """
    if isinstance(out_size, int):
        return out_size
    count = len(out_size)
    if len(defaults) <= count:
        raise ValueError(f"Input dimension should be at least {count + 1}")
    return [default if size is None else size for size, default in zip(out_size, defaults[-count:])]


def consume_prefix_in_state_dict_if_present(state_dict: dict[str, Any], prefix: str) -> None:
    """Remove a prefix such as ``"module."`` from the names of a state dict, in place.

    Args:
        state_dict: what ``Module.state_dict`` gave, or a file held.
        prefix: the prefix, with its dot.

    Example:
        >>> from rushlight.nn.modules.utils import consume_prefix_in_state_dict_if_present
        >>> state = {"module.weight": 1}
        >>> consume_prefix_in_state_dict_if_present(state, "module.")
        >>> state
        {'weight': 1}
    """
    for key in [key for key in state_dict if key.startswith(prefix)]:
        state_dict[key[len(prefix) :]] = state_dict.pop(key)
    metadata = getattr(state_dict, "_metadata", None)
    if metadata is None:
        return
    # The wrapper's own entry goes; the entry of what it wraps, "module", becomes the root's.
    for key in [key for key in metadata if key and (key == prefix.replace(".", "") or key.startswith(prefix))]:
        metadata[key[len(prefix) :]] = metadata.pop(key)


__all__ = ["consume_prefix_in_state_dict_if_present"]
