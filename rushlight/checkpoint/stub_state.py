"""Owns reading the state of a module that a file holds whole, whatever its class.

May import the tensor cell and stubs; modules are known by what they offer.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from rushlight._tensor.tensor import Tensor

from .brief import brief
from .inert import InertTensor
from .stub import Stub

_TABLES = ("_parameters", "_buffers", "_modules")


def _state(obj) -> dict | None:
    state = obj.state if isinstance(obj, Stub) else getattr(obj, "__dict__", None)
    return state if isinstance(state, dict) and all(isinstance(state.get(t), dict) for t in _TABLES) else None


def state_dict_of(module) -> OrderedDict[str, Any]:
    """The state dict of a module, also where it is a stub because its class is not installed.

    Args:
        module: what ``load(..., weights_only=False)`` gave for a module that was saved whole.

    Raises:
        TypeError: it is not a module.

    Example:
        >>> from rushlight import nn
        >>> list(state_dict_of(nn.Linear(2, 3)))
        ['weight', 'bias']
    """
    if _state(module) is None:
        raise TypeError(
            f"state_dict_of(): expected a module, or the stub of one, received {brief(module)}. A dict of tensors is a "
            "state dict already; look for a module inside of other containers."
        )
    out: OrderedDict[str, Any] = OrderedDict()
    metadata: OrderedDict[str, dict] = OrderedDict()
    _collect(module, "", out, metadata, ())
    out._metadata = metadata  # type: ignore[attr-defined]
    return out


# What torch's own layers note as their version; a file does not say it.
_VERSIONS = {"torch.nn.modules.batchnorm": 2}


def _version(module) -> int:
    if not isinstance(module, Stub):
        return getattr(type(module), "_version", 1)
    return _VERSIONS.get(module.class_name.rpartition(".")[0], 1)


def _collect(module, prefix: str, out: dict, metadata: dict, above: tuple) -> None:
    state = _state(module)
    if state is None or any(module is one for one in above):
        return
    metadata[prefix[:-1]] = {"version": _version(module)}
    left_out = state.get("_non_persistent_buffers_set") or ()
    for name, value in [*state["_parameters"].items(), *state["_buffers"].items()]:
        if isinstance(value, (Tensor, InertTensor)) and name not in left_out:
            out[f"{prefix}{name}"] = value.detach() if isinstance(value, Tensor) else value
    for name, child in state["_modules"].items():
        _collect(child, f"{prefix}{name}.", out, metadata, (*above, module))
