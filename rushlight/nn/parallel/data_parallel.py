"""Owns ``DataParallel``: the wrapper that puts ``module.`` before every name, and runs the model on one device.

May import Module and the devices.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

from ... import _device as devices
from ..modules.module import Module
from ._inputs import first_device, moved


class DataParallel(Module):
    """A model as attribute ``module`` of another; calls go through to it, names gain ``module.``.

    The whole batch runs on the first device: results are those of PyTorch, and batch statistics are those of the whole
    batch.

    Args:
        module: the model.
        device_ids: GPUs; default: all. Without a GPU it is not looked at, and the model stays where it is.
        output_device: where the result goes; default: the first of ``device_ids``.
        dim: the batch dimension.

    Shape: those of ``module``.

    Raises:
        RuntimeError: (on a call) a parameter is on another device than the first of ``device_ids``.

    Example:
        >>> from rushlight import nn
        >>> list(nn.DataParallel(nn.Linear(2, 3)).state_dict())
        ['module.weight', 'module.bias']
    """

    def __init__(self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0) -> None:
        super().__init__()
        self.dim = dim
        self.module = module
        gpus = len(devices.present("cuda"))
        ids = list(range(gpus) if device_ids is None else device_ids) if gpus else []
        self.device_ids = [devices.device(i).index or 0 for i in ids]
        if not self.device_ids:
            return
        self.src_device_obj = devices.device("cuda", self.device_ids[0])
        output = self.src_device_obj if output_device is None else devices.device(output_device)
        self.output_device = output.index if output.type == "cuda" else output
        if len(self.device_ids) == 1:
            self.module.to(self.src_device_obj)

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """Call the model."""
        if not self.device_ids:
            return self.module(*inputs, **kwargs)
        source = devices.resolve(self.src_device_obj)
        for t in chain(self.module.parameters(), self.module.buffers()):
            if t.device != source:
                raise RuntimeError(
                    f"module must have its parameters and buffers on device {source} (device_ids[0]) but found one of "
                    f"them on device: {t.device}. Move it with model.to('{source}')."
                )
        result = self.module(*moved(inputs, source), **moved(kwargs, source))
        return moved(result, first_device(self.output_device))


def data_parallel(
    module: Module, inputs: Any, device_ids: Any = None, output_device: Any = None, dim: int = 0, module_kwargs=None
) -> Any:
    """One call of a model as ``DataParallel`` makes it.

    Args:
        module: the model.
        inputs: a tuple of arguments, or the only one.
        device_ids, output_device, dim: as for ``DataParallel``.
        module_kwargs: keyword arguments.
    """
    args = inputs if isinstance(inputs, tuple) else (inputs,)
    return DataParallel(module, device_ids, output_device, dim)(*args, **(module_kwargs or {}))


__all__ = ["DataParallel", "data_parallel"]
