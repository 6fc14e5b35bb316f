"""Owns the words in which plans say how a layer is divided over processes, with torch's defaults and forms.

May import the placements, nn and _errors.
"""

from __future__ import annotations

from typing import Any

from ...._errors import missing_name
from ....nn import Embedding, Linear, Module
from ..placement_types import Replicate, Shard


class ParallelStyle:
    """How one layer would be divided."""

    _shown: tuple[str, ...] = ()
    src_data_rank: int | None = 0

    def _apply(self, module: Module, device_mesh: Any) -> Module:
        """Divide a layer; with one process, the piece is the whole."""
        return module

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)}' for name in self._shown)})"


class _Divided(ParallelStyle):
    _shown = ("input_layouts", "output_layouts", "use_local_output")
    _defaults: tuple = ()

    def __init__(self, *, input_layouts: Any = None, output_layouts: Any = None, use_local_output: bool = True):
        before, after = self._defaults
        self.input_layouts = (input_layouts or before,)
        self.output_layouts = (output_layouts or after,)
        if before.is_replicate():
            # What a layer with divided outputs computes with; with divided inputs, that depends on its kind.
            self.desired_input_layouts = (before,)
        self.use_local_output = use_local_output

    def _apply(self, module: Module, device_mesh: Any) -> Module:
        if not isinstance(module, Linear | Embedding):
            raise NotImplementedError(
                f"{type(self).__name__} currently only support nn.Linear and nn.Embedding! Received "
                f"{type(module).__name__}."
            )
        return module


class ColwiseParallel(_Divided):
    """Divide the outputs of a layer.

    Args:
        input_layouts: how its input lies; default: whole.
        output_layouts: how its output is to lie; default: divided along the last dimension.
        use_local_output: whether it is to be a plain tensor.

    Example:
        >>> import rushlight as torch
        >>> torch.distributed.tensor.parallel.ColwiseParallel()
        ColwiseParallel(input_layouts=(Replicate(),), output_layouts=(Shard(dim=-1),), use_local_output=True)
    """

    _defaults = (Replicate(), Shard(-1))


class RowwiseParallel(_Divided):
    """Divide the inputs of a layer.

    Args:
        input_layouts: how its input lies; default: divided along the last dimension.
        output_layouts: how its output is to lie; default: whole.
        use_local_output: whether it is to be a plain tensor.
    """

    _defaults = (Shard(-1), Replicate())


class SequenceParallel(ParallelStyle):
    """Divide the positions of a sequence.

    Args:
        sequence_dim: their dimension.
        use_local_output: whether the output is to be a plain tensor.
    """

    def __init__(self, *, sequence_dim: int = 1, use_local_output: bool = False):
        self.sequence_sharding = (Shard(sequence_dim),)
        self.use_local_output = use_local_output

    def __repr__(self) -> str:
        return (
            f"SequenceParallel(sequence_dim={self.sequence_sharding[0].dim}, use_local_output={self.use_local_output})"
        )


def _several(layouts: Any) -> Any:
    return layouts if layouts is None or isinstance(layouts, tuple) else (layouts,)


class PrepareModuleInput(ParallelStyle):
    """Change how the inputs of a layer lie.

    Args:
        input_layouts, desired_input_layouts: from, and to, for each input.
        input_kwarg_layouts, desired_input_kwarg_layouts: the same for keywords.
        use_local_output: whether they are to be plain tensors.

    Raises:
        AssertionError: not as many of one as of the other.
    """

    _shown = (
        "input_layouts", "desired_input_layouts", "input_kwarg_layouts", "desired_input_kwarg_layouts",
        "use_local_output",
    )  # fmt: skip

    def __init__(
        self, *, input_layouts: Any = None, desired_input_layouts: Any = None,
        input_kwarg_layouts: dict[str, Any] | None = None, desired_input_kwarg_layouts: dict[str, Any] | None = None,
        use_local_output: bool = False,
    ):  # fmt: skip
        self.input_layouts, self.desired_input_layouts = _several(input_layouts), _several(desired_input_layouts)
        self.use_local_output = use_local_output
        if self.input_layouts is not None:
            if self.desired_input_layouts is None:
                raise AssertionError("desired module inputs should not be None!")
            if len(self.input_layouts) != len(self.desired_input_layouts):
                raise AssertionError("input_layouts and desired_input_layouts should have same length!")
        self.with_kwargs = input_kwarg_layouts is not None
        self.input_kwarg_layouts = input_kwarg_layouts or {}
        self.desired_input_kwarg_layouts = desired_input_kwarg_layouts or {}
        if self.input_kwarg_layouts.keys() != self.desired_input_kwarg_layouts.keys() and self.with_kwargs:
            raise AssertionError("input_kwarg_layouts and desired_input_kwarg_layouts should have same length!")


class PrepareModuleOutput(ParallelStyle):
    """Change how the outputs of a layer lie.

    Args:
        output_layouts, desired_output_layouts: from, and to, for each output.
        use_local_output: whether they are to be plain tensors.

    Raises:
        AssertionError: not as many of one as of the other.
    """

    _shown = ("output_layouts", "desired_output_layouts", "use_local_output")

    def __init__(self, *, output_layouts: Any, desired_output_layouts: Any, use_local_output: bool = True):
        self.output_layouts, self.desired_output_layouts = _several(output_layouts), _several(desired_output_layouts)
        self.use_local_output = use_local_output
        if len(self.output_layouts) != len(self.desired_output_layouts):
            raise AssertionError("output_layouts and desired_output_layouts should have same length!")


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = [
    "ColwiseParallel", "ParallelStyle", "PrepareModuleInput", "PrepareModuleOutput", "RowwiseParallel",
    "SequenceParallel",
]  # fmt: skip
