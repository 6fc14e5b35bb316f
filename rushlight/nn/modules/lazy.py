"""Owns ``LazyModuleMixin``, for modules that learn the shapes of their parameters from the first input.

May import Parameter's lazy forms and the modes.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from ..._graph.modes import no_grad
from ..parameter import is_lazy

if TYPE_CHECKING:
    from .module import Module as _Base
else:
    _Base = object


class LazyModuleMixin(_Base):
    """Put before a ``Module`` in the bases: its parameters may wait for their shapes until the first call.

    The module declares ``UninitializedParameter``s, and ``initialize_parameters`` gives them shapes from the first
    input; the module then becomes one of class ``cls_to_become``. Loading a state dict gives shapes too.

    Raises:
        RuntimeError: parameters still have no shape after ``initialize_parameters``.

    Example:
        >>> import rushlight as torch
        >>> layer = torch.nn.LazyLinear(2)
        >>> layer.weight
        <UninitializedParameter>
        >>> _ = layer(torch.zeros(1, 3))
        >>> layer
        Linear(in_features=3, out_features=2, bias=True)
    """

    cls_to_become: type[Any] | None = None
    _load_hook: Any
    _initialize_hook: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._load_hook = self._register_load_state_dict_pre_hook(self._lazy_load_hook)
        self._initialize_hook = self.register_forward_pre_hook(self._infer_parameters, with_kwargs=True)

    def _save_to_state_dict(self, destination, prefix: str, keep_vars: bool) -> None:
        # Tensors without a shape are saved as they are: they have no contents to detach.
        left_out = self._non_persistent_buffers_set
        held = [*self._parameters.items(), *((n, b) for n, b in self._buffers.items() if n not in left_out)]
        for name, tensor in held:
            if tensor is not None:
                destination[prefix + name] = tensor if keep_vars or is_lazy(tensor) else tensor.detach()

    def _lazy_load_hook(
        self, state_dict, prefix: str, local_metadata, strict: bool, missing_keys, unexpected_keys, error_msgs
    ) -> None:
        """Give shapes to what waits for them, from the entries about to be loaded."""
        for name, tensor in itertools.chain(self._parameters.items(), self._buffers.items()):
            given = state_dict.get(prefix + name)
            if tensor is not None and given is not None and is_lazy(tensor) and not is_lazy(given):
                with no_grad():
                    tensor.materialize(given.shape)

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Give the parameters their shapes; called with the arguments of the first call.

        Raises:
            NotImplementedError: the subclass does not define it.
        """
        raise NotImplementedError(f"initialize_parameters is not implemented for {self.__class__.__name__}")

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer of this module still waits for its shape."""
        return any(map(is_lazy, itertools.chain(self._parameters.values(), self._buffers.values())))

    def _infer_parameters(self, module: Any, args: tuple, kwargs: dict | None = None) -> None:
        """The hook before the first call: initialize, then become the ordinary module."""
        module.initialize_parameters(*args, **(kwargs or {}))
        if module.has_uninitialized_params():
            raise RuntimeError(f"module {self._get_name()} has not been fully initialized")
        module._initialize_hook.remove()
        module._load_hook.remove()
        del module._initialize_hook, module._load_hook
        if module.cls_to_become is not None:
            module.__class__ = module.cls_to_become

    def _replicate_for_data_parallel(self):
        raise RuntimeError(
            "Modules with uninitialized parameters can't be used with `DataParallel`. Run a dummy forward pass to "
            "correctly initialize the modules"
        )


__all__ = ["LazyModuleMixin"]
