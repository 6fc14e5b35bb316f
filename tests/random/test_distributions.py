"""The distributions without torch: shapes, dtypes, errors, and what makes them right rather than merely equal."""

import ml_dtypes
import numpy as np
import pytest

from rushlight import dtypes
from rushlight.random import box_muller, discrete, rounds
from rushlight.random import distributions as d
from rushlight.random.mt19937 import Engine

BF16 = ml_dtypes.bfloat16
ONE = np.ones(1, np.float32)


def test_dtypes_may_be_ours_or_numpys():
    ours, numpys = (d.uniform(Engine(1), 5, dtype=t) for t in (dtypes.bfloat16, BF16))
    assert ours.dtype == numpys.dtype == BF16 and np.array_equal(ours, numpys)
    assert d.randint(Engine(1), 0, 3, 2, dtypes.int16).dtype == np.int16


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (2, 3), 4])
@pytest.mark.parametrize(
    "draw",
    [
        lambda e, s: d.uniform(e, s),
        lambda e, s: d.uniform(e, s, dtype=np.complex64),
        lambda e, s: d.normal(e, s),
        lambda e, s: d.normal(e, s, dtype=np.complex128),
        lambda e, s: d.log_normal(e, s),
        lambda e, s: d.exponential(e, s),
        lambda e, s: d.cauchy(e, s),
        lambda e, s: d.geometric(e, s, 0.5),
        lambda e, s: d.bernoulli(e, 0.5, s),
        lambda e, s: d.bernoulli(e, ONE[0:1].reshape(()), s),
        lambda e, s: d.randint(e, 0, 5, s),
        lambda e, s: d.random(e, s),
    ],
)
def test_shapes(draw, shape):
    engine = Engine(2)
    before = engine.get_state()
    out = draw(engine, shape)
    expected = (shape,) if isinstance(shape, int) else shape
    assert isinstance(out, np.ndarray) and out.shape == expected
    assert np.array_equal(engine.get_state(), before) == (out.size == 0)  # nothing drawn, nothing spent


def test_array_shapes():
    engine, mean = Engine(2), np.zeros((3, 1), np.float32)
    assert d.normal_arrays(engine, mean, np.ones(4, np.float32)).shape == (3, 4)
    assert d.normal_arrays(engine, mean, np.ones(4, np.float64)).dtype == np.float32
    assert d.normal_arrays(engine, 1.0, np.zeros((2, 2))).tolist() == [[1, 1], [1, 1]]
    assert d.bernoulli(engine, mean, (3, 5), np.int8).dtype == np.int8
    assert d.multinomial(engine, np.ones((2, 3)), 2).shape == (2, 2)
    assert d.multinomial(engine, np.ones((0, 3)), 2).shape == (0, 2)
    assert d.poisson(engine, np.zeros((2, 3), np.float16)).dtype == np.float16
    assert d.binomial(engine, np.full((2, 1), 5.0), np.full(3, 1.0)).tolist() == [[5.0] * 3] * 2
    assert np.allclose(d.dirichlet(engine, np.ones((4, 3))).sum(-1), 1)


def test_uniform_stays_below_its_upper_bound():
    assert (d.uniform(Engine(0), 10**5, dtype=np.float16) < 1).all()
    values = d.uniform(Engine(0), 10**5, 2.0, 2.0 + 2.0**-21)
    assert values.min() == 2 and values.max() < np.float32(2.0 + 2.0**-21)


def test_moments():
    engine = Engine(1)
    z = d.normal(engine, 10**5, 3.0, 2.0).astype(np.float64)
    assert abs(z.mean() - 3) < 0.03 and abs(z.std() - 2) < 0.03
    assert abs(d.exponential(engine, 10**5, 4.0).mean() - 0.25) < 0.005
    assert abs(d.poisson(engine, np.full(20000, 33.0)).mean() - 33) < 0.2
    assert abs(d.standard_gamma(engine, np.full(20000, 2.5)).mean() - 2.5) < 0.05
    assert abs(d.binomial(engine, np.full(20000, 50.0), np.array(0.7)).mean() - 35) < 0.2
    assert abs(d.bernoulli(engine, 0.3, 10**5).mean() - 0.3) < 0.01
    assert np.bincount(d.multinomial(engine, np.array([1.0, 0, 3]), 10**4, True), minlength=3)[1] == 0


def test_threads_change_nothing(monkeypatch):
    size = 3 * rounds.THREADED_FROM // 2 + 5
    draws = [d.uniform, d.normal, lambda e, n: d.bernoulli(e, 0.5, n)]
    monkeypatch.setattr(rounds, "_WORKERS", 3)
    threaded = [draw(Engine(4), size) for draw in draws]
    monkeypatch.setattr(rounds, "_WORKERS", 1)
    for draw, expected in zip(draws, threaded):
        assert np.array_equal(draw(Engine(4), size), expected)


def test_scalar_and_block_normals_share_the_cached_sample():
    engine = Engine(0)
    first = d.normal(engine, 3)
    assert engine.next_double_normal is not None
    d.normal(engine, 16)
    assert engine.next_double_normal is not None  # blocks leave it alone
    assert d.normal(engine, 1)[0] == d.normal(Engine(0), 4)[3]
    assert engine.next_double_normal is None
    assert np.array_equal(first, d.normal(Engine(0), 4)[:3])


def test_block_normal_agrees_with_float64_arithmetic():
    out = np.empty(1 << 16, np.float32)
    box_muller.fill_float32(Engine(9), out, 0.0, 1.0)
    u = ((Engine(9).raw32(1 << 16) & 0xFFFFFF) * 2.0**-24).reshape(-1, 2, 8)
    radius, angle = np.sqrt(-2 * np.log(1 - u[:, 0])), np.float64(np.float32(2 * np.pi)) * u[:, 1]
    exact = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).ravel()
    # The angle is rounded to float32 before its sine is taken: half a unit of 2 pi, scaled by the radius.
    assert np.abs(out - exact).max() < 6 * 2.0**-22


def test_permutations():
    for n in (0, 1, 2, 1023, 1024, 5000):
        assert np.array_equal(np.sort(d.randperm(Engine(n), n)), np.arange(n))
    assert d.randperm(Engine(0), 2049, np.float16).max() == 2048


def test_lapack_swaps_as_a_loop_does(monkeypatch):
    short = [d.randperm(Engine(3), n) for n in (1024, 3001)]
    monkeypatch.setattr(discrete, "_LAPACK_FROM", 10**9)
    for expected in short:
        assert np.array_equal(d.randperm(Engine(3), expected.size), expected)


def test_long_permutations_are_grown_from_the_inside(monkeypatch):
    n, words = 2000, Engine(6).raw64(2000).tolist()
    expected = []
    for i in range(n):
        expected.append(i)
        z = words[i] % (i + 1)
        expected[i], expected[z] = expected[z], i
    monkeypatch.setattr(discrete, "_LONG_PERMUTATION", n)
    assert d.randperm(Engine(6), n).tolist() == expected


def test_a_bad_chance_is_met_after_the_draws_before_it():
    engine, chances = Engine(1), np.full(10, 0.5, np.float32)
    chances[7] = np.nan
    with pytest.raises(RuntimeError, match="Expected p_in >= 0 && p_in <= 1"):
        d.bernoulli(engine, chances)
    assert engine.raw32(1) == Engine(1).raw32(8)[7]


@pytest.mark.parametrize(
    ("draw", "error", "text"),
    [
        (lambda e: d.uniform(e, 3, 2, 1), RuntimeError, r"return a \[from, to\) range, but found from=2 > to=1"),
        (lambda e: d.uniform(e, 0, 2, 1), RuntimeError, "uniform_ expects"),
        (lambda e: d.uniform(e, 3, 0, 1e39), RuntimeError, "to is out of bounds for float"),
        (lambda e: d.uniform(e, 3, 0, 7e4, np.float16), RuntimeError, "to is out of bounds for c10::Half"),
        (lambda e: d.uniform(e, 3, -3e38, 3e38), RuntimeError, r"limits<Float>::max\(\), but found to=3e\+38 and"),
        (lambda e: d.uniform(e, 3, dtype=np.int32), NotImplementedError, "\"check_uniform_bounds\" .* for 'Int'"),
        (lambda e: d.normal(e, 3, 0, -1), RuntimeError, "normal expects std >= 0.0, but found std -1"),
        (lambda e: d.normal(e, 3, dtype=np.int64), NotImplementedError, "\"normal_kernel_cpu\" .* for 'Long'"),
        (lambda e: d.normal_arrays(e, ONE, -ONE), RuntimeError, "normal expects all elements of std >= 0.0"),
        (lambda e: d.normal_arrays(e, ONE, -1.0), RuntimeError, "normal expects std >= 0.0"),
        (lambda e: d.normal_arrays(e, ONE, ONE.astype(np.complex64)), RuntimeError, "deviation to be non-complex"),
        (lambda e: d.normal_arrays(e, np.ones(2), np.ones(3)), RuntimeError, r"tensor a \(2\) must match the size of"),
        (lambda e: d.log_normal(e, 3, 0, 0), RuntimeError, "log_normal_ expects std > 0.0, but found std=0"),
        (lambda e: d.exponential(e, 3, -1), RuntimeError, "exponential_ expects lambda > 0.0, but found lambda=-1"),
        (lambda e: d.exponential(e, 3, 1, np.int32), RuntimeError, "Exponential distribution .* specified Int"),
        (lambda e: d.cauchy(e, 3, 0, 0), RuntimeError, "cauchy_ expects sigma > 0.0, but found sigma=0"),
        (lambda e: d.cauchy(e, 3, dtype=np.int32), RuntimeError, "Cauchy distribution .* specified int"),
        (lambda e: d.geometric(e, 3, 1), RuntimeError, r"geometric_ expects p to be in \(0, 1\), but got p=1"),
        (lambda e: d.bernoulli(e, 1.5, 3), RuntimeError, r"bernoulli_ expects p to be in \[0, 1\], but got p=1.5"),
        (lambda e: d.bernoulli(e, np.ones(2, np.int64)), NotImplementedError, "bernoulli_tensor_cpu_p_"),
        (lambda e: d.bernoulli(e, np.ones(2), 3), RuntimeError, r"size of the tensor \(3\) must match the existing"),
        (lambda e: d.bernoulli(e, np.ones((2, 2)), 2), RuntimeError, "has too few dimensions"),
        (lambda e: d.randint(e, 5, 3, 2), RuntimeError, "'from' to be less than 'to', but got from=5 >= to=3"),
        (lambda e: d.randint(e, 0, 300, 2, np.uint8), RuntimeError, "to - 1 is out of bounds for unsigned char"),
        (lambda e: d.randint(e, -1, 3, 2, np.uint64), RuntimeError, "from is out of bounds for long unsigned int"),
        (lambda e: d.randint(e, 0, 2**63, 2), ValueError, "Overflow when unpacking long long"),
        (lambda e: d.randint(e, 0, 3, 2, np.complex64), RuntimeError, "check_random_bounds handles only"),
        (lambda e: d.random(e, 2, np.uint16), NotImplementedError, "\"random_kernel_cpu\" .* for 'UInt16'"),
        (lambda e: d.random(e, 2, np.float32, 2**24), RuntimeError, "from=16777216 > to_inc=16777216"),
        (lambda e: d.random(e, 2, np.int32, -(2**63)), RuntimeError, "handles only int64, double, float and bfloat16"),
        (lambda e: d.randperm(e, -1), RuntimeError, r"negative dimension -1: \[-1\]"),
        (lambda e: d.randperm(e, 257, np.uint8), RuntimeError, "cannot be converted to type uint8_t without overflow"),
        (lambda e: d.randperm(e, 2050, np.float16), RuntimeError, "n cannot be greater than 2049 for Half type."),
        (lambda e: d.randperm(e, 5, np.bool_), NotImplementedError, "\"randperm\" not implemented for 'Bool'"),
        (lambda e: d.multinomial(e, np.ones(3), 4), RuntimeError, "cannot sample n_sample > prob_dist.size"),
        (lambda e: d.multinomial(e, np.ones(3), 0), RuntimeError, "cannot sample n_sample <= 0 samples"),
        (lambda e: d.multinomial(e, np.ones((1, 1, 1)), 1), RuntimeError, "prob_dist must be 1 or 2 dim"),
        (lambda e: d.multinomial(e, np.ones(3, np.int64), 1), RuntimeError, "only supports floating-point .* Long"),
        (lambda e: d.multinomial(e, -np.ones(3), 1), RuntimeError, "contains either `inf`, `nan` or element < 0"),
        (lambda e: d.multinomial(e, np.zeros(3), 1), RuntimeError, "sum of probabilities <= 0"),
        (lambda e: d.multinomial(e, -np.ones(3), 2, True), RuntimeError, "encountering probability entry < 0"),
        (lambda e: d.multinomial(e, np.full(3, np.inf), 2, True), RuntimeError, "entry = infinity or NaN"),
        (lambda e: d.poisson(e, -ONE), RuntimeError, "invalid Poisson rate, expected rate to be non-negative"),
        (lambda e: d.standard_gamma(e, np.ones(2, np.float16)), NotImplementedError, "\"gamma_cpu\" .* for 'Half'"),
        (lambda e: d.dirichlet(e, np.ones(2, np.float16)), NotImplementedError, "\"dirichlet\" .* for 'Half'"),
        (lambda e: d.binomial(e, np.ones(2, np.int64), ONE), ValueError, "floating-point dtypes for count, got: Long"),
        (lambda e: d.binomial(e, ONE, np.ones(1)), RuntimeError, "Found dtype Double but expected Float"),
        (lambda e: d.binomial(e, ONE * np.nan, ONE), ValueError, "received NaN"),
    ],
)
def test_errors(draw, error, text):
    engine = Engine(1)
    before = engine.get_state()
    with pytest.raises(error, match=text):
        draw(engine)
    assert np.array_equal(engine.get_state(), before)


def test_a_range_too_fine_for_the_dtype_warns():
    with pytest.warns(UserWarning, match=r"to - 1 is out of bounds \[-\(2\^11\), 2\^11\].* c10::Half"):
        d.randint(Engine(0), 0, 7000, 2, np.float16)
