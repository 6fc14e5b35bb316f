"""Owns ``torch.optim.lr_scheduler``: the schedules made of schedules, the one that watches a metric, and all names.

May import this folder's schedules.
"""

from __future__ import annotations

import warnings
from bisect import bisect_right
from math import inf

from . import _cycles, _decay
from ._cycles import CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR
from ._decay import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from ._schedule import EPOCH_DEPRECATION_WARNING, LRScheduler, NestedSchedules, read_groups, write_group
from .optimizer import Optimizer


class _LRScheduler(LRScheduler):
    """The old name of the base class."""


class ReduceLROnPlateau(LRScheduler):
    """Multiply by ``factor`` when a metric has stopped improving; ``step`` takes the metric.

    Args:
        optimizer: whose groups to change.
        mode: whether ``"min"`` or ``"max"`` is better.
        factor: below 1.
        patience: how many epochs without improvement to allow.
        threshold: how much counts as improvement.
        threshold_mode: relative (``"rel"``) or absolute (``"abs"``).
        cooldown: how many epochs to wait after a reduction.
        min_lr: the lowest learning rate; a number, or a list with one for each group.
        eps: the smallest change to make.

    Raises:
        ValueError: an unknown mode, a factor of 1 or more, or a list of another length.

    Example:
        >>> import rushlight as torch
        >>> made = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
        >>> schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(made, factor=0.5, patience=1)
        >>> for loss in (3.0, 2.0, 2.0, 2.0):
        ...     schedule.step(loss)
        >>> schedule.get_last_lr()
        [0.5]
    """

    def __init__(
        self, optimizer, mode="min", factor=0.1, patience=10, threshold=1e-4, threshold_mode="rel", cooldown=0,
        min_lr=0, eps=1e-8,
    ):  # fmt: skip
        if factor >= 1.0:
            raise ValueError("Factor should be < 1.0.")
        self.factor = factor
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer = optimizer
        groups = len(optimizer.param_groups)
        if isinstance(min_lr, (list, tuple)):
            if len(min_lr) != groups:
                raise ValueError(f"expected {groups} min_lrs, got {len(min_lr)}")
            self.default_min_lr = None
            self.min_lrs = list(min_lr)
        else:
            self.default_min_lr = min_lr
            self.min_lrs = [min_lr] * groups
        self.patience = patience
        self.cooldown = cooldown
        self.eps = eps
        self.last_epoch = 0
        self._last_lr = read_groups(optimizer, "lr")
        self._init_is_better(mode, threshold, threshold_mode)
        self._reset()

    def _reset(self) -> None:
        """Forget what was seen."""
        self.best = self.mode_worse
        self.cooldown_counter = 0
        self.num_bad_epochs = 0

    def step(self, metrics, epoch=None) -> None:
        """Look at the metric of an epoch.

        Args:
            metrics: a number, or a tensor of one element.
            epoch: deprecated in torch.
        """
        current = float(metrics)
        if epoch is None:
            epoch = self.last_epoch + 1
        else:
            warnings.warn(EPOCH_DEPRECATION_WARNING, UserWarning, stacklevel=2)
        self.last_epoch = epoch
        if self._is_better(current, self.best):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce_lr(epoch)
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = read_groups(self.optimizer, "lr")

    def _reduce_lr(self, epoch) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                raise RuntimeError(
                    f"The number of param groups in the `optimizer` ({len(groups)}) differs from when "
                    f"`ReduceLROnPlateau` was initialized ({len(self.min_lrs)}), usually due to a new param group "
                    "being added to the optimizer. Please modify the `min_lrs` field to match the length of the "
                    "`optimizer` param groups."
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, lowest in zip(groups, self.min_lrs):
            old = float(group["lr"])
            new = max(old * self.factor, lowest)
            if old - new > self.eps:
                write_group(group, "lr", new)

    @property
    def in_cooldown(self) -> bool:
        """Whether a reduction was so recent that bad epochs do not count."""
        return self.cooldown_counter > 0

    def _is_better(self, a, best) -> bool:
        relative = self.threshold_mode == "rel"
        if self.mode == "min":
            return a < (best * (1.0 - self.threshold) if relative else best - self.threshold)
        return a > (best * (self.threshold + 1.0) if relative else best + self.threshold)

    def _init_is_better(self, mode, threshold, threshold_mode) -> None:
        if mode not in ("min", "max"):
            raise ValueError(f"mode {mode} is unknown!")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold mode {threshold_mode} is unknown!")
        self.mode_worse = inf if mode == "min" else -inf
        self.mode = mode
        self.threshold = threshold
        self.threshold_mode = threshold_mode

    def load_state_dict(self, state_dict: dict) -> None:
        """Take over a state from ``state_dict()``."""
        self.__dict__.update(state_dict)
        self._init_is_better(self.mode, self.threshold, self.threshold_mode)


class SequentialLR(NestedSchedules):
    """One schedule after the other; each milestone starts the next.

    Args:
        optimizer: whose groups to change.
        schedulers: in order.
        milestones: the epochs at which to change over; one fewer than schedules.
        last_epoch: where to resume; -1 starts anew.

    Raises:
        ValueError: no schedules, another number of milestones, or a schedule of another optimizer.

    Example:
        >>> import rushlight as torch
        >>> made = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
        >>> rates = torch.optim.lr_scheduler
        >>> warm, fall = rates.ConstantLR(made, 0.5, 2), rates.ExponentialLR(made, 0.5)
        >>> schedule = rates.SequentialLR(made, [warm, fall], milestones=[2])
        >>> for epoch in range(3):
        ...     made.step(); schedule.step()
        >>> schedule.get_last_lr()
        [0.5]
    """

    def __init__(self, optimizer, schedulers, milestones, last_epoch=-1):
        if len(schedulers) < 1:
            raise ValueError(f"{type(self).__name__} expects at least one scheduler, but got no scheduler.")
        self._check_parts(schedulers, optimizer, ReduceLROnPlateau)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                "Sequential Schedulers expects number of schedulers provided to be one more than the number of "
                f"milestone points, but got number of schedulers {len(schedulers)} and the number of milestones to be "
                f"equal to {len(milestones)}"
            )
        self._schedulers = schedulers
        self._milestones = milestones
        self.last_epoch = last_epoch + 1
        self.optimizer = optimizer
        # Each part has already made its first step: take all of them back, then make the first one's again.
        for group in optimizer.param_groups:
            write_group(group, "lr", group["initial_lr"])
        self.recursive_undo()
        first = self._schedulers[bisect_right(milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def recursive_undo(self, sched=None) -> None:
        """Take back the first step of all schedules inside."""
        at = self if sched is None else sched
        if hasattr(at, "_schedulers"):
            for part in at._schedulers:
                self.recursive_undo(part)
        elif hasattr(at, "last_epoch"):
            at.last_epoch -= 1

    def step(self) -> None:
        """Step the schedule whose turn it is."""
        self.last_epoch += 1
        turn = bisect_right(self._milestones, self.last_epoch)
        part = self._schedulers[turn]
        if turn > 0 and self._milestones[turn - 1] == self.last_epoch:
            part._update_lr(0)
        else:
            part.step()
        self._last_lr = part.get_last_lr()


class ChainedScheduler(NestedSchedules):
    """All schedules at every step, one upon the other.

    Args:
        schedulers: what to step, in order.
        optimizer: whose groups they change; default: the first one's.

    Raises:
        ValueError: no schedules, or one of another optimizer.
    """

    def __init__(self, schedulers, optimizer=None):
        if len(schedulers) < 1:
            raise ValueError(
                f"{type(self).__name__} expects at least one scheduler to be chained, but got no scheduler."
            )
        optimizer = optimizer or schedulers[0].optimizer
        self._check_parts(schedulers, optimizer, ReduceLROnPlateau)
        self._schedulers = schedulers
        self.optimizer = optimizer
        self._last_lr = read_groups(optimizer, "lr")

    def step(self) -> None:
        """Step them all."""
        for part in self._schedulers:
            part.step()
        self._last_lr = read_groups(self.optimizer, "lr")


__all__ = [
    "ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "ExponentialLR",
    "LRScheduler", "LambdaLR", "LinearLR", "MultiStepLR", "MultiplicativeLR", "OneCycleLR", "PolynomialLR",
    "ReduceLROnPlateau", "SequentialLR", "StepLR",
]  # fmt: skip

# The public path is torch's, whichever file a class is written in.
for _kind in (LRScheduler, *(getattr(_file, _name) for _file in (_cycles, _decay) for _name in _file.__all__)):
    _kind.__module__ = __name__
