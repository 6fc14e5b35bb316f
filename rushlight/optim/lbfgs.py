"""Owns ``LBFGS``: quasi-Newton steps from the last gradients, with an optional line search.

May import this folder's base class and line search, the compiler, the tensor cell and jax.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from .._graph.modes import enable_grad
from .._tensor.tensor import Tensor
from ..compiler._trace import Unsupported
from ._line_search import Point, strong_wolfe
from .optimizer import Optimizer, check_lr

_dot = jax.jit(jnp.dot)
_add_scaled = jax.jit(lambda x, y, factor: x + y * factor.astype(x.dtype))
_largest = jax.jit(lambda x: jnp.max(jnp.abs(x)))


def _real(a):
    return jnp.stack([a.real, a.imag], -1) if jnp.iscomplexobj(a) else a


@jax.jit
def _flatten(arrays):
    return jnp.concatenate([_real(a).reshape(-1) for a in arrays])


@jax.jit
def _moved(params, t, direction):
    out, offset = [], 0
    for p in params:
        real = _real(p)
        part = direction[offset : offset + real.size].reshape(real.shape)
        offset += real.size
        real = real + (t * part.astype(jnp.float64)).astype(real.dtype)
        out.append(jax.lax.complex(real[..., 0], real[..., 1]) if jnp.iscomplexobj(p) else real)
    return out


class LBFGS(Optimizer):
    """L-BFGS (Liu and Nocedal 1989): steps along the gradient times an estimate of the inverse Hessian.

    ``step`` takes a closure that zeroes the gradients, computes the loss, calls backward and returns the loss.

    Args:
        params: what to optimize; one group.
        lr: the length of a step; a number or a tensor.
        max_iter: how many iterations per step.
        max_eval: how many evaluations of the closure per step; default: ``max_iter * 1.25``.
        tolerance_grad: stop when no element of the gradient is larger.
        tolerance_change: stop when neither the loss nor the parameters change more.
        history_size: how many past gradients to keep.
        line_search_fn: ``"strong_wolfe"`` or None.

    Raises:
        ValueError: a negative learning rate, or several groups.
        RuntimeError: another line search.

    Example:
        >>> import rushlight as torch
        >>> w = torch.ones(2, requires_grad=True)
        >>> made = torch.optim.LBFGS([w], lr=0.5, max_iter=1)
        >>> def closure():
        ...     made.zero_grad()
        ...     loss = (w * w).sum()
        ...     loss.backward()
        ...     return loss
        >>> made.step(closure)
        tensor(2., grad_fn=<SumBackward0>)
        >>> w.detach()
        tensor([0.7500, 0.7500])
    """

    def __init__(
        self, params, lr=1, max_iter=20, max_eval=None, tolerance_grad=1e-7, tolerance_change=1e-9, history_size=100,
        line_search_fn=None,
    ):  # fmt: skip
        check_lr(lr)
        defaults = {
            "lr": lr, "max_iter": max_iter, "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change, "history_size": history_size,
            "line_search_fn": line_search_fn,
        }  # fmt: skip
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    @property
    def _params(self) -> list:
        return self.param_groups[0]["params"]

    def _flat_grad(self):
        arrays = [(p if p.grad is None else p.grad)._array() for p in self._params]
        return _flatten([jnp.zeros_like(a) if p.grad is None else a for p, a in zip(self._params, arrays)])

    def _move(self, start, t, direction) -> None:
        for p, array in zip(self._params, _moved(start, t, direction)):
            p._write(array)

    def step(self, closure):
        """Iterate until a tolerance or a limit is met.

        Args:
            closure: zeroes the gradients, computes the loss, calls backward, returns the loss.

        Returns:
            The first loss.

        Raises:
            NotImplementedError: called inside a function that is compiled with ``fullgraph=True``; the number of
                iterations depends on values. Without it the function runs eagerly, and says so.
        """
        if any(isinstance(p._array(), Tracer) for p in self._params):
            raise Unsupported("LBFGS.step() iterates until values say so", "Compile the closure and call step outside")
        closure = enable_grad()(closure)
        group = self.param_groups[0]
        rate, search = float(group["lr"]), group["line_search_fn"]
        least = group["tolerance_change"]
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss = closure()
        loss = float(first_loss)
        evaluations = 1
        state["func_evals"] += 1
        grad = self._flat_grad()
        if float(_largest(grad)) <= group["tolerance_grad"]:
            return first_loss
        history = _History(state, group["history_size"])
        d, t = _array_of(state.get("d")), state.get("t")
        before, loss_before = _array_of(state.get("prev_flat_grad")), state.get("prev_loss")
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            if state["n_iter"] == 1:
                history.clear()
                d = -grad
                t = min(1.0, 1.0 / float(jnp.sum(jnp.abs(grad)))) * rate
            else:
                history.add(grad - before, d * jnp.asarray(float(t), d.dtype))
                d = history.direction(grad)
                t = rate
            before, loss_before = grad, loss
            slope = float(_dot(grad, d))
            if slope > -least:
                break
            start = [p._array() for p in self._params]
            made = 0
            if search is not None:
                if search != "strong_wolfe":
                    raise RuntimeError("only 'strong_wolfe' is supported")
                found, made = strong_wolfe(
                    lambda t, start=start, d=d: self._evaluate(closure, start, t, d),
                    Point(0.0, loss, grad, slope), t, float(_largest(d)), 1e-9, group["max_eval"] - evaluations,
                )  # fmt: skip
                t, loss, grad = found.t, found.f, found.g
                self._move(start, t, d)
            else:
                self._move(start, t, d)
                if iteration != group["max_iter"]:
                    loss = float(closure())
                    grad = self._flat_grad()
                    made = 1
            evaluations += made
            state["func_evals"] += made
            if (
                evaluations >= group["max_eval"]
                or float(_largest(grad)) <= group["tolerance_grad"]
                or float(_largest(d)) * abs(t) <= least
                or abs(loss - loss_before) < least
            ):
                break
        where = self._params[0].device
        state.update(d=Tensor._of(d, where), t=t)
        history.save(state, where)
        state.update(prev_flat_grad=Tensor._of(before, where), prev_loss=loss_before)
        return first_loss

    def _evaluate(self, closure, start, t, d) -> Point:
        """The loss at a distance; the parameters are put back."""
        self._move(start, t, d)
        loss = float(closure())
        grad = self._flat_grad()
        for p, array in zip(self._params, start):
            p._write(array)
        return Point(t, loss, grad, float(_dot(grad, d)))


class _History:
    """The last changes of the gradient and of the parameters, and the estimate that follows from them."""

    def __init__(self, state, size):
        self.size = size
        self.dirs = [_array_of(a) for a in state.get("old_dirs") or ()]
        self.steps = [_array_of(a) for a in state.get("old_stps") or ()]
        self.ro = [_array_of(a) for a in state.get("ro") or ()]
        self.scale = _array_of(state.get("H_diag", 1))
        self.weights = None

    def clear(self) -> None:
        self.dirs, self.steps, self.ro, self.scale = [], [], [], 1

    def add(self, y, s) -> None:
        """Take in a pair, unless the curvature along it is not positive."""
        curvature = _dot(y, s)
        if not float(curvature) > 1e-10:
            return
        if len(self.dirs) == self.size:
            for held in (self.dirs, self.steps, self.ro):
                held.pop(0)
        self.dirs.append(y)
        self.steps.append(s)
        self.ro.append(1.0 / curvature)
        self.scale = curvature / _dot(y, y)

    def direction(self, grad):
        """Minus the inverse Hessian times the gradient, by the two loops."""
        q = -grad
        pairs = list(zip(self.dirs, self.steps, self.ro))
        weights: list[Any] = [None] * len(pairs)
        self.weights = weights
        for i in range(len(pairs) - 1, -1, -1):
            y, s, ro = pairs[i]
            weights[i] = _dot(s, q) * ro
            q = _add_scaled(q, y, -weights[i])
        r = q * jnp.asarray(self.scale, q.dtype)
        for (y, s, ro), weight in zip(pairs, weights):
            r = _add_scaled(r, s, weight - _dot(y, r) * ro)
        return r

    def save(self, state, where) -> None:
        """Write to the optimizer's state, in torch's form."""

        def tensors(arrays):
            return [Tensor._of(jnp.asarray(a), where) for a in arrays]

        state.update(old_dirs=tensors(self.dirs), old_stps=tensors(self.steps), ro=tensors(self.ro))
        state["H_diag"] = self.scale if isinstance(self.scale, int) else Tensor._of(jnp.asarray(self.scale), where)
        if self.weights is not None:
            state["al"] = tensors(self.weights) + [None] * (self.size - len(self.weights))


def _array_of(value):
    return value._array() if isinstance(value, Tensor) else value


__all__ = ["LBFGS"]
