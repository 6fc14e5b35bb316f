"""Words that are taken now and drawn later are those that drawing at once gives, whatever happens in between."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight as torch
from rushlight import nn
from rushlight.random import block_program, box_muller
from rushlight.random.mt19937 import Engine

WORDS = st.integers(0, 700)
STEPS = st.one_of(
    st.tuples(st.sampled_from(["later", "dropped", "passed over", "raw32", "raw_pairs", "raw64"]), WORDS),
    st.tuples(st.sampled_from(["read", "state", "copy", "restore", "seed"]), st.integers(0, 5)),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(STEPS, max_size=14))
def test_any_sequence_of_draws(steps):
    engine, plain = Engine(3), Engine(3)
    taken = []
    saved = engine.get_state()
    for what, n in steps:
        if what in ("later", "dropped", "passed over"):
            later, words = engine.later(n, kept=what != "passed over"), plain.raw_pairs(n)
            if what == "later":
                taken.append((later, words))
        elif what.startswith("raw"):
            np.testing.assert_array_equal(getattr(engine, what)(n), getattr(plain, what)(n))
        elif what == "read" and taken:
            later, words = taken[n % len(taken)]
            np.testing.assert_array_equal(later.get(), words)
        elif what == "state":
            np.testing.assert_array_equal(engine.get_state(), plain.get_state())
            saved = engine.get_state()
        elif what == "copy":
            engine, plain = engine.copy() if n % 2 else copy.deepcopy(engine), plain.copy()
        elif what == "restore":
            engine.set_state(saved)
            plain.set_state(saved)
        elif what == "seed":
            engine.manual_seed(n)
            plain.manual_seed(n)
    for later, words in taken[::-1]:
        assert later.size == words.size
        np.testing.assert_array_equal(later.get(), words)
    np.testing.assert_array_equal(engine.get_state(), plain.get_state())


def test_a_model_draws_nothing_until_it_is_read():
    torch.manual_seed(0)
    first, second = nn.Linear(100, 100), nn.Linear(100, 100)
    engine = torch.default_generator._engine
    assert engine.waits
    last = second.bias.detach().clone()  # read before the weights that come before it
    torch.manual_seed(0)
    again = nn.Linear(100, 100), nn.Linear(100, 100)
    assert torch.equal(again[0].weight, first.weight) and torch.equal(again[1].weight, second.weight)
    assert torch.equal(again[1].bias, last) and not engine.waits


def test_what_is_replaced_is_passed_over():
    torch.manual_seed(0)
    plain = nn.Linear(100, 100)
    held = {k: v.clone() for k, v in plain.state_dict().items()}
    after = torch.rand(3)
    torch.manual_seed(0)
    nn.Linear(100, 100).load_state_dict(held)
    assert torch.equal(torch.rand(3), after)


def test_another_seed_in_between():
    torch.manual_seed(0)
    expected = nn.Linear(100, 100).weight.detach().clone()
    torch.manual_seed(0)
    model = nn.Linear(100, 100)
    torch.manual_seed(1)
    assert torch.equal(model.weight, expected)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.0, 0.02), (0.5, 0.7)])
def test_the_program_for_many_samples_gives_the_same_bits(mean, std, monkeypatch):
    size = (1 << 20) + (1 << 16) + 48
    plain, fast = np.empty(size, np.float32), np.empty(size, np.float32)
    monkeypatch.setattr(box_muller, "_WORTHWHILE", np.inf)
    box_muller.fill_float32(first := Engine(5), plain, mean, std)
    monkeypatch.setattr(box_muller, "_WORTHWHILE", 0)
    box_muller.fill_float32(second := Engine(5), fast, mean, std)
    np.testing.assert_array_equal(plain.view(np.int32), fast.view(np.int32))
    np.testing.assert_array_equal(first.get_state(), second.get_state())


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (-0.0, 0.02), (0.5, 0.7)])
def test_the_program_gives_the_same_bits_at_the_ends_of_the_range(mean, std):
    """Where a radius, a sine or a cosine is zero: signs of zeros count."""
    ends = np.array([0, 1, 0x3FFFFF, 0x400000, 0x7FFFFF, 0x800000, 0xC00000, 0xFFFFFF], np.uint64)
    early, late = np.random.default_rng(0).integers(0, len(ends), (2, block_program.SIZES[-1] // 2))
    words = ends[early] << np.uint64(32) | ends[late]
    plain, mean32, std32 = np.empty(2 * words.size, np.float32), np.float32(mean), np.float32(std)
    fast = block_program.normals(words.copy(), mean32, std32, box_muller._C)
    box_muller._transform(words, plain, mean32, std32)
    np.testing.assert_array_equal(plain.view(np.int32), fast.view(np.int32))


def test_the_program_is_used_from_many_samples_on(monkeypatch):
    sizes, original = [], block_program.normals
    monkeypatch.setattr(block_program, "normals", lambda w, *more: sizes.append(2 * w.size) or original(w, *more))
    monkeypatch.setattr(box_muller, "_done", 0)
    monkeypatch.setattr(box_muller, "_WORTHWHILE", 1 << 18)
    for size in ((1 << 17) + 16, 1 << 17, (1 << 20) + (1 << 16) + 48):
        box_muller.fill_float32(Engine(0), np.empty(size, np.float32), 0.0, 1.0)
    assert sizes == [1 << 16, 1 << 16, 1 << 20, 1 << 16]
