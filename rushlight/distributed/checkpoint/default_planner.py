"""Owns the planners: how a state becomes the entries of a checkpoint, and which entries a load asks for.

May import the flat names, the records and _errors.
"""

from __future__ import annotations

from typing import Any

from ..._errors import missing_name, not_supported
from ..._tensor.tensor import Tensor
from ._nested_dict import FLATTEN_MAPPING, flatten_state_dict
from .metadata import BytesStorageMetadata, Metadata, TensorStorageMetadata


class DefaultSavePlanner:
    """How a state is taken apart: nested dicts become flat names.

    Args:
        flatten_state_dict: whether to; otherwise each value of the outermost dict is one entry.
        flatten_sharded_tensors, dedup_replicated_tensors, dedup_save_to_lowest_rank, enable_plan_caching: accepted:
            they divide work among processes.
    """

    def __init__(
        self, flatten_state_dict: bool = True, flatten_sharded_tensors: bool = True,
        dedup_replicated_tensors: bool | None = None, dedup_save_to_lowest_rank: bool = False,
        enable_plan_caching: bool = False,
    ):  # fmt: skip
        self.flatten_state_dict = flatten_state_dict
        self.flatten_sharded_tensors = flatten_sharded_tensors
        self.mappings: FLATTEN_MAPPING = {}

    def entries(self, state_dict: dict[str, Any]) -> tuple[dict[str, Any], FLATTEN_MAPPING | None]:
        """What is kept under each name, and the path that each name stands for."""
        if not self.flatten_state_dict:
            return dict(state_dict), None
        flat, self.mappings = flatten_state_dict(state_dict)
        return flat, self.mappings


class DefaultLoadPlanner:
    """Which entries a load asks for: those of the state that is given.

    Args:
        flatten_state_dict: whether nested dicts stand for flat names.
        flatten_sharded_tensors: accepted: no tensor is sharded.
        allow_partial_load: leave values that the checkpoint lacks as they are, instead of failing.
    """

    def __init__(
        self, flatten_state_dict: bool = True, flatten_sharded_tensors: bool = True, allow_partial_load: bool = False
    ):
        self.flatten_state_dict = flatten_state_dict
        self.flatten_sharded_tensors = flatten_sharded_tensors
        self.allow_partial_load = allow_partial_load
        self.mappings: FLATTEN_MAPPING = {}

    def entries(self, state_dict: dict[str, Any], metadata: Metadata) -> dict[str, Any]:
        """What is asked for under each name, and stands there now; ``mappings`` says where each belongs.

        Raises:
            RuntimeError: the checkpoint lacks one.
            ValueError: a tensor has another size, or a value is a tensor in the checkpoint alone.
        """
        kept = metadata.state_dict_metadata
        if self.flatten_state_dict:
            flat, self.mappings = flatten_state_dict(state_dict)
            absent = kept.keys() - flat.keys()
            if absent:
                # Checkpoints from before torch 2.4 keep dicts without tensors whole.
                old, mappings = flatten_state_dict(state_dict, old=True)
                if old.keys() & absent:
                    flat, self.mappings = old, mappings
        else:
            flat = dict(state_dict)
            self.mappings = {name: (name,) for name in state_dict}
        if not self.allow_partial_load:
            for name in flat:
                if name not in kept:
                    raise RuntimeError(f"Missing key in checkpoint state_dict: {name}.")
        wanted = {name: value for name, value in flat.items() if name in kept}
        for name, value in wanted.items():
            _compare(name, kept[name], value)
        return wanted


def _compare(name: str, kept: Any, value: Any) -> None:
    if isinstance(kept, BytesStorageMetadata):
        return
    assert isinstance(kept, TensorStorageMetadata)
    if not isinstance(value, Tensor):
        raise ValueError(
            f"Invalid checkpoint metadata for {name}, expected BytesStorageMetadata but found {type(kept)}: the "
            f"checkpoint holds a tensor there, received {type(value).__name__}. Put a tensor of its size in its place."
        )
    if kept.size != value.shape:
        raise ValueError(f"Size mismatch between saved {kept.size} and current: {value.shape} for {name}")


def planner_of(planner: Any, kind: type) -> Any:
    """The planner to use: the one given, or a new one.

    Raises:
        NotImplementedError: one of another kind.
    """
    if planner is None:
        return kind()
    if type(planner) is not kind:
        raise not_supported(
            f"A planner of the kind {type(planner).__name__}", f"Pass a {kind.__name__}, or change the state itself."
        )
    return planner


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["DefaultLoadPlanner", "DefaultSavePlanner"]
