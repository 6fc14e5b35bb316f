"""Owns ``Node``, one step of the tape, and ``AccumulateGrad``, the name of a leaf in it.

May import _hooks and modes; a leaf edge points to the tensor itself, of which nothing else is known here.
"""

from __future__ import annotations

import itertools
import traceback
import weakref

from .._hooks import HookTable as _Hooks
from .._hooks import RemovableHandle
from .modes import state

_sequence = itertools.count(1).__next__


class Node:
    """One recorded operation: how to turn the gradients of its outputs into those of its inputs.

    Attributes:
        edges: for each input, None or (target, output index); a leaf's target is the tensor itself.
        seq: creation order; every edge leads to a smaller number, so the reverse walk needs no other sorting.
        outputs: how many outputs the operation had.
    """

    __slots__ = (
        "__weakref__",
        "edges",
        "made_at",
        "metadata_",
        "module",
        "outputs",
        "post_hooks",
        "pre_hooks",
        "retained",
        "seq",
        "tensor_hooks",
    )

    def __init__(self, edges, outputs: int = 1):
        self.edges = edges
        self.outputs = outputs
        self.seq = _sequence()
        self.pre_hooks = self.post_hooks = self.tensor_hooks = self.retained = None
        if state.anomaly:
            self.made_at = "".join(traceback.format_stack()[:-3])
        else:
            self.made_at = None

    def name(self) -> str:
        """torch's name of the step, for example ``"AddBackward0"``."""
        return type(self).__name__

    def run(self, grads: list, create_graph: bool) -> list:
        """The gradients for each edge (None where there is none)."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to run backward; override Node.run")

    def release(self) -> None:
        """Forget what was saved for the backward pass."""

    @property
    def freed(self) -> bool:
        """Whether it can no longer run, because it forgot."""
        return False

    @property
    def metadata(self) -> dict:
        try:
            return self.metadata_
        except AttributeError:
            self.metadata_: dict = {}
            return self.metadata_

    @property
    def next_functions(self) -> tuple:
        """The nodes that this one passes gradients to, with the output index there."""
        out = []
        for edge in self.edges:
            if edge is None:
                out.append((None, 0))
            elif isinstance(edge[0], Node):
                out.append(edge)
            else:
                out.append((AccumulateGrad(edge[0]), 0))
        return tuple(out)

    def register_hook(self, hook) -> RemovableHandle:
        """Call ``hook(grad_inputs, grad_outputs)`` after this step; a returned tuple replaces grad_inputs."""
        if self.post_hooks is None:
            self.post_hooks = _Hooks()
        handle = RemovableHandle(self.post_hooks)
        self.post_hooks[handle.id] = hook
        return handle

    def register_prehook(self, hook) -> RemovableHandle:
        """Call ``hook(grad_outputs)`` before this step; a returned tuple replaces grad_outputs."""
        if self.pre_hooks is None:
            self.pre_hooks = _Hooks()
        handle = RemovableHandle(self.pre_hooks)
        self.pre_hooks[handle.id] = hook
        return handle

    def add_tensor_hook(self, index: int, hook) -> RemovableHandle:
        """Call ``hook(grad)`` on the gradient of output ``index``."""
        if self.tensor_hooks is None:
            self.tensor_hooks = {}
        hooks = self.tensor_hooks.setdefault(index, _Hooks())
        handle = RemovableHandle(hooks)
        hooks[handle.id] = hook
        return handle

    def retain(self, index: int, tensor) -> None:
        """Store the gradient of output ``index`` in ``tensor.grad``."""
        if self.retained is None:
            self.retained = {}
        self.retained[index] = weakref.ref(tensor)

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"


class AccumulateGrad:
    """The end of the tape at a leaf: where its gradient is added to ``.grad``."""

    def __init__(self, variable):
        self.variable = variable
        self.next_functions = ()

    def name(self) -> str:
        return "struct torch::autograd::AccumulateGrad"

    def __eq__(self, other) -> bool:
        return isinstance(other, AccumulateGrad) and other.variable is self.variable

    def __hash__(self) -> int:
        return id(self.variable)

    def register_hook(self, hook) -> RemovableHandle:
        """Call ``hook(grad_inputs, grad_outputs)`` once the gradient has been added."""
        return self.variable.register_post_accumulate_grad_hook(lambda v: hook((), (v.grad,)))

    def __repr__(self) -> str:
        return f"<AccumulateGrad object at {id(self):#x}>"
