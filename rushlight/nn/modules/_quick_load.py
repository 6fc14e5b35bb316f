"""Owns loading where nothing can go wrong: every entry fits, and no module has a say in how it is loaded.

May import the tensor cell and the traversal; whatever is not plain is left to ``_state_dict``, which names problems.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from ..._graph.modes import state
from ..._tensor.storage import Storage
from ..._tensor.tensor import Tensor
from ..._tensor.unread import Unread, put_back
from ..parameter import Parameter
from ._traversal import walk

# Methods ``_load_from_state_dict`` that copy the entries and do no more where those are all there, and no others.
_PLAIN: set[Callable] = set()
_TENSORS = frozenset((Tensor, Parameter))
_DICTS = frozenset((dict, OrderedDict))


def plain_when_complete(method: Callable) -> Callable:
    """Declare that a ``_load_from_state_dict`` only copies where the entries are exactly those of the module."""
    _PLAIN.add(method)
    return method


def plan(root, entries: Mapping, extra: Callable) -> list[tuple[Tensor, Tensor]] | None:
    """Every tensor of the model with the entry to copy into it; None unless that is all there is to a load.

    Args:
        root: the model.
        entries: a state dict.
        extra: the ``set_extra_state`` of modules that have no extra state.
    """
    if entries.__class__ not in _DICTS or state.vmap is not None or state.trace is not None:
        return None
    pairs = []
    get = entries.get
    for path, module in walk(root, None, "", False):
        kind, own = type(module), module.__dict__
        if (
            kind._load_from_state_dict not in _PLAIN
            or kind.set_extra_state is not extra
            or "_load_from_state_dict" in own
            or "_load_state_dict_pre_hooks" in own
            or "_load_state_dict_post_hooks" in own
        ):
            return None
        base = path + "." if path else ""
        left_out = own["_non_persistent_buffers_set"]
        for table in (own["_parameters"], own["_buffers"]):
            for name, tensor in table.items():
                if tensor is None or name in left_out:
                    continue
                given: Any = get(base + name)
                if given.__class__ not in _TENSORS or tensor.__class__ not in _TENSORS:
                    return None
                source, target = given._storage, tensor._storage
                if given._path or tensor._path or source.__class__ is not Storage or source.device is not target.device:
                    return None
                array = source.array
                form = target.array if target.__class__ is Storage else target.form
                if array is not form and (array.shape != form.shape or array.dtype != form.dtype):
                    return None
                pairs.append((tensor, given))
    return pairs if len(pairs) == len(entries) else None


def copy(pairs: list[tuple[Tensor, Tensor]]) -> list:
    """Let every first tensor have the contents of the second; the arrays that were replaced come back."""
    before = []
    try:
        for tensor, given in pairs:
            target = tensor._storage
            before.append((target, target.form))
            target.write(given._storage.array)  # arrays do not change, so the two can hold the same one
    except BaseException:
        for target, form in before:
            if target.form is not form:
                put_back(target, form)
        raise
    return [form for target, form in before if target.array is not form and type(form) is not Unread]
