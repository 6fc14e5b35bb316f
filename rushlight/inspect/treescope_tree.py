"""Owns how treescope shows modules and tensors: a module as its settings, tensors and children, a tensor by its values.

May import the tensor, modules and numpy; treescope itself is imported on use.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from typing import Any

import numpy as np

from .._tensor.tensor import Tensor
from ..nn.modules.module import Module


def available() -> bool:
    """Whether treescope is installed."""
    try:
        import treescope  # noqa: F401
    except ImportError:
        return False
    return True


@functools.cache
def _register() -> None:
    """Teach treescope about tensors, the first time that it shows one of our modules."""
    from treescope import rendering_parts as parts
    from treescope import type_registries
    from treescope.external.numpy_support import NumpyArrayAdapter

    class Adapter(NumpyArrayAdapter):
        """What treescope asks about a tensor."""

        def get_axis_info_for_array_data(self, array: Any) -> Any:
            return super().get_axis_info_for_array_data(_described(array))

        def get_array_data_with_truncation(self, array: Any, mask: Any, edge_items_per_axis: Any) -> Any:
            return super().get_array_data_with_truncation(_values(array), mask, edge_items_per_axis)

        def get_numpy_dtype(self, array: Any) -> Any:
            return array.dtype.np

        def should_autovisualize(self, array: Any) -> bool:
            return not array.is_meta

        def get_array_summary(self, array: Any, fast: bool) -> Any:
            kind = f"{type(array).__name__} {array.dtype!r}{list(array.shape)}"
            where = "" if array.device.type == "cpu" else f" on {array.device}"
            frozen = " frozen" if type(array).__name__ == "Parameter" and not array.requires_grad else ""
            found = "" if fast or array.is_meta else _statistics(array)
            return parts.siblings(
                parts.text(kind + where + frozen), parts.abbreviatable(parts.text(found), parts.empty_part())
            )

    adapter = type_registries.NDARRAY_ADAPTER_REGISTRY[Tensor] = Adapter()

    def tensor(node: Tensor, path: str | None, subtree_renderer: Any) -> Any:
        """One line about a tensor, which opens to show its values."""
        marks = [parts.fold_condition(collapsed=parts.text(mark)) for mark in "<>"]
        label = parts.abbreviation_color(parts.siblings(marks[0], adapter.get_array_summary(node, False), marks[1]))
        lines = [parts.text(line) for line in repr(node).splitlines()]
        return parts.build_custom_foldable_tree_node(
            label=label,
            contents=parts.fold_condition(expanded=parts.indented_children(lines)),
            path=path,
            expand_state=parts.ExpandState.COLLAPSED,
        )

    type_registries.TREESCOPE_HANDLER_REGISTRY[Tensor] = tensor


def _values(tensor: Tensor) -> np.ndarray:
    return np.asarray(tensor.detach()._array())


def _described(tensor: Tensor) -> Any:
    return np.broadcast_to(np.zeros((), tensor.dtype.np), tuple(int(n) for n in tensor.shape))


def _statistics(tensor: Tensor) -> str:
    from .source import blocks
    from .stats import number, statistics

    values = _values(tensor)
    found = statistics((values[part].reshape(-1) for part in blocks(values.shape)), values.size)
    if found.mean is None:
        return ""
    text = f" ≈{number(found.mean)} ±{number(found.std)} [≥{number(found.min)}, ≤{number(found.max)}]"
    counts = (("zero", found.zero), ("nan", found.nan), ("inf", found.inf))
    return text + "".join(f" {name}:{count:,}" for name, count in counts if count)


def attributes(module: Module) -> dict[str, Any]:
    """What a module shows: its settings, then parameters, buffers and children."""
    held = vars(module)
    plain = {name: value for name, value in held.items() if not name.startswith("_") and name != "training"}
    return plain | module._parameters | module._buffers | module._modules


def render(module: Module, path: str | None, subtree_renderer: Any) -> Any:
    """A module for treescope; arguments are those of its ``__treescope_repr__``."""
    from treescope import formatting_util, repr_lib

    _register()
    return repr_lib.render_object_constructor(
        object_type=type(module),
        attributes=attributes(module),
        path=path,
        subtree_renderer=subtree_renderer,
        color=formatting_util.color_from_string(type(module).__qualname__),
    )


def asked() -> bool:
    """Whether treescope itself wants an object's HTML, to show it below its own tree of that object."""
    frame = sys._getframe(1)
    for _ in range(6):
        if frame.f_back is None:
            return False
        frame = frame.f_back
        if frame.f_globals.get("__name__", "").startswith("treescope."):
            return True
    return False


def module_html(module: Module) -> str:
    """A module's tree as treescope draws it, for a notebook."""
    import treescope

    usual = treescope.active_renderer.get()
    # It would show the HTML that objects give of themselves too, which is what is being made here.
    hooks = [hook for hook in usual.wrapper_hooks if "repr_html" not in getattr(hook, "__name__", "")]
    with treescope.active_renderer.set_scoped(dataclasses.replace(usual, wrapper_hooks=hooks)):
        return treescope.render_to_html(module)
