"""Owns ``torch.distributed.device_mesh`` for one process: a mesh in which every dimension has size 1.

May import creation, the groups and _errors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import dtypes
from .._errors import missing_name, not_supported
from .._tensor.tensor import Tensor
from ..ops import creation
from . import _world, get_rank, init_process_group, is_initialized

_INSTEAD = (
    "Keep tensors whole: torch.nn.DataParallel splits a batch over the devices that JAX sees, and jax.sharding spreads "
    "arrays over them."
)
_entered: list[DeviceMesh] = []  # the meshes whose blocks are open


class DeviceMesh:
    """An arrangement of processes, of which there is one.

    Args:
        device_type: on what kind of device they compute.
        mesh: their numbers, nested: zero.
        mesh_dim_names: the names of its dimensions.

    Raises:
        NotImplementedError: more than one process.
        RuntimeError: another number of names.

    Example:
        >>> import rushlight as torch
        >>> mesh = torch.distributed.DeviceMesh("cpu", [[0]], mesh_dim_names=("dp", "tp"))
        >>> mesh, mesh["tp"].size(), mesh.get_local_rank("dp")
        (DeviceMesh((dp=1, tp=1), 'cpu', stride=((), ())), 1, 0)
        >>> torch.distributed.destroy_process_group()
    """

    def __init__(self, device_type: str, mesh: Any, *, mesh_dim_names: Sequence[str] | None = None):
        numbers = mesh if isinstance(mesh, Tensor) else creation.tensor(mesh)
        if numbers.numel() != 1:
            raise not_supported(
                f"A DeviceMesh of {numbers.numel()} processes (Mesh should not be bigger than default world size 1)",
                _INSTEAD,
            )
        if int(numbers) != 0:
            raise RuntimeError(f"DeviceMesh(): expected the number of the one process there is, 0, received {mesh}")
        if mesh_dim_names and len(mesh_dim_names) != numbers.dim():
            raise RuntimeError(
                "mesh_shape and mesh_dim_names should have same length! Found len(mesh_dim_names): "
                f"{len(mesh_dim_names)} and len(mesh_shape):{numbers.dim()}."
            )
        if not is_initialized():
            init_process_group()
        self._device_type, self._shape = device_type, tuple(numbers.shape)
        self._names = tuple(mesh_dim_names) if mesh_dim_names else None
        self._flattened: dict[str, DeviceMesh] = {}

    @property
    def device_type(self) -> str:
        """On what kind of device the processes compute."""
        return self._device_type

    @property
    def mesh(self) -> Tensor:
        """The numbers of the processes."""
        return creation.zeros(self._shape, dtype=dtypes.int32)

    @property
    def mesh_dim_names(self) -> tuple[str, ...] | None:
        """The names of the dimensions."""
        return self._names

    @property
    def ndim(self) -> int:
        """How many dimensions."""
        return len(self._shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes."""
        return self._shape

    def size(self, mesh_dim: int | None = None) -> int:
        """How many processes, in all or along one dimension."""
        return math.prod(self._shape) if mesh_dim is None else self._shape[mesh_dim]

    def get_rank(self) -> int:
        """The number of this process."""
        return get_rank()

    def get_coordinate(self) -> tuple[int, ...]:
        """Where this process stands."""
        return (0,) * self.ndim

    def _place(self, mesh_dim: int | str) -> int:
        if not isinstance(mesh_dim, str):
            return mesh_dim
        if self._names is None or mesh_dim not in self._names:
            raise KeyError(
                f"Mesh dimension '{mesh_dim}' does not exist. Available mesh dimensions are: "
                f"mesh_dim_names={self._names}"
            )
        return self._names.index(mesh_dim)

    def _one(self, mesh_dim: int | str | None) -> None:
        if mesh_dim is None and self.ndim > 1:
            raise RuntimeError(
                f"Found the DeviceMesh have {self.ndim} dimensions. Optional kwarg `mesh_dim` needs to be specified "
                "when device_mesh.ndim > 1."
            )
        if mesh_dim is not None and mesh_dim not in self._flattened:
            _ = self._shape[self._place(mesh_dim)]

    def get_local_rank(self, mesh_dim: int | str | None = None) -> int:
        """Where this process stands along a dimension.

        Args:
            mesh_dim: its place or name; may be left out where there is one.

        Raises:
            RuntimeError: it was left out, and there are several.
            KeyError: there is none of this name.
        """
        self._one(mesh_dim)
        return 0

    def get_group(self, mesh_dim: int | str | None = None) -> Any:
        """The group of processes along a dimension; arguments as for ``get_local_rank``."""
        self._one(mesh_dim)
        return _world()

    def get_all_groups(self) -> list[Any]:
        """The groups along all dimensions."""
        return [_world() for _ in self._shape]

    def __getitem__(self, mesh_dim_names: str | tuple[str, ...]) -> DeviceMesh:
        if not self._names:
            raise RuntimeError("Cannot slice a DeviceMesh without mesh_dim_names!")
        names = (mesh_dim_names,) if isinstance(mesh_dim_names, str) else tuple(mesh_dim_names)
        if names == self._names:
            return self
        if len(names) == 1 and names[0] in self._flattened:
            return self._flattened[names[0]]
        known = (*self._names, *self._flattened)
        if any(name not in known for name in names):
            raise KeyError(f"Invalid mesh_dim_names {names} specified. Valid mesh_dim_names are {list(known)}.")
        return self._with(names)

    def _with(self, names: tuple[str, ...]) -> DeviceMesh:
        return DeviceMesh(
            self._device_type, creation.zeros((1,) * len(names), dtype=dtypes.int32), mesh_dim_names=names
        )

    def _flatten(self, mesh_dim_name: str | None = None, backend_override: Any = None) -> DeviceMesh:
        """The same processes along one dimension, which slicing then knows by its name.

        Args:
            mesh_dim_name: its name; default: the names, joined.
            backend_override: accepted: nothing is sent.
        """
        if not self._names:
            raise RuntimeError("Cannot flatten a DeviceMesh without mesh_dim_names!")
        name = mesh_dim_name or "_".join(self._names)
        made = self._flattened[name] = self._with((name,))
        return made

    @staticmethod
    def from_group(
        group: Any, device_type: str, mesh: Any = None, *, mesh_dim_names: Sequence[str] | None = None
    ) -> DeviceMesh:
        """The mesh of a group of processes.

        Args:
            group: the group, or one for each dimension.
            device_type: on what kind of device they compute.
            mesh: their numbers.
            mesh_dim_names: the names of its dimensions.
        """
        count = len(group) if isinstance(group, list | tuple) else 1
        numbers = creation.zeros((1,) * count, dtype=dtypes.int32) if mesh is None else mesh
        return DeviceMesh(device_type, numbers, mesh_dim_names=mesh_dim_names)

    def __enter__(self) -> DeviceMesh:
        _entered.append(self)
        return self

    def __exit__(self, *exc: Any) -> None:
        _entered.pop()

    def _key(self) -> tuple:
        return self._device_type, self._shape, self._names

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DeviceMesh) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        named = (
            self._names and f"({', '.join(f'{name}={n}' for name, n in zip(self._names, self._shape, strict=True))})"
        )
        return f"DeviceMesh({named or self._shape}, '{self._device_type}', stride={((),) * self.ndim})"


def init_device_mesh(
    device_type: str, mesh_shape: Sequence[int], *, mesh_dim_names: Sequence[str] | None = None,
    backend_override: Any = None,
) -> DeviceMesh:  # fmt: skip
    """A mesh of all processes; begins the group of all processes where that has not been done.

    Args:
        device_type: on what kind of device they compute, without a number.
        mesh_shape: its sizes: ones.
        mesh_dim_names: the names of its dimensions.
        backend_override: accepted: nothing is sent.

    Raises:
        NotImplementedError: more than one process.
        RuntimeError: a name twice, another number of names, or a device with a number.

    Example:
        >>> import rushlight as torch
        >>> torch.distributed.init_device_mesh("cpu", (1,))
        DeviceMesh((1,), 'cpu', stride=((),))
        >>> torch.distributed.destroy_process_group()
    """
    if mesh_dim_names is not None and len(set(mesh_dim_names)) != len(mesh_dim_names):
        raise RuntimeError(
            f"Each mesh_dim_name must be unique. Found repeated mesh_dim_name in mesh_dim_names {mesh_dim_names}"
        )
    if mesh_dim_names is not None and len(mesh_dim_names) != len(mesh_shape):
        raise RuntimeError(
            "mesh_shape and mesh_dim_names should have same length! Found len(mesh_dim_names): "
            f"{len(mesh_dim_names)} and len(mesh_shape):{len(mesh_shape)}."
        )
    if device_type and not device_type.isalpha():
        raise RuntimeError(
            f"Device type with index is not supported but got {device_type}. If you maintained a 'torch.device' "
            "object, it's recommended to pass in 'device.type'."
        )
    numbers = creation.arange(math.prod(mesh_shape), dtype=dtypes.int32).reshape(tuple(mesh_shape))
    return DeviceMesh(device_type, numbers, mesh_dim_names=mesh_dim_names)


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["DeviceMesh", "init_device_mesh"]
