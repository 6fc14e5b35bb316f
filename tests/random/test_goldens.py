"""The stream against values that torch drew, kept in tests/golden; torch itself is not needed."""

import pathlib
import zlib

import ml_dtypes
import numpy as np
import pytest

from rushlight.random import distributions as d
from rushlight.random.mt19937 import Engine

GOLDEN = np.load(pathlib.Path(__file__).resolve().parent.parent / "golden" / "random_stream.npz")
F16, BF16, F32, F64 = np.float16, ml_dtypes.bfloat16, np.float32, np.float64


def weights(n):
    return (np.arange(n) % 7).astype(F32) + 1


CASES = {
    "uniform float32": lambda e, n: d.uniform(e, n),
    "uniform float32 symmetric": lambda e, n: d.uniform(e, n, -0.3, 0.3),
    "uniform float64": lambda e, n: d.uniform(e, n, -0.3, 0.7, F64),
    "uniform float16": lambda e, n: d.uniform(e, n, dtype=F16),
    "uniform bfloat16": lambda e, n: d.uniform(e, n, -1, 1, BF16),
    "normal float32": lambda e, n: d.normal(e, n),
    "normal float32 scaled": lambda e, n: d.normal(e, n, 1.5, 0.02),
    "normal float64": lambda e, n: d.normal(e, n, dtype=F64),
    "normal float16": lambda e, n: d.normal(e, n, dtype=F16),
    "normal bfloat16": lambda e, n: d.normal(e, n, dtype=BF16),
    "normal strided": lambda e, n: d.normal(e, n, contiguous=False),
    "log_normal": lambda e, n: d.log_normal(e, n),
    "exponential": lambda e, n: d.exponential(e, n, 0.7),
    "cauchy": lambda e, n: d.cauchy(e, n, 0.5, 2),
    "geometric": lambda e, n: d.geometric(e, n, 0.3),
    "bernoulli": lambda e, n: d.bernoulli(e, 1 - 0.1, n),
    "bernoulli array": lambda e, n: d.bernoulli(e, weights(n) / F32(8)),
    "randint": lambda e, n: d.randint(e, -3, 11, n),
    "randint wide": lambda e, n: d.randint(e, 0, 2**40 + 1, n),
    "random int32": lambda e, n: d.random(e, n, np.int32),
    "random int64": lambda e, n: d.random(e, n, np.int64),
    "random uint8": lambda e, n: d.random(e, n, np.uint8),
    "random bfloat16": lambda e, n: d.random(e, n, BF16),
    "randperm": lambda e, n: d.randperm(e, n),
    "multinomial": lambda e, n: d.multinomial(e, weights(n), (n + 2) // 3),
    "multinomial replacement": lambda e, n: d.multinomial(e, weights(n), 5, True),
    "poisson": lambda e, n: d.poisson(e, F32(4) * weights(n)),
    "gamma": lambda e, n: d.standard_gamma(e, weights(n) / F32(2)),
    "binomial": lambda e, n: d.binomial(e, F32(10) * weights(n), weights(n) / F32(8)),
}


def checksum(array):
    return zlib.crc32(array.tobytes())


def test_every_golden_case_is_drawn():
    assert sorted(CASES) == sorted(GOLDEN["names"].tolist())


@pytest.mark.parametrize("name", CASES)
def test_draws_what_torch_drew(name):
    for seed in GOLDEN["seeds"].tolist():
        engine, drawn, states = Engine(seed), [], []
        for n in GOLDEN["sizes"].tolist():
            drawn.append(CASES[name](engine, n))
            states.append(checksum(engine.get_state()))
        dtype = drawn[0].dtype
        expected = GOLDEN[f"{name}/{seed}/drawn"].view(dtype)
        assert np.concatenate(drawn).tobytes() == expected.tobytes()
        large = []
        for n in GOLDEN["large_sizes"].tolist() if GOLDEN[f"{name}/{seed}/large"].size else ():
            large.append(checksum(CASES[name](engine, n)))
            states.append(checksum(engine.get_state()))
        assert large == GOLDEN[f"{name}/{seed}/large"].tolist()
        assert states == GOLDEN[f"{name}/{seed}/states"].tolist()
