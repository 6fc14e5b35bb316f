"""Owns the options of the one kind of agent: how many threads answer calls, and how long a call may take.

May import the constants, _errors and the devices.
"""

from __future__ import annotations

from typing import Any

from ... import _device as devices
from ..._errors import missing_name, not_supported
from . import constants


def _device_map(given: dict) -> dict:
    found: dict = {}
    for source, target in given.items():
        source, target = devices.device(source), devices.device(target)
        if target in found.values():
            other = next(key for key, value in found.items() if value == target)
            raise ValueError(
                f"`device_map` only supports 1-to-1 mapping, trying to map {source} and {other} to {target}"
            )
        found[source] = target
    return found


def _cuda_devices(given: list) -> list:
    found = [devices.device(one) for one in given]
    for one in found:
        if one.type != "cuda":
            raise ValueError(f"`set_devices` expect a list of CUDA devices, but got device type {one.type}.")
    return found


class RpcBackendOptions:
    """What every kind of agent is told.

    Args:
        rpc_timeout: how many seconds a call may take; 0 for any number.
        init_method: how several processes would find each other; accepted.
    """

    def __init__(
        self,
        rpc_timeout: float = constants.DEFAULT_RPC_TIMEOUT_SEC,
        init_method: str = constants.DEFAULT_INIT_METHOD,
    ):
        self.rpc_timeout = float(rpc_timeout)
        self.init_method = init_method


class TensorPipeRpcBackendOptions(RpcBackendOptions):
    """What the agent is told.

    Args:
        num_worker_threads: how many calls run at the same time.
        rpc_timeout: how many seconds a call may take; 0 for any number.
        init_method: how several processes would find each other; accepted.
        device_maps: for other workers, on which device a tensor arrives; kept, and there is no other worker.
        devices: the CUDA devices in use; kept: JAX orders work by itself.

    Raises:
        ValueError: a map that sends two devices to one, or a device that is no CUDA device.
        NotImplementedError: transports or channels of TensorPipe.

    Example:
        >>> import rushlight as torch
        >>> torch.distributed.rpc.TensorPipeRpcBackendOptions(rpc_timeout=5).rpc_timeout
        5.0
    """

    def __init__(
        self, *, num_worker_threads: int = constants.DEFAULT_NUM_WORKER_THREADS,
        rpc_timeout: float = constants.DEFAULT_RPC_TIMEOUT_SEC, init_method: str = constants.DEFAULT_INIT_METHOD,
        device_maps: dict[str, dict] | None = None, devices: list | None = None, _transports: list | None = None,
        _channels: list | None = None,
    ):  # fmt: skip
        if _transports or _channels:
            raise not_supported(
                "TensorPipeRpcBackendOptions(_transports=, _channels=)", "Leave them out: calls stay in this process."
            )
        if num_worker_threads < 1:
            raise ValueError(f"num_worker_threads must be positive, got {num_worker_threads}")
        super().__init__(rpc_timeout, init_method)
        self.num_worker_threads = num_worker_threads
        self.device_maps = {to: _device_map(one) for to, one in (device_maps or {}).items()}
        self.devices = _cuda_devices(devices or [])

    def set_device_map(self, to: str, device_map: dict) -> None:
        """Add to the map of one worker.

        Args:
            to: its name.
            device_map: here to there.

        Raises:
            ValueError: a device that is mapped elsewhere already.
        """
        added, held = _device_map(device_map), self.device_maps.setdefault(to, {})
        for source, target in added.items():
            if held.get(source, target) != target:
                raise ValueError(
                    f"`set_device_map` only supports 1-to-1 mapping, trying to map {source} to {target} and "
                    f"{held[source]}"
                )
        held.update(added)

    def set_devices(self, devices: list) -> None:
        """Say which CUDA devices are in use.

        Raises:
            ValueError: a device that is no CUDA device.
        """
        self.devices = _cuda_devices(devices)


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["TensorPipeRpcBackendOptions"]
