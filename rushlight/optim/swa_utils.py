"""Owns averages of models over training: ``AveragedModel``, its averaging functions, ``SWALR`` and ``update_bn``.

May import this folder's schedules, ``nn.Module``, the tensor cell and jax.
"""

from __future__ import annotations

import math
from copy import deepcopy
from itertools import chain

import jax
import jax.numpy as jnp

from .. import dtypes
from .._graph.modes import no_grad
from .._graph.modes import state as modes
from .._tensor.tensor import Tensor
from ..nn.modules.module import Module
from ..ops import creation
from ._schedule import LRScheduler, per_group


@jax.jit
def _move_towards(olds, news, weight):
    """``old + weight * (new - old)``; integers are computed in 32-bit floats and cut off."""
    out = []
    for old, new in zip(olds, news):
        wide = old.dtype if jnp.issubdtype(old.dtype, jnp.inexact) else jnp.float32
        w, a, b = weight.astype(wide), old.astype(wide), new.astype(wide)
        out.append((a + w * (b - a) if wide == old.dtype else a * (1 - w) + b * w).astype(old.dtype))
    return out


def _average(averaged, current, weight) -> None:
    """Move the averages in place, all in one compiled call."""
    if len(averaged) == 0:
        return
    moved = _move_towards(
        [t._array() for t in averaged], [t._array() for t in current], jnp.asarray(weight, jnp.float64)
    )
    for t, array in zip(averaged, moved):
        t._write(array)


def _check_decay(decay) -> None:
    if decay < 0.0 or decay > 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


def _next(num_averaged):
    return (num_averaged._array() if isinstance(num_averaged, Tensor) else num_averaged) + 1


def get_ema_multi_avg_fn(decay=0.999):
    """``average = decay * average + (1 - decay) * current``, for lists of tensors, in place.

    Raises:
        ValueError: ``decay`` is outside [0, 1].
    """
    _check_decay(decay)

    def ema_update(ema_param_list, current_param_list, _) -> None:
        _average(ema_param_list, current_param_list, 1 - decay)

    return ema_update


def get_swa_multi_avg_fn():
    """The mean of all models so far, for lists of tensors, in place."""

    def swa_update(averaged_param_list, current_param_list, num_averaged) -> None:
        _average(averaged_param_list, current_param_list, 1.0 / _next(num_averaged))

    return swa_update


def get_ema_avg_fn(decay=0.999):
    """``decay * average + (1 - decay) * current``, for one tensor.

    Raises:
        ValueError: ``decay`` is outside [0, 1].
    """
    _check_decay(decay)

    @no_grad()
    def ema_update(ema_param, current_param, num_averaged):
        return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_swa_avg_fn():
    """The mean of all models so far, for one tensor."""

    @no_grad()
    def swa_update(averaged_param, current_param, num_averaged):
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


class AveragedModel(Module):
    """A copy of a model whose parameters are the average of those seen by ``update_parameters``.

    Args:
        model: what to copy.
        device: where to keep the average.
        avg_fn: ``f(average, current, num_averaged)`` gives the new average of one tensor.
        multi_avg_fn: ``f(averages, currents, num_averaged)`` changes lists of tensors in place; default: the mean.
        use_buffers: average the buffers too, instead of copying them.

    Raises:
        AssertionError: both functions are given.

    Example:
        >>> import rushlight as torch
        >>> model = torch.nn.ParameterList([torch.ones(1)])
        >>> mean = torch.optim.swa_utils.AveragedModel(model)
        >>> mean.update_parameters(model)
        >>> _ = model[0].data.copy_(torch.tensor([3.0]))
        >>> mean.update_parameters(model)
        >>> mean.module[0].item()
        2.0
    """

    n_averaged: Tensor

    def __init__(self, model, device=None, avg_fn=None, multi_avg_fn=None, use_buffers=False):
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", creation.tensor(0, dtype=dtypes.int64, device=device))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args, **kwargs):
        """The averaged model's output."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model) -> None:
        """Take the present parameters of ``model`` into the average; the first time, copy them."""

        def tensors(of):
            return chain(of.parameters(), of.buffers()) if self.use_buffers else of.parameters()

        averaged = [t.detach() for t in tensors(self.module)]
        current = [t.detach().to(a.device) for t, a in zip(tensors(model), averaged)]
        if modes.trace is not None:
            # The program of one call serves the first call and all others.
            first = self.n_averaged._array() == 0
            self._average(averaged, current)
            for a, t in zip(averaged, current):
                mine = a._array()
                a._write(jnp.where(first, t._array().astype(mine.dtype), mine))
        elif int(self.n_averaged.item()) == 0:
            for a, t in zip(averaged, current):
                _copy(a, t)
        else:
            self._average(averaged, current)
        if not self.use_buffers:
            for a, t in zip(self.module.buffers(), model.buffers(), strict=True):
                _copy(a.detach(), t.detach().to(a.device))
        self.n_averaged._write(self.n_averaged._array() + 1)

    def _average(self, averaged, current) -> None:
        if self.avg_fn is not None:
            for a, t in zip(averaged, current):
                _copy(a, self.avg_fn(a, t, self.n_averaged.to(a.device)))
            return
        update = self.multi_avg_fn or get_swa_multi_avg_fn()
        groups: dict = {}
        for a, t in zip(averaged, current):
            held = groups.setdefault((a.device, a.dtype), ([], []))
            held[0].append(a)
            held[1].append(t)
        for (where, _), (mine, theirs) in groups.items():
            update(mine, theirs, self.n_averaged.to(where))


def _copy(target, source) -> None:
    target._write(source._array().astype(target._array().dtype))


@no_grad()
def update_bn(loader, model, device=None) -> None:
    """Compute the running statistics of all batch normalizations anew, from one pass over the data.

    Args:
        loader: gives batches; of a list or tuple, the first element is the input.
        model: what to feed them to; it is in training mode meanwhile.
        device: where to move the inputs.
    """
    from ..nn.modules.batchnorm import _BatchNorm

    momenta = {}
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()
            momenta[module] = module.momentum
    if not momenta:
        return
    was_training = model.training
    model.train()
    for module in momenta:
        module.momentum = None
    for batch in loader:
        batch = batch[0] if isinstance(batch, (list, tuple)) else batch
        model(batch if device is None else batch.to(device))
    for module, momentum in momenta.items():
        module.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """Go from the learning rate to ``swa_lr`` and stay there.

    Args:
        optimizer: whose groups to change.
        swa_lr: the end; a number, or a list with one for each group.
        anneal_epochs: how many epochs the way takes.
        anneal_strategy: ``"cos"`` or ``"linear"``.
        last_epoch: where to resume; -1 starts anew.

    Raises:
        ValueError: an unknown strategy, or a number of epochs that is no integer or negative.

    Example:
        >>> import rushlight as torch
        >>> made = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
        >>> schedule = torch.optim.swa_utils.SWALR(made, swa_lr=0.5, anneal_epochs=2, anneal_strategy="linear")
        >>> made.step(); schedule.step(); schedule.get_last_lr()
        [0.75]
    """

    def __init__(self, optimizer, swa_lr, anneal_epochs=10, anneal_strategy="cos", last_epoch=-1):
        for rate, group in zip(per_group("swa_lr", optimizer, swa_lr), optimizer.param_groups, strict=True):
            group["swa_lr"] = rate
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        self._anneal_strategy = anneal_strategy
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def anneal_func(self, t):
        """How much of the way is done after the part ``t`` of the epochs."""
        return (1 - math.cos(math.pi * t)) / 2 if self._anneal_strategy == "cos" else t

    def get_lr(self):
        self._warn_outside_step()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        epochs = max(1, self.anneal_epochs)
        before = self.anneal_func(max(0, min(1, (step - 1) / epochs)))
        now = self.anneal_func(max(0, min(1, step / epochs)))
        rates = []
        for group in self.optimizer.param_groups:
            lr, end = group["lr"], group["swa_lr"]
            start = end if before == 1 else (lr - before * end) / (1 - before)
            rates.append(end * now + start * (1 - now))
        return rates


__all__ = [
    "AveragedModel", "SWALR", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn", "get_swa_multi_avg_fn",
    "update_bn",
]  # fmt: skip
