"""Owns ``LRScheduler``, the base of learning rate schedules, and the helpers that read and write the groups' numbers.

May import this folder's ``Optimizer`` and the tensor cell.
"""

from __future__ import annotations

import functools
import types
import warnings
import weakref

from .._graph.modes import state as modes
from .._tensor.tensor import Tensor, from_host
from .optimizer import Optimizer

EPOCH_DEPRECATION_WARNING = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where possible. Please use "
    "`scheduler.step()` to step the scheduler. During the deprecation, if epoch is different from None, the closed "
    "form is used instead of the new chainable form, where available. Please open an issue if you are unable to "
    "replicate your use case: https://github.com/pytorch/pytorch/issues/new/choose."
)
_NO_RATE = (
    "param_groups[{}] has no 'lr': a schedule needs an optimizer whose groups have a learning rate. With Optax, give "
    "the factory instead of the finished transformation, as in Optax(params, optax.adamw, lr=1e-3)."
)
_SEE = "See more details at https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate"


def copied(value):
    """A number as it is; a tensor with contents of its own."""
    return Tensor._of(value._array(), value.device) if isinstance(value, Tensor) else value


def per_group(name: str, optimizer: Optimizer, value) -> list:
    """One value for each group, from one for all or from a list.

    Raises:
        ValueError: the list has another length.
    """
    groups = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [copied(value) for _ in range(groups)]
    if len(value) != groups:
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. {name} has {len(value)} values, "
            f"param_groups has {groups}."
        )
    return [copied(v) for v in value]


def read_groups(optimizer: Optimizer, key: str) -> list:
    """The number under ``key`` of each group."""
    return [copied(group[key]) for group in optimizer.param_groups]


def write_group(group: dict, key: str, value) -> None:
    """Set a group's number; a tensor there keeps its identity and gets the value."""
    held = group[key]
    if not isinstance(held, Tensor):
        group[key] = value
        return
    if not isinstance(value, Tensor):
        value = from_host(held._host().dtype.type(value), held.device)
    held._write(value._array().reshape(held.shape).astype(held._array().dtype))


def state_of_function(function):
    """What a schedule saves of a function: the attributes of a callable object, nothing of a plain function."""
    return None if function is None or isinstance(function, types.FunctionType) else function.__dict__.copy()


def _deferred(step):
    """``step``, which a function that is being traced does not make: its program makes one with every call."""

    @functools.wraps(step)
    def wrapper(self, *args, **kwargs):
        given = (*args, *kwargs.values())
        if modes.trace is None or not all(v is None or type(v) in (int, float) for v in given):
            return step(self, *args, **kwargs)
        return modes.trace.host(functools.partial(wrapper, self, *args, **kwargs), self.optimizer)

    return wrapper


class LRScheduler:
    """The base of schedules: ``step()`` sets each group's ``lr`` to what ``get_lr()`` gives.

    Args:
        optimizer: whose groups to change.
        last_epoch: how many steps have been made; -1 starts anew.

    Raises:
        TypeError: ``optimizer`` is none.
        KeyError: resuming, but the groups have no ``initial_lr``.

    Example:
        >>> import rushlight as torch
        >>> made = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
        >>> class Halving(torch.optim.lr_scheduler.LRScheduler):
        ...     def get_lr(self):
        ...         return [base / 2**self.last_epoch for base in self.base_lrs]
        >>> schedule = Halving(made)
        >>> made.step(); schedule.step(); schedule.get_last_lr()
        [0.5]
    """

    _get_lr_called_within_step = False
    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                if "lr" not in group:
                    raise KeyError(_NO_RATE.format(i))
                group.setdefault("initial_lr", copied(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming scheduler with "
                    f"last_epoch >= 0. Expected a group that a schedule has set up, received last_epoch={last_epoch}. "
                    "Load the optimizer's state_dict before you make the schedule, or start with last_epoch=-1."
                )
        self.base_lrs = read_groups(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        _count_steps_of(optimizer)
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def state_dict(self) -> dict:
        """Everything but the optimizer, as a dict."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict) -> None:
        """Take over a state from ``state_dict()``, of rushlight or of torch; load the optimizer's state too."""
        self.__dict__.update(state_dict)

    def __init_subclass__(cls, **kwargs) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in vars(cls):
            cls.step = _deferred(cls.step)

    def get_last_lr(self) -> list:
        """The learning rates that the last step set."""
        if modes.trace is not None:
            modes.trace.refuse("a schedule is asked for its last learning rate", "Ask it outside the function.")
        return self._last_lr

    def get_lr(self) -> list:
        """The learning rate of each group for ``self.last_epoch``; a schedule defines this."""
        raise NotImplementedError(f"{type(self).__name__} does not define get_lr(); override it")

    @_deferred
    def step(self, epoch: int | None = None) -> None:
        """Set the next learning rates.

        Args:
            epoch: deprecated in torch: jump to this epoch.
        """
        if self._step_count == 1:
            if not hasattr(self.optimizer.step, "_wrapped_by_lr_sched"):
                warnings.warn(
                    "Seems like `optimizer.step()` has been overridden after learning rate scheduler initialization. "
                    f"Please, make sure to call `optimizer.step()` before `lr_scheduler.step()`. {_SEE}",
                    UserWarning,
                    stacklevel=2,
                )
            elif not getattr(self.optimizer, "_opt_called", False):
                warnings.warn(
                    "Detected call of `lr_scheduler.step()` before `optimizer.step()`. In PyTorch 1.1.0 and later, you "
                    "should call them in the opposite order: `optimizer.step()` before `lr_scheduler.step()`.  Failure "
                    f"to do this will result in PyTorch skipping the first value of the learning rate schedule. {_SEE}",
                    UserWarning,
                    stacklevel=2,
                )
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_DEPRECATION_WARNING, UserWarning, stacklevel=2)
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        self._get_lr_called_within_step = True
        try:
            if epoch is None:
                self.last_epoch += 1
                values = self.get_lr()
            else:
                self.last_epoch = epoch
                closed = getattr(self, "_get_closed_form_lr", None)
                values = self.get_lr() if closed is None else closed()
        finally:
            self._get_lr_called_within_step = False
        for group, value in zip(self.optimizer.param_groups, values, strict=True):
            write_group(group, "lr", value)
        self._last_lr = read_groups(self.optimizer, "lr")

    def _warn_outside_step(self) -> None:
        if not self._get_lr_called_within_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, please use `get_last_lr()`.",
                UserWarning,
                stacklevel=3,
            )

    # What most rules are made of.

    def _unchanged(self) -> list:
        return read_groups(self.optimizer, "lr")

    def _scaled(self, factor) -> list:
        return [group["lr"] * factor for group in self.optimizer.param_groups]


def _count_steps_of(optimizer: Optimizer) -> None:
    """Let the optimizer remember that ``step`` was called, so that a wrong order can be noticed."""
    if hasattr(optimizer.step, "_wrapped_by_lr_sched"):
        return
    reference = weakref.ref(optimizer)
    function = optimizer.step.__func__

    @functools.wraps(function)
    def step(*args, **kwargs):
        owner = reference()
        owner._opt_called = True  # pyright: ignore[reportOptionalMemberAccess]
        return function(owner, *args, **kwargs)

    step._wrapped_by_lr_sched = True  # pyright: ignore[reportAttributeAccessIssue]
    optimizer.step = step


class NestedSchedules(LRScheduler):
    """What schedules made of schedules share: how they are checked and saved."""

    _schedulers: list

    def _check_parts(self, schedulers, optimizer, plateau) -> None:
        name = type(self).__name__
        for i, part in enumerate(schedulers):
            if not hasattr(part, "optimizer"):
                raise TypeError(f"{name} at index {i} should have `optimizer` as its attribute.")
            if isinstance(part, plateau):
                raise ValueError(
                    f"{name} does not support `ReduceLROnPlateau` scheduler as it requires additional kwargs to be "
                    f"specified when calling `step`, but got one at index {i} in the given schedulers sequence."
                )
            if part.optimizer is not optimizer:
                raise ValueError(
                    f"{name} expects all schedulers to belong to the same optimizer, but got scheduler "
                    f"{type(part).__name__} at index {i} has {part.optimizer}, which is different from "
                    f"{type(optimizer).__name__}."
                )

    def state_dict(self) -> dict:
        """Everything but the optimizer, with the state of each part."""
        state = {key: value for key, value in self.__dict__.items() if key not in ("optimizer", "_schedulers")}
        state["_schedulers"] = [part.state_dict() for part in self._schedulers]
        return state

    def load_state_dict(self, state_dict: dict) -> None:
        """Take over a state from ``state_dict()``."""
        self.__dict__.update({key: value for key, value in state_dict.items() if key != "_schedulers"})
        for part, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            part.load_state_dict(state)


__all__ = ["LRScheduler"]
