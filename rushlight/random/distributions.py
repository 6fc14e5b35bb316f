"""Owns the one list of distributions to import from; each is defined in the file of its kind.

May import the other files of ``rushlight.random``.
"""

from .continuous import cauchy, exponential, log_normal, normal, normal_arrays, uniform
from .discrete import bernoulli, geometric, multinomial, randint, random, randperm
from .rejection import binomial, dirichlet, poisson, standard_gamma

__all__ = [
    "bernoulli",
    "binomial",
    "cauchy",
    "dirichlet",
    "exponential",
    "geometric",
    "log_normal",
    "multinomial",
    "normal",
    "normal_arrays",
    "poisson",
    "randint",
    "random",
    "randperm",
    "standard_gamma",
    "uniform",
]
