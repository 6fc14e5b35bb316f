"""Owns ``torch.distributed.device_mesh`` as a refusal: meshes of processes, where JAX has meshes of devices.

May import _errors.
"""

from __future__ import annotations

from typing import Any

from .._errors import missing_name, not_supported

_INSTEAD = "Keep tensors whole; torch.nn.DataParallel splits a batch over the devices that JAX sees."


class DeviceMesh:
    """An arrangement of processes; nothing is one, so ``isinstance`` says no.

    Raises:
        NotImplementedError: always.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        raise not_supported("torch.distributed.device_mesh.DeviceMesh", _INSTEAD)


def init_device_mesh(*args: Any, **kwargs: Any) -> DeviceMesh:
    """Refused.

    Raises:
        NotImplementedError: always.
    """
    raise not_supported("torch.distributed.init_device_mesh", _INSTEAD)


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["DeviceMesh", "init_device_mesh"]
