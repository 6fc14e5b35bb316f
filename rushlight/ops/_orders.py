"""Owns ``Held``: a value that is kept in one or more memory orders, and moved only when somebody asks for another.

May import jax alone.
"""

from __future__ import annotations

import math

from jax import lax


def identity(ndim: int) -> tuple:
    return tuple(range(ndim))


class Held:
    """A value in one or more orders: ``orders[p]`` is the logical value with its dimensions transposed by ``p``.

    Attributes:
        first: the order that it was made in.
        size: how many elements another order has to move; 0 where it is made on the spot (broadcast, constant).
        source: what it is the reverse of, and along which dimensions; None for anything else.
    """

    __slots__ = ("first", "ndim", "orders", "size", "source")

    def __init__(self, array, order: tuple, free: bool = False):
        self.orders = {order: array}
        self.first, self.ndim = order, len(order)
        self.size = 0 if free or not self.ndim else math.prod(array.shape)
        self.source: tuple | None = None

    def get(self, order: tuple):
        found = self.orders.get(order)
        if found is None:
            place = {d: i for i, d in enumerate(self.first)}
            found = lax.transpose(self.orders[self.first], [place[d] for d in order])
            self.orders[order] = found
        return found

    @property
    def plain(self):
        return self.get(identity(self.ndim))

    @property
    def moved(self) -> bool:
        return self.first != identity(self.ndim)

    @property
    def dtype(self):
        return self.orders[self.first].dtype

    @property
    def shape(self) -> tuple:
        sizes = self.orders[self.first].shape
        return tuple(sizes[self.first.index(d)] for d in range(self.ndim))

    def renamed(self, names) -> Held:
        """The same value with dimension ``names[d]`` called ``d``."""
        place = {d: i for i, d in enumerate(names)}
        new = Held.__new__(Held)
        new.orders = {tuple(place[d] for d in order): array for order, array in self.orders.items()}
        new.first, new.ndim, new.size = tuple(place[d] for d in self.first), self.ndim, self.size
        new.source = self.source and (self.source[0].renamed(names), tuple(place[d] for d in self.source[1]))
        return new

    def learn(self, other: Held, names) -> None:
        """Take over the orders that were made of ``renamed(names)``."""
        for order, array in other.orders.items():
            self.orders.setdefault(tuple(names[d] for d in order), array)
