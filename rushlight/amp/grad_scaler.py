"""Owns ``GradScaler``: losses scaled up before backward, and gradients scaled down before the step.

May import the tensor cell, modes, devices, creation and jax; of an optimizer it needs ``param_groups`` and ``step``.
"""

from __future__ import annotations

import warnings
from collections import abc, defaultdict
from enum import Enum
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from .. import _device as devices
from .. import dtypes
from .._graph.modes import no_grad
from .._tensor.tensor import Tensor
from ..ops.creation import full


class OptState(Enum):
    READY = 0
    UNSCALED = 1
    STEPPED = 2


def _fresh_state() -> dict[str, Any]:
    return {"stage": OptState.READY, "found_inf_per_device": {}}


@jax.jit
def _unscaled(grads, inverse, found):
    """All gradients times ``inverse``, and 1 where one of them is not finite."""
    finite = jnp.stack([jnp.isfinite(g).all() for g in grads]).all()
    return [g * inverse.astype(g.dtype) for g in grads], jnp.where(finite, found, jnp.ones_like(found))


@jax.jit
def _updated(scale, tracker, found, growth, backoff, interval):
    """The scale and the count of good steps after a step."""
    grown = scale * growth
    due = tracker + 1 >= interval
    better = jnp.where(due & jnp.isfinite(grown), grown, scale)
    bad = found > 0
    return (
        jnp.where(bad, scale * backoff, better).astype(scale.dtype),
        jnp.where(bad | due, 0, tracker + 1).astype(tracker.dtype),
    )


def _step_where_finite(optimizer: Any, found: list[Tensor], args, kwargs) -> Any:
    """A step inside a trace: parameters and state become the new ones, or stay, by what ``found`` turns out to be."""
    bad = sum(_on(v._array(), found[0].device) for v in found) > 0
    held = [p for group in optimizer.param_groups for p in group["params"]]
    for values in optimizer.state.values():
        held += [v for v in values.values() if isinstance(v, Tensor)] if isinstance(values, dict) else []
    before = {id(t._storage): (t._storage, t._storage.array) for t in held}
    result = optimizer.step(*args, **kwargs)
    chosen: dict = {}  # parameters of one age share their count of steps, and go on sharing it
    for storage, old in before.values():
        new = storage.array
        if new is not old:
            key = id(old), id(new)
            if key not in chosen:
                chosen[key] = jnp.where(bad, old, new), new  # held, so that its id stays its own
            storage.write(chosen[key][0])
    return result


def _on(array, where):
    return array if isinstance(array, Tracer) else jax.device_put(array, devices.jax_device(where))


class GradScaler:
    """Scales losses so that float16 gradients do not vanish, and skips steps whose gradients overflowed.

    Args:
        device: where the scale is kept.
        init_scale: to begin with.
        growth_factor: for the scale, after ``growth_interval`` good steps.
        backoff_factor: for the scale, after a step that was skipped.
        growth_interval: how many good steps.
        enabled: False makes everything pass through.

    Raises:
        AssertionError: factors that do not grow, or do not shrink.

    Example:
        >>> import rushlight as torch
        >>> scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
        >>> scaler.scale(torch.tensor(2.0))
        tensor(8.)
    """

    def __init__(
        self, device: str = "cuda", init_scale: float = 2.0**16, growth_factor: float = 2.0,
        backoff_factor: float = 0.5, growth_interval: int = 2000, enabled: bool = True,
    ) -> None:  # fmt: skip
        self._device = device
        self._enabled = enabled
        if enabled and device == "cuda" and not devices.present("cuda"):
            warnings.warn("torch.cuda.amp.GradScaler is enabled, but CUDA is not available.  Disabling.", stacklevel=2)
            self._enabled = False
        if self._enabled:
            if growth_factor <= 1.0:
                raise AssertionError("The growth factor must be > 1.0.")
            if backoff_factor >= 1.0:
                raise AssertionError("The backoff factor must be < 1.0.")
            self._init_scale = init_scale
            self._scale: Tensor | None = None
            self._growth_factor = growth_factor
            self._backoff_factor = backoff_factor
            self._growth_interval = growth_interval
            self._init_growth_tracker = 0
            self._growth_tracker: Tensor | None = None
            self._per_optimizer_states: dict[int, dict[str, Any]] = defaultdict(_fresh_state)

    def _check_scale_growth_tracker(self, funcname: str) -> tuple[Tensor, Tensor]:
        if self._scale is None or self._growth_tracker is None:
            missing = "_scale" if self._scale is None else "_growth_tracker"
            raise AssertionError(
                f"Attempted {funcname} but {missing} is None.  This may indicate your script did not use "
                "scaler.scale(loss or outputs) earlier in the iteration."
            )
        return self._scale, self._growth_tracker

    def _scale_on(self, where: Any) -> Tensor:
        """The scale, made on first use."""
        scale = self._scale
        if scale is None:
            scale = self._scale = full((), self._init_scale, dtype=dtypes.float32, device=where)
            self._growth_tracker = full((), self._init_growth_tracker, dtype=dtypes.int32, device=where)
        return scale

    def _make_state(self) -> None:
        """What the first use would make: compilation needs it beforehand, as input of the program."""
        if self._enabled:
            self._scale_on(devices.device(self._device))

    def scale(self, outputs: Any) -> Any:
        """Outputs (a tensor, or nested lists and tuples of them) times the scale.

        Raises:
            ValueError: something else.
        """
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            return outputs * self._scale_on(outputs.device).to(outputs.device)
        if isinstance(outputs, abc.Iterable):
            scaled = map(self.scale, outputs)
            return type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def _unscale_grads_(self, optimizer: Any, inverse: Tensor, allow_fp16: bool) -> dict:
        groups: dict[Any, list[Tensor]] = defaultdict(list)
        for group in optimizer.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                if not allow_fp16 and param.grad.dtype is dtypes.float16:
                    raise ValueError("Attempting to unscale FP16 gradients.")
                groups[param.grad.device].append(param.grad)
        found = {}
        with no_grad():
            for where, grads in groups.items():
                zero = full((), 0.0, dtype=dtypes.float32, device=where)._array()
                arrays, bad = _unscaled([g._array() for g in grads], _on(inverse._array(), where), zero)
                for g, array in zip(grads, arrays):
                    g._write(array)
                found[where] = Tensor._of(bad, where)
        return found

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients of an optimizer by the scale, for example to clip them; ``step`` does not do it again.

        Raises:
            RuntimeError: called twice since ``update``, or after ``step``.
            ValueError: float16 gradients.
        """
        if not self._enabled:
            return
        scale, _ = self._check_scale_growth_tracker("unscale_")
        held = self._per_optimizer_states[id(optimizer)]
        if held["stage"] is OptState.UNSCALED:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        if held["stage"] is OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        inverse = scale.double().reciprocal().float()
        held["found_inf_per_device"] = self._unscale_grads_(optimizer, inverse, False)
        held["stage"] = OptState.UNSCALED

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """``optimizer.step(*args, **kwargs)``, unless a gradient is not finite.

        Inside a compiled function the optimizer always steps, and what it changed is put back where a gradient was not
        finite; so hooks of the optimizer run in either case.

        Raises:
            RuntimeError: called twice since ``update``, or with a closure.
            AssertionError: no gradients.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._check_scale_growth_tracker("step")
        held = self._per_optimizer_states[id(optimizer)]
        if held["stage"] is OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if held["stage"] is OptState.READY:
            self.unscale_(optimizer)
        if not held["found_inf_per_device"]:
            raise AssertionError("No inf checks were recorded for this optimizer.")
        found, result = list(held["found_inf_per_device"].values()), None
        if any(isinstance(v._array(), Tracer) for v in found):
            result = _step_where_finite(optimizer, found, args, kwargs)
        elif not sum(v.item() for v in found):
            result = optimizer.step(*args, **kwargs)
        held["stage"] = OptState.STEPPED
        return result

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Let the scale grow or back off after a step, or set it.

        Raises:
            AssertionError: no step, or a scale that does not fit.
        """
        if not self._enabled:
            return
        scale, tracker = self._check_scale_growth_tracker("update")
        if isinstance(new_scale, Tensor):
            if new_scale.device.type != self._device or new_scale.numel() != 1 or new_scale.requires_grad:
                raise AssertionError(
                    "new_scale should be a float or a 1-element torch.cuda.FloatTensor or torch.FloatTensor with "
                    "requires_grad=False."
                )
            scale.copy_(new_scale)
        elif new_scale is not None:
            scale.fill_(new_scale)
        else:
            found = [v for held in self._per_optimizer_states.values() for v in held["found_inf_per_device"].values()]
            if not found:
                raise AssertionError("No inf checks were recorded prior to update.")
            total = sum(_on(v._array(), scale.device) for v in found)
            new = _updated(
                scale._array(), tracker._array(), total, self._growth_factor, self._backoff_factor,
                self._growth_interval,
            )  # fmt: skip
            scale._write(new[0])
            tracker._write(new[1])
        self._per_optimizer_states.clear()

    def get_scale(self) -> float:
        """The scale as a number; 1.0 where scaling is off."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else self._scale.item()

    def get_growth_factor(self) -> float:
        """The factor after ``growth_interval`` good steps."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set the factor after ``growth_interval`` good steps."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """The factor after a skipped step."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set the factor after a skipped step."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """How many good steps let the scale grow."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set how many good steps let the scale grow."""
        self._growth_interval = new_interval

    def _get_growth_tracker(self) -> int:
        if not self._enabled:
            return 0
        return self._init_growth_tracker if self._growth_tracker is None else int(self._growth_tracker.item())

    def is_enabled(self) -> bool:
        """Whether losses are scaled."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """The scale, the factors and the count of good steps; empty where scaling is off."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._get_growth_tracker(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what ``state_dict`` gave.

        Raises:
            RuntimeError: it is empty.
        """
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler."
            )
        self._init_scale = state_dict["scale"]
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._init_growth_tracker = state_dict["_growth_tracker"]
        if self._scale is not None and self._growth_tracker is not None:
            self._scale.fill_(self._init_scale)
            self._growth_tracker.fill_(self._init_growth_tracker)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        if self._enabled:
            if self._per_optimizer_states:
                raise AssertionError(
                    "A GradScaler instance may only be pickled at the beginning of an iteration, or at the end after "
                    "scaler.update()."
                )
            state.update(_init_scale=self.get_scale(), _init_growth_tracker=self._get_growth_tracker())
            state.update(_scale=None, _growth_tracker=None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def _check_inf_per_device(self, optimizer: Any) -> dict:
        scale, _ = self._check_scale_growth_tracker("_check_inf_per_device")
        one = full((), 1.0, dtype=dtypes.float32, device=scale.device)
        held = self._per_optimizer_states[id(optimizer)]
        held["found_inf_per_device"] = self._unscale_grads_(optimizer, one, True)
        return held["found_inf_per_device"]

    def _found_inf_per_device(self, optimizer: Any) -> dict:
        return self._per_optimizer_states[id(optimizer)]["found_inf_per_device"]


__all__ = ["GradScaler", "OptState"]
