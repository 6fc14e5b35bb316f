"""Owns ``AdamW``: Adam whose weight decay shrinks the parameters and stays out of the averages.

May import ``Adam``.
"""

from __future__ import annotations

from .adam import Adam


class AdamW(Adam):
    """AdamW (Loshchilov and Hutter 2017): ``p = p * (1 - lr * weight_decay)``, then a step of Adam.

    Args:
        params: what to optimize.
        lr, betas, eps, amsgrad, maximize, foreach, capturable, differentiable, fused: as for Adam.
        weight_decay: how fast parameters shrink.

    Raises:
        ValueError: a number out of range.

    Example:
        >>> import rushlight as torch
        >>> w = torch.ones(2, requires_grad=True)
        >>> w.grad = torch.zeros(2)
        >>> torch.optim.AdamW([w], lr=0.5, weight_decay=0.5).step()
        >>> w.detach()
        tensor([0.7500, 0.7500])
    """

    def __init__(
        self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, amsgrad=False, *, maximize=False,
        foreach=None, capturable=False, differentiable=False, fused=None,
    ):  # fmt: skip
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize, capturable=capturable,
            differentiable=differentiable, fused=fused, decoupled_weight_decay=True,
        )  # fmt: skip

    def __setstate__(self, state) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True


__all__ = ["AdamW"]
