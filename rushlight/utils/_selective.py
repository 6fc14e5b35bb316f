"""Owns selective checkpointing: which operators of a checkpointed part keep their results instead of running again.

May import the door, the tape, the modes, the tensor cell and jax; ``torch.utils.checkpoint`` gives it its names.
"""

from __future__ import annotations

import enum
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

from .._errors import not_supported
from .._graph.modes import state
from .._tensor.program import OpNode
from .._tensor.tensor import Tensor
from ..ops import _execute, _op
from ..ops._aten import OpName
from ..ops._dual import paused


class CheckpointPolicy(enum.Enum):
    """What becomes of an operator's result: kept, or computed again in the backward pass."""

    MUST_SAVE = 0
    PREFER_SAVE = 1
    MUST_RECOMPUTE = 2
    PREFER_RECOMPUTE = 3
    MUST_CPU_OFFLOAD = 4
    PREFER_CPU_OFFLOAD = 5


class SelectiveCheckpointContext:
    """What a policy is told besides the operator and its arguments.

    Attributes:
        is_recompute: always False: the policy is asked in the forward pass only.
        op_output: the result.
    """

    def __init__(self, *, is_recompute: bool = False, op_output: Any = None):
        self.is_recompute, self.op_output = is_recompute, op_output


class _Watch:
    """A context in which every operator passes through ``execute`` here.

    It stands where a level of forward derivatives would, so that operators have one such place to look at.
    """

    def __enter__(self) -> None:
        if state.dual is not None and not isinstance(state.dual, _Watch):
            raise not_supported(
                "selective checkpointing inside forward_ad.dual_level()", "Use checkpoint() without it."
            )
        self._outer, state.dual = state.dual, self

    def __exit__(self, *exc: Any) -> None:
        state.dual = self._outer

    def get(self, tensor: Tensor) -> None:
        """No tensor has a tangent."""

    def view(self, out: Tensor, base: Tensor, step: tuple) -> None:
        """Nothing follows a view."""

    def restored(self, node: Any, saved: list, first: int) -> list:
        """What a step saved, as it is."""
        return saved


class Keep(_Watch):
    """The forward pass: ask the policy, and keep results.

    Args:
        policy: takes a ``SelectiveCheckpointContext``, the operator and its arguments.
        kept: by operator, what was kept.
    """

    def __init__(self, policy: Callable, kept: dict):
        self.policy, self.kept = policy, kept

    def assign(self, tensor: Tensor, value: Tensor) -> None:
        """Arrays do not change, so that what was kept stays as it was."""

    def execute(self, program: Any, inputs: Any, cls: Any) -> Any:
        """What ``_execute.execute`` does."""
        with paused():
            out = _execute.execute(program, inputs, cls)
            said = self.policy(SelectiveCheckpointContext(op_output=out), OpName(program.name), *inputs)
        if isinstance(said, bool):
            said = CheckpointPolicy.MUST_SAVE if said else CheckpointPolicy.PREFER_RECOMPUTE
        if said in (CheckpointPolicy.MUST_CPU_OFFLOAD, CheckpointPolicy.PREFER_CPU_OFFLOAD):
            raise not_supported(f"the policy {said}", "Use CheckpointPolicy.MUST_SAVE.")
        save = said in (CheckpointPolicy.MUST_SAVE, CheckpointPolicy.PREFER_SAVE)
        outs = out if type(out) is tuple else (out,)
        self.kept[program.name].append([o._array() for o in outs] if save else None)
        return out


class Reuse(_Watch):
    """The second pass: results that were kept are not computed.

    Args:
        kept: by operator, what was kept.
    """

    def __init__(self, kept: dict):
        self.kept = kept

    def assign(self, tensor: Tensor, value: Tensor) -> None:
        """Nothing follows a write."""

    def execute(self, program: Any, inputs: Any, cls: Any) -> Any:
        """What ``_execute.execute`` does, without running an operator whose result is there."""
        queue = self.kept[program.name]
        arrays = queue.popleft() if queue else None
        with paused():
            if arrays is None:
                return _execute.execute(program, inputs, cls)
            if state.trace is not None:
                # The compiler drops the computation, of which nothing but the derivative is used.
                out = _execute.execute(program, inputs, cls)
                for tensor, array in zip(out if type(out) is tuple else (out,), arrays):
                    tensor._storage.array = array
                return out
            return self._taped(program, inputs, cls, arrays)

    @staticmethod
    def _taped(program: Any, inputs: Any, cls: Any, arrays: list) -> Any:
        given = [x._array() if isinstance(x, Tensor) else _execute.scalar(x) for x in inputs]
        edges = [x._edge() if isinstance(x, Tensor) and state.grad else None for x in inputs]
        where = next((x._storage.device for x in inputs if isinstance(x, Tensor)), None)
        track = program.differentiable and any(edge is not None for edge in edges)
        node = OpNode(program, given, edges, len(arrays)) if track else None
        outs = [_execute._wrap(array, where, node, i, cls) for i, array in enumerate(arrays)]
        return tuple(outs) if len(outs) > 1 else outs[0]


def contexts(policy_fn_or_list: Any) -> tuple[Keep, Reuse]:
    """The two contexts of ``create_selective_checkpoint_contexts``.

    Raises:
        TypeError: neither a function nor a list.
        ValueError: a list of something else than operators.
    """
    if isinstance(policy_fn_or_list, list):
        for op in policy_fn_or_list:
            if not isinstance(op, (OpName, _op.Op)) and not callable(op):
                raise ValueError(f"Expected op in `op_list` to be an OpOverload but got: {op} of type {type(op)}. ")
        chosen = list(policy_fn_or_list)

        def by_list(ctx: Any, op: OpName, *args: Any, **kwargs: Any) -> CheckpointPolicy:
            return CheckpointPolicy.MUST_SAVE if any(op == o for o in chosen) else CheckpointPolicy.PREFER_RECOMPUTE

        policy: Callable = by_list
    elif callable(policy_fn_or_list):
        policy = policy_fn_or_list
    else:
        raise TypeError("policy_fn_or_list must be either a function or a list of ops.")
    kept: dict[str, deque] = defaultdict(deque)
    return Keep(policy, kept), Reuse(kept)


__all__ = ["CheckpointPolicy", "SelectiveCheckpointContext"]
