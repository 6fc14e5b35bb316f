"""Owns ``torch.distributed.tensor.parallel``: plans that divide layers over the processes of a mesh: one.

May import the words below, the meshes, nn and _errors.
"""

from __future__ import annotations

import warnings
from fnmatch import fnmatch
from typing import Any

from ...._errors import missing_name
from ....nn import Module
from ...device_mesh import _entered
from .style import (
    ColwiseParallel,
    ParallelStyle,
    PrepareModuleInput,
    PrepareModuleOutput,
    RowwiseParallel,
    SequenceParallel,
)


def parallelize_module(
    module: Module, device_mesh: Any = None, parallelize_plan: Any = None, *, src_data_rank: int | None = 0
) -> Module:
    """Divide layers over the processes of a mesh; with one process, each piece is the whole, a plain tensor.

    Args:
        module: the module.
        device_mesh: the mesh; default: that of the block around the call.
        parallelize_plan: how each layer is divided: a style, or styles by names, which may be patterns.
        src_data_rank: whose parameters count; accepted: there is one process.

    Returns:
        Module: the same module; with a warning where there is no plan, or a name that fits nothing.

    Raises:
        NotImplementedError: a style that does not fit a layer.
        RuntimeError: no mesh.
        TypeError: a plan of another type.

    Example:
        >>> import rushlight as torch
        >>> from rushlight.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
        >>> mesh = torch.distributed.init_device_mesh("cpu", (1,))
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Linear(4, 2))
        >>> parallelize_module(model, mesh, {"0": ColwiseParallel(), "1": RowwiseParallel()}) is model
        True
        >>> torch.distributed.destroy_process_group()
    """
    if device_mesh is None:
        if not _entered:
            raise RuntimeError("No device mesh is currently active! Pass device_mesh=, or call inside of its block.")
        device_mesh = _entered[-1]
    if parallelize_plan is None:
        warnings.warn(
            "No parallelize_plan is provided and auto-parallel is not supported at the moment, so this "
            "parallelize_module call will do nothing.",
            stacklevel=2,
        )
        return module
    if isinstance(parallelize_plan, ParallelStyle):
        parallelize_plan.src_data_rank = src_data_rank
        return parallelize_plan._apply(module, device_mesh)
    if not isinstance(parallelize_plan, dict):
        raise TypeError(
            f"Expect Union[ParallelStyle, Dict[str, ParallelStyle]] for parallelize_plan, {type(parallelize_plan)} "
            "found!"
        )
    for path, style in parallelize_plan.items():
        first, _, rest = path.partition(".")
        chosen = [module] if path == "" else [one for name, one in module.named_children() if fnmatch(name, first)]
        if not chosen:
            warnings.warn(
                f"Parallelize plan key '{path}' could not be resolved: no submodule matching token '{first}' in module "
                f"{module}, skipping this plan entry.",
                stacklevel=2,
            )
        for one in chosen:
            parallelize_module(one, device_mesh, {rest: style} if rest else style, src_data_rank=src_data_rank)
    return module


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = [
    "ColwiseParallel", "ParallelStyle", "PrepareModuleInput", "PrepareModuleOutput", "RowwiseParallel",
    "SequenceParallel", "parallelize_module",
]  # fmt: skip
