"""A module with marked functions: each library's copy of it is made by running this source."""

import math
from math import sqrt as root

torch = None  # put in place before the source is run


def helper(x, n):
    return x * n if n > 1 else x


def plain(x):
    return x + root(2.0)


def use(x, y):
    return helper(x, y) + len(x) + plain(x) + math.ceil(y) + root(y) + (lambda z: z)(x)


@torch.fx.wrap
def decorated(x):
    return x if x is None else x.clone()


def use_decorated(x):
    return decorated(x) + decorated(x=x)


torch.fx.wrap("helper")
torch.fx.wrap("len")
