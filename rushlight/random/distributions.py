"""Owns the one list of distributions to import from; each is defined in the file of its kind.

May import the other files of ``rushlight.random``.
"""

from rushlight.random.continuous import cauchy, exponential, log_normal, normal, normal_arrays, uniform
from rushlight.random.discrete import bernoulli, geometric, multinomial, randint, random, randperm
from rushlight.random.rejection import binomial, dirichlet, poisson, standard_gamma

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
