"""The random stream beside torch's: the same bytes drawn and the same generator state after every draw."""

import warnings

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rushlight.random import distributions as d
from rushlight.random import rounds
from rushlight.random.mt19937 import Engine

torch = pytest.importorskip("torch")

SIZES = (0, 1, 2, 7, 15, 16, 17, 31, 33, 100, 1000, 10007)
SEEDS = (0, 12345, -1)
NUMPY = {
    "float32": np.float32,
    "float64": np.float64,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "complex64": np.complex64,
    "complex128": np.complex128,
    "uint8": np.uint8,
    "int8": np.int8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
    "bool": np.bool_,
    "uint16": np.uint16,
    "uint32": np.uint32,
    "uint64": np.uint64,
}
REAL = ("float32", "float64", "float16", "bfloat16")
INTEGERS = ("uint8", "int8", "int16", "int32", "int64")
PLAIN = (*REAL, *INTEGERS, "bool")


def _words_of_a_mask():
    generator = torch.Generator().manual_seed(0)
    torch.empty(8).bernoulli_(0.5, generator=generator)
    state = generator.get_state().numpy()
    return int(state[16:24].view(np.uint64)[0])


# On Intel processors torch takes bernoulli_(p) and exponential_() from MKL's own stream, one word for the whole tensor.
own_masks = pytest.mark.skipif(_words_of_a_mask() != 16, reason="this processor makes torch draw masks with MKL")
vectorised = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"), reason="torch's scalar kernel rounds otherwise"
)


def contents(tensor):
    """The bytes of a tensor, in order."""
    flat = torch.empty(tensor.numel(), dtype=tensor.dtype).copy_(tensor.reshape(-1))
    return flat.view(torch.uint8).numpy().tobytes()


def array(tensor, name):
    return np.frombuffer(contents(tensor), NUMPY[name]).reshape(tensor.shape)


def check(ours, theirs, dtypes=REAL, sizes=SIZES, seeds=SEEDS):
    """Draw every size in turn from every seed, in every dtype, and compare bytes and states."""
    for name in dtypes:
        for seed in seeds:
            engine, generator = Engine(seed), torch.Generator().manual_seed(seed)
            for n in sizes:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)
                    expected = theirs(torch.empty(n, dtype=getattr(torch, name)), generator)
                    drawn = ours(engine, n, NUMPY[name])
                where = f"{name}, seed {seed}, size {n}"
                assert drawn.tobytes() == contents(expected), where
                assert np.array_equal(engine.get_state(), generator.get_state().numpy()), f"state after {where}"


@pytest.mark.parametrize(
    "bounds", [(0, 1), (-0.3, 0.3), (-(3**-0.5), 3**-0.5), (0, 7.3), (1000, 1000.5), (0, 1e-37), (-5, -5), (1e-3, 1)]
)
def test_uniform(bounds):
    dtypes = (*REAL, "complex64", "complex128") if bounds == (0, 1) else REAL
    check(lambda e, n, t: d.uniform(e, n, *bounds, t), lambda x, g: x.uniform_(*bounds, generator=g), dtypes)


@vectorised
@pytest.mark.parametrize("parameters", [(0, 1), (0, 0.02), (1.5, 0.7), (-3, 0)])
def test_normal(parameters):
    check(
        lambda e, n, t: d.normal(e, n, *parameters, t),
        lambda x, g: x.normal_(*parameters, generator=g),
        (*REAL, "complex64", "complex128"),
    )


@pytest.mark.parametrize("parameters", [(0, 1), (1.5, 0.7)])
def test_normal_of_a_strided_tensor(parameters):
    check(
        lambda e, n, t: d.normal(e, n, *parameters, t, contiguous=False),
        lambda x, g: torch.empty(2 * len(x), dtype=x.dtype)[::2].normal_(*parameters, generator=g),
        sizes=(2, 3, 16, 33, 1000),
    )


def test_a_transposed_tensor_is_filled_in_memory_order():
    for fill, ours in (
        (lambda x, g: x.normal_(generator=g), lambda e: d.normal(e, (40, 30), contiguous=False)),
        (lambda x, g: x.uniform_(generator=g), lambda e: d.uniform(e, (40, 30))),
    ):
        theirs = fill(torch.empty(40, 30).t(), torch.Generator().manual_seed(3))
        assert np.array_equal(ours(Engine(3)).T, theirs.numpy())


@vectorised
def test_long_fills_on_threads():
    size = rounds.THREADED_FROM + 12345
    check(lambda e, n, t: d.normal(e, n), lambda x, g: x.normal_(generator=g), ("float32",), (size,), (7,))
    check(lambda e, n, t: d.uniform(e, n, -1, 1), lambda x, g: x.uniform_(-1, 1, generator=g), ("float32",), (size,))


@vectorised
@pytest.mark.parametrize("mean_type", REAL)
@pytest.mark.parametrize("std_type", REAL)
def test_normal_with_arrays(mean_type, std_type):
    engine, generator, inputs = Engine(2), torch.Generator().manual_seed(2), torch.Generator().manual_seed(5)
    for mean_shape, std_shape in (((5,), (5,)), ((40,), (40,)), ((3, 1), (50,)), ((17,), (1,))):
        mean = torch.randn(mean_shape, generator=inputs).to(getattr(torch, mean_type))
        std = torch.rand(std_shape, generator=inputs).to(getattr(torch, std_type))
        m, s = array(mean, mean_type), array(std, std_type)
        for theirs, ours in (((mean, std), (m, s)), ((mean, 1.7), (m, 1.7)), ((0.3, std), (0.3, s))):
            expected = torch.normal(*theirs, generator=generator)
            drawn = d.normal_arrays(engine, *ours)
            assert drawn.shape == expected.shape and drawn.tobytes() == contents(expected)
            assert np.array_equal(engine.get_state(), generator.get_state().numpy())


@pytest.mark.parametrize("parameters", [(1, 2), (0, 0.02), (1.5, 0.7)])
def test_log_normal(parameters):
    check(lambda e, n, t: d.log_normal(e, n, *parameters, t), lambda x, g: x.log_normal_(*parameters, generator=g))


@own_masks
@pytest.mark.parametrize("rate", [1, 0.3, 7.0, 1e300, float("inf")])
def test_exponential(rate):
    check(lambda e, n, t: d.exponential(e, n, rate, t), lambda x, g: x.exponential_(rate, generator=g))


@pytest.mark.parametrize("parameters", [(0, 1), (0.3, 2.7)])
def test_cauchy(parameters):
    check(lambda e, n, t: d.cauchy(e, n, *parameters, t), lambda x, g: x.cauchy_(*parameters, generator=g))


@pytest.mark.parametrize("p", [0.5, 0.01, 0.99])
def test_geometric(p):
    check(lambda e, n, t: d.geometric(e, n, p, t), lambda x, g: x.geometric_(p, generator=g), (*REAL, *INTEGERS))


@own_masks
@pytest.mark.parametrize("p", [0, 1, 0.5, 0.3, 1 - 0.1, 1e-17])
def test_bernoulli(p):
    check(lambda e, n, t: d.bernoulli(e, p, n, t), lambda x, g: x.bernoulli_(p, generator=g), PLAIN)


@own_masks
def test_dropout_draws_its_mask_so():
    torch.manual_seed(3)
    kept = torch.nn.functional.dropout(torch.ones(1000), 0.1) != 0
    assert np.array_equal(d.bernoulli(Engine(3), 1.0 - 0.1, 1000, np.bool_), kept.numpy())


@pytest.mark.parametrize("p_type", REAL)
def test_bernoulli_with_an_array(p_type):
    p = torch.rand(max(SIZES), generator=torch.Generator().manual_seed(9)).to(getattr(torch, p_type))
    p_ours = array(p, p_type)
    check(
        lambda e, n, t: d.bernoulli(e, p_ours[:n], n, t),
        lambda x, g: x.bernoulli_(p[: len(x)], generator=g),
        PLAIN,
        seeds=(4,),
    )


@pytest.mark.parametrize(
    ("bounds", "dtypes"),
    [
        ((0, 2), tuple(t for t in NUMPY if not t.startswith("complex"))),
        ((0, 127), (*INTEGERS, "uint16", "uint32", "uint64", "float32")),
        ((-100, 100), ("int8", "int16", *REAL)),
        ((5, 2**28 + 4), ("int32", "int64", "float32", "float64")),  # the last range drawn from 32 bits
        ((5, 2**28 + 5), ("int32", "int64", "float32", "float64", "uint32")),
        ((-(2**63), 2**63 - 1), ("int64", "float32", "float64")),
        ((0, 60001), ("float16", "bfloat16")),
        ((-77777, 10**9 + 7), ("int32", "float32", "bfloat16")),
        ((2**24 - 1, 2**24 + 5), ("float32",)),
        ((-(2**53) - 3, 2**60 + 1), ("float64",)),
        ((0, 2**32), ("int64", "uint32")),
    ],
)
def test_randint(bounds, dtypes):
    check(
        lambda e, n, t: d.randint(e, *bounds, n, t),
        lambda x, g: torch.randint(*bounds, x.shape, dtype=x.dtype, generator=g),
        dtypes,
        seeds=(0, 12345),
    )


def test_random():
    check(lambda e, n, t: d.random(e, n, t), lambda x, g: x.random_(generator=g), PLAIN)
    check(lambda e, n, t: d.random(e, n, t, high=2), lambda x, g: x.random_(2, generator=g), PLAIN, seeds=(1,))
    check(lambda e, n, t: d.random(e, n, t, 3), lambda x, g: x.random_(3, None, generator=g), (*REAL, *INTEGERS))
    lowest, wide = -(2**63), ("int64", "float32", "float64", "bfloat16")
    check(lambda e, n, t: d.random(e, n, t, lowest), lambda x, g: x.random_(lowest, None, generator=g), wide)


def test_randperm():
    theirs = lambda x, g: torch.randperm(len(x), dtype=x.dtype, generator=g)  # noqa: E731
    check(lambda e, n, t: d.randperm(e, n, t), theirs, ("int64", "int32", "float32"), (0, 1, 2, 100, 1023, 1024, 30011))
    check(lambda e, n, t: d.randperm(e, n, t), theirs, ("float16", "bfloat16", "uint8", "int8"), (0, 1, 2, 100, 128))


@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize("name", REAL)
def test_multinomial(name, replacement):
    if not replacement and _words_of_a_mask() != 16:
        pytest.skip("this processor makes torch draw exponentials with MKL")
    engine, generator, inputs = Engine(8), torch.Generator().manual_seed(8), torch.Generator().manual_seed(1)
    for shape, count in (((5,), 1), ((5,), 3), ((1000,), 7), ((4, 33), 1), ((4, 33), 20), ((10007,), 3)):
        weights = torch.rand(shape, generator=inputs).to(getattr(torch, name))
        weights[..., 1] = 0
        if not replacement and name in ("float16", "bfloat16"):
            count = 1  # with few bits keys tie, and torch leaves the order of ties to the C++ library
        expected = torch.multinomial(weights, count, replacement, generator=generator).numpy()
        drawn = d.multinomial(engine, array(weights, name), count, replacement)
        assert np.array_equal(drawn, expected)
        assert np.array_equal(engine.get_state(), generator.get_state().numpy())


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_rejection_methods(name):
    engine, generator = Engine(6), torch.Generator().manual_seed(6)
    for n in (1, 3, 300):
        x = torch.rand(n, generator=torch.Generator().manual_seed(n)).to(getattr(torch, name))
        pairs = [
            (d.poisson(engine, (x * scale).numpy()), torch.poisson(x * scale, generator=generator))
            for scale in (0, 3, 30, 3e5)
        ]
        pairs += [
            (d.standard_gamma(engine, (x * scale).numpy()), torch._standard_gamma(x * scale, generator=generator))
            for scale in (0, 1, 4)
        ]
        for trials in (5, 20, 300, 1e6):
            count = torch.full_like(x, trials)
            pairs.append((d.binomial(engine, count.numpy(), x.numpy()), torch.binomial(count, x, generator=generator)))
        for drawn, expected in pairs:
            assert drawn.dtype == NUMPY[name] and np.array_equal(drawn, expected.numpy())
        drawn, expected = d.dirichlet(engine, x.numpy()), torch._sample_dirichlet(x, generator=generator).numpy()
        assert np.allclose(drawn, expected, rtol=4 * np.finfo(drawn.dtype).eps, atol=0)  # the sum's order differs
        assert np.array_equal(engine.get_state(), generator.get_state().numpy())


def test_states_cross_over():
    generator, engine = torch.Generator().manual_seed(1), Engine(99)
    torch.empty(3).normal_(generator=generator)
    engine.set_state(generator.get_state().numpy())
    assert d.normal(engine, 5).tobytes() == contents(torch.empty(5).normal_(generator=generator))
    engine.raw32(700)
    d.normal(engine, 1)
    generator.set_state(torch.from_numpy(engine.get_state()))
    assert d.normal(engine, 5).tobytes() == contents(torch.empty(5).normal_(generator=generator))
    assert np.array_equal(engine.get_state(), generator.get_state().numpy())
    assert Engine().initial_seed() == torch.Generator().initial_seed()


DRAWS = {
    "uniform": (lambda e, n: d.uniform(e, n), lambda n, g: torch.empty(n).uniform_(generator=g)),
    "uniform float64": (
        lambda e, n: d.uniform(e, n, -2, 3, np.float64),
        lambda n, g: torch.empty(n, dtype=torch.float64).uniform_(-2, 3, generator=g),
    ),
    "log_normal": (lambda e, n: d.log_normal(e, n), lambda n, g: torch.empty(n).log_normal_(generator=g)),
    "cauchy": (lambda e, n: d.cauchy(e, n), lambda n, g: torch.empty(n).cauchy_(generator=g)),
    "randint": (lambda e, n: d.randint(e, -5, 9, n), lambda n, g: torch.randint(-5, 9, (n,), generator=g)),
    "wide randint": (lambda e, n: d.randint(e, 0, 2**40, n), lambda n, g: torch.randint(0, 2**40, (n,), generator=g)),
    "randperm": (lambda e, n: d.randperm(e, n), lambda n, g: torch.randperm(n, generator=g)),
    "bernoulli": (
        lambda e, n: d.bernoulli(e, np.full(n, 0.3, np.float32)),
        lambda n, g: torch.bernoulli(torch.full((n,), 0.3), generator=g),
    ),
    "poisson": (
        lambda e, n: d.poisson(e, np.full(n, 20.0, np.float32)),
        lambda n, g: torch.poisson(torch.full((n,), 20.0), generator=g),
    ),
    "gamma": (
        lambda e, n: d.standard_gamma(e, np.full(n, 0.8, np.float32)),
        lambda n, g: torch._standard_gamma(torch.full((n,), 0.8), generator=g),
    ),
}
if torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512"):
    DRAWS["normal"] = (lambda e, n: d.normal(e, n), lambda n, g: torch.empty(n).normal_(generator=g))
    DRAWS["normal bfloat16"] = (
        lambda e, n: d.normal(e, n, 0, 0.02, ml_dtypes.bfloat16),
        lambda n, g: torch.empty(n, dtype=torch.bfloat16).normal_(0, 0.02, generator=g),
    )


@settings(max_examples=60, deadline=None)
@given(
    st.integers(-(2**63), 2**64 - 1),
    st.lists(st.tuples(st.sampled_from(sorted(DRAWS)), st.integers(0, 700)), min_size=1, max_size=12),
)
def test_any_sequence_of_draws_keeps_the_states_equal(seed, sequence):
    engine, generator = Engine(seed), torch.Generator().manual_seed(seed)
    for name, n in sequence:
        ours, theirs = DRAWS[name]
        assert ours(engine, n).tobytes() == contents(theirs(n, generator)), name
        assert np.array_equal(engine.get_state(), generator.get_state().numpy()), name
    assert engine.initial_seed() == generator.initial_seed()
