"""Owns the forms of views that copy (``torch.t_copy``) and that write back (``as_strided_scatter``).

May import the views, joining and splitting, and the tensor cell.
"""

from __future__ import annotations

from .._tensor.tensor import Tensor
from . import indexing, join, shape, strided
from ._execute import write_out
from ._op import attach
from ._synonyms import with_synonyms
from .convert import clone


def _copy(name, view, doc):
    view = with_synonyms(view)

    def copied(*args, out=None, **kwargs):
        viewed = view(*args, **kwargs)
        if isinstance(viewed, tuple):
            made = tuple(clone(v) for v in viewed)
            if out is not None:
                write_out(name, made, out)
                return None
            return made
        made = clone(viewed)
        return made if out is None else write_out(name, made, out)

    copied.__name__ = copied.__qualname__ = name
    copied.__doc__ = doc
    return copied


def _slice(input, dim=0, start=None, end=None, step=1):
    return input[(slice(None),) * shape.wrap_dim(dim, input.dim()) + (slice(start, end, step),)]


_VIEWS = {
    "alias": shape.view_whole, "as_strided": shape.as_strided, "detach": Tensor.detach, "diagonal": strided.diagonal,
    "expand": Tensor.expand, "narrow": indexing.narrow, "permute": shape.permute, "select": indexing.select,
    "slice": _slice, "split": join.split, "split_with_sizes": join.split_with_sizes, "squeeze": shape.squeeze,
    "t": shape.t, "transpose": shape.transpose, "unbind": join.unbind, "unfold": Tensor.unfold,
    "unsqueeze": shape.unsqueeze, "view": Tensor.view, "view_as_complex": strided.view_as_complex,
    "view_as_real": strided.view_as_real,
}  # fmt: skip
(
    alias_copy, as_strided_copy, detach_copy, diagonal_copy, expand_copy, narrow_copy, permute_copy, select_copy,
    slice_copy, split_copy, split_with_sizes_copy, squeeze_copy, t_copy, transpose_copy, unbind_copy, unfold_copy,
    unsqueeze_copy, view_copy, view_as_complex_copy, view_as_real_copy,
) = (_copy(f"{_name}_copy", _view, f"``{_name}``, copied.") for _name, _view in _VIEWS.items())  # fmt: skip
attach("narrow_copy", narrow_copy)


def as_strided_scatter(input, src, size, stride, storage_offset=None):
    """``input`` with the elements at the given strides replaced by ``src``."""
    out = clone(input)
    shape.as_strided(out, size, stride, storage_offset).copy_(src)
    return out


attach("as_strided_scatter", as_strided_scatter)


def detach(input):
    """The same contents with no history, sharing the storage."""
    return input.detach()


def unsafe_split_with_sizes(input, split_sizes, dim=0):
    """``split_with_sizes``."""
    return join.split_with_sizes(input, split_sizes, dim)


attach("unsafe_split_with_sizes", unsafe_split_with_sizes)

__all__ = [
    "alias_copy", "as_strided_copy", "as_strided_scatter", "detach", "detach_copy", "diagonal_copy", "expand_copy",
    "narrow_copy", "permute_copy", "select_copy", "slice_copy", "split_copy", "split_with_sizes_copy", "squeeze_copy",
    "t_copy", "transpose_copy", "unbind_copy", "unfold_copy", "unsafe_split_with_sizes", "unsqueeze_copy",
    "view_as_complex_copy", "view_as_real_copy", "view_copy",
]  # fmt: skip
