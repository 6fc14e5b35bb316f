"""Owns ``Adam``: steps scaled by running averages of the gradient and of its square.

May import this folder's bases and jax.
"""

from __future__ import annotations

import jax.numpy as jnp

from .._tensor.tensor import Tensor
from ._fused import FusedOptimizer
from .optimizer import check_at_least, check_betas, check_fused, check_lr, to_scalar


class Adam(FusedOptimizer):
    """Adam (Kingma and Ba 2014): ``m`` and ``v`` average g and g squared; ``p = p - lr * m_hat / (sqrt(v_hat) + eps)``.

    Args:
        params: what to optimize.
        lr: the step size; a number or a tensor.
        betas: how fast the averages of the gradient and of its square forget.
        eps: added to the denominator.
        weight_decay: add this times the parameter to the gradient.
        amsgrad: divide by the largest average so far (Reddi et al. 2018).
        maximize: climb instead.
        foreach, fused, capturable: accepted; all parameters are always updated by one compiled call.
        differentiable: let gradients flow through the step.
        decoupled_weight_decay: shrink the parameter instead of changing the gradient, as AdamW does.

    Raises:
        ValueError: a number out of range.

    Example:
        >>> import rushlight as torch
        >>> w = torch.ones(2, requires_grad=True)
        >>> w.grad = torch.ones(2)
        >>> torch.optim.Adam([w], lr=0.25).step()
        >>> w.detach()
        tensor([0.7500, 0.7500])
    """

    _numbers = ("lr", "betas", "eps", "weight_decay")
    _optional = frozenset(("weight_decay",))
    _flags = ("amsgrad", "maximize", "decoupled_weight_decay")
    _scalars = {"step": 0.0}
    _late = {
        "amsgrad": False, "maximize": False, "foreach": None, "capturable": False, "differentiable": False,
        "decoupled_weight_decay": False, "fused": None,
    }  # fmt: skip

    def __init__(
        self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay: float = 0, amsgrad=False, *, foreach=None,
        maximize=False, capturable=False, differentiable=False, fused=None, decoupled_weight_decay=False,
    ):  # fmt: skip
        if isinstance(lr, Tensor) and foreach and not capturable:
            raise ValueError("lr as a Tensor is not supported for capturable=False and foreach=True")
        check_lr(lr)
        check_at_least("Invalid epsilon value: {}", eps, 0.0)
        check_betas(betas)
        check_at_least("Invalid weight_decay value: {}", weight_decay, 0.0)
        if {isinstance(b, float) for b in betas} != {True} and {isinstance(b, Tensor) for b in betas} != {True}:
            raise ValueError("betas must be either both floats or both Tensors")
        for i, beta in enumerate(betas):
            if isinstance(beta, Tensor) and foreach and not capturable:
                raise ValueError(f"betas[{i}] as a Tensor is not supported for capturable=False and foreach=True")
        defaults = {
            "lr": lr, "betas": tuple(map(to_scalar, betas)), "eps": eps, "weight_decay": weight_decay,
            "amsgrad": amsgrad, "maximize": maximize, "foreach": foreach, "capturable": capturable,
            "differentiable": differentiable, "fused": fused, "decoupled_weight_decay": decoupled_weight_decay,
        }  # fmt: skip
        super().__init__(params, defaults)
        check_fused(fused, foreach, differentiable)

    def _slots(self, group):
        return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsgrad"] else ("exp_avg", "exp_avg_sq")

    @staticmethod
    def _begin(h, step):
        step = step + 1
        beta1, beta2 = h.betas
        return (step,), {
            "size": h.lr / (1 - beta1**step), "root": jnp.sqrt(1 - beta2**step), "eps": h.eps, "take1": 1 - beta1,
            "keep2": beta2, "take2": 1 - beta2, "decay": h.weight_decay,
            "shrink": None if h.weight_decay is None else 1 - h.lr * h.weight_decay,
        }  # fmt: skip

    @staticmethod
    def _rule(c, h, p, g, mean, square, *largest):
        g = -g if h.maximize else g
        if c.decay is not None:
            if h.decoupled_weight_decay:
                p = p * c.shrink
            else:
                g = g + c.decay * p
        mean = mean + c.take1 * (g - mean)
        square = square * c.keep2 + c.take2 * g * g
        largest = [jnp.maximum(held, square) for held in largest]
        scale = jnp.sqrt(largest[0] if largest else square) / c.root + c.eps
        return p - c.size * mean / scale, mean, square, *largest


__all__ = ["Adam"]
