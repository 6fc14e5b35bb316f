"""The engine alone: words, seeds, state, copies."""

import copy
import doctest
import importlib
import pickle

import numpy as np
import pytest

from rushlight.random import box_muller
from rushlight.random.mt19937 import DEFAULT_SEED, STATE_BYTES, Engine

MODULES = ("mt19937", "box_muller", "continuous", "discrete", "rejection")


def slow_words(seed, n):
    """The Mersenne Twister of the 2002 reference paper, in plain Python."""
    key = [seed & 0xFFFFFFFF]
    for i in range(1, 624):
        key.append((1812433253 * (key[-1] ^ key[-1] >> 30) + i) & 0xFFFFFFFF)
    out = []
    while len(out) < n:
        for i in range(624):
            y = key[i] & 0x80000000 | key[(i + 1) % 624] & 0x7FFFFFFF
            key[i] = key[(i + 397) % 624] ^ y >> 1 ^ (0x9908B0DF if y & 1 else 0)
        for y in key:
            y ^= y >> 11
            y ^= y << 7 & 0x9D2C5680
            y ^= y << 15 & 0xEFC60000
            out.append(y ^ y >> 18)
    return out[:n]


@pytest.mark.parametrize("seed", [0, 1, 5489, 2**32 + 1, DEFAULT_SEED])
def test_words_are_the_mersenne_twister(seed):
    assert Engine(seed).raw32(1300).tolist() == slow_words(seed, 1300)


@pytest.mark.parametrize("sizes", [(1, 2, 3), (255, 256, 257, 1001), (624, 1, 623), (0, 5000, 0, 1)])
def test_words_do_not_depend_on_how_they_are_asked_for(sizes):
    whole = Engine(3).raw32(sum(sizes))
    engine = Engine(3)
    assert np.array_equal(np.concatenate([engine.raw32(n) for n in sizes]), whole)


def test_wide_words_take_the_earlier_word_high():
    words = Engine(3).raw32(10).astype(np.uint64)
    assert np.array_equal(Engine(3).raw64(5), words[::2] << 32 | words[1::2])
    pairs = Engine(3).raw_pairs(3)
    assert pairs.tolist() == [int(words[0]) << 32 | int(words[1]), int(words[2]) << 32]


def test_state_layout():
    state = Engine(7).get_state()
    assert state.shape == (STATE_BYTES,) and state.dtype == np.uint8 and state.flags.writeable
    assert state[:8].view(np.uint64)[0] == 7
    assert state[8:24].view(np.uint32).tolist() == [1, 1, 0, 0]  # one word left, seeded, none read
    engine = Engine(7)
    engine.raw32(1)
    assert engine.get_state()[8:24].view(np.uint32).tolist() == [624, 1, 1, 0]


@pytest.mark.parametrize("drawn", [0, 1, 623, 624, 625, 1248])
def test_state_round_trip(drawn):
    first, second = Engine(11), Engine(12)
    first.raw32(drawn)
    first.next_double_normal, first.next_float_normal = 0.25, -0.5
    second.set_state(first.get_state())
    assert np.array_equal(first.get_state(), second.get_state())
    assert second.initial_seed() == 11
    assert (second.next_double_normal, second.next_float_normal) == (0.25, -0.5)
    assert np.array_equal(first.raw32(1000), second.raw32(1000))


@pytest.mark.parametrize("duplicate", [Engine.copy, copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_copies_go_on_alone(duplicate):
    engine = Engine(5)
    engine.raw32(10)
    engine.next_double_normal = 1.5
    other = duplicate(engine)
    assert np.array_equal(engine.get_state(), other.get_state())
    ahead = engine.raw32(700)
    assert np.array_equal(other.raw32(700), ahead)


def test_seeding():
    engine = Engine()
    assert engine.initial_seed() == DEFAULT_SEED
    engine.next_double_normal = 1.0
    assert engine.manual_seed(-1) is engine
    assert engine.initial_seed() == 2**64 - 1
    assert engine.next_double_normal is None
    assert engine.seed() == engine.initial_seed() < 2**53
    assert engine.seed() != engine.seed()
    assert Engine(np.int64(4)).initial_seed() == 4


@pytest.mark.parametrize(
    ("seed", "error", "text"),
    [
        (1.5, RuntimeError, "manual_seed expected a long, but got float"),
        (True, RuntimeError, "manual_seed expected a long, but got bool"),
        (2**64, ValueError, "Overflow when unpacking long long"),
        (-(2**63) - 1, ValueError, "Overflow when unpacking long long"),
    ],
)
def test_bad_seeds(seed, error, text):
    with pytest.raises(error, match=text):
        Engine(seed)


def broken(at, value):
    state = Engine().get_state()
    state[at : at + 4] = np.array([value], np.uint32).view(np.uint8)
    return state


@pytest.mark.parametrize(
    ("state", "error", "text"),
    [
        (3, TypeError, "expected a torch.ByteTensor, but got int"),
        (np.zeros(STATE_BYTES, np.float32), TypeError, "RNG state must be a torch.ByteTensor"),
        (np.zeros(2 * STATE_BYTES, np.uint8)[::2], RuntimeError, "RNG state must be contiguous"),
        (np.zeros(10, np.uint8), RuntimeError, "size 5056 but found the input RNG state size to be 10"),
        (np.zeros(STATE_BYTES, np.uint8), RuntimeError, "Invalid mt19937 state"),
        (broken(8, 0), RuntimeError, "Invalid mt19937 state"),
        (broken(8, 625), RuntimeError, "Invalid mt19937 state"),
        (broken(8, 5), RuntimeError, "Invalid mt19937 state"),
        (broken(16, 625), RuntimeError, "Invalid mt19937 state"),
    ],
)
def test_bad_states_leave_the_engine_alone(state, error, text):
    engine = Engine(1)
    before = engine.get_state()
    with pytest.raises(error, match=text):
        engine.set_state(state)
    assert np.array_equal(engine.get_state(), before)


def test_fused_rounds_once():
    # 1 + 2**-30 squared is 1 + 2**-29 + 2**-60: the last term decides only if the product is not rounded first.
    a = np.array([1 + 2.0**-30])
    assert box_muller.fused(a, 1 + 2.0**-30, -1 - 2.0**-29)[0] == 2.0**-60
    assert box_muller.fused(np.array([-0.0]), 1.0, 0.0)[0].tobytes() == np.float64(0).tobytes()
    assert box_muller.fused(np.array([2.0]), np.inf, 1.0)[0] == np.inf


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(f"rushlight.random.{name}")
    result = doctest.testmod(module)
    assert result.attempted and not result.failed
