"""Random numbers that a compiled function takes from Python, numpy or a generator: a program would repeat them."""

import random

import numpy as np
import pytest

import rushlight as torch


def own_legacy():
    source = np.random.RandomState(0)
    return lambda x: x * float(source.rand())


def through_the_module():
    np.random.seed(0)
    return lambda x: x * float(np.random.rand())


@pytest.mark.parametrize("make", [own_legacy, through_the_module])
def test_numpys_streams_move_on_at_every_call(make):
    plain = make()
    expected = [plain(torch.ones(1)).item() for _ in range(3)]
    compiled = torch.compile(make())
    with pytest.warns(UserWarning, match="numpy's random"):
        found = [compiled(torch.ones(1)).item()]
    assert found + [compiled(torch.ones(1)).item() for _ in range(2)] == expected


def test_a_generator_that_is_seeded_by_chance_inside():
    source = torch.Generator()

    def draw(x):
        source.seed()
        return x * torch.rand(8, generator=source)

    compiled = torch.compile(draw)
    with pytest.warns(UserWarning, match="torch's stream of random numbers"):
        first = compiled(torch.ones(8))
    assert not torch.equal(first, compiled(torch.ones(8)))


def test_a_source_without_state_is_let_be():
    secure = random.SystemRandom()
    compiled = torch.compile(lambda x: x * (2 if secure else 1), fullgraph=True)
    assert compiled(torch.ones(2)).tolist() == [2.0, 2.0]
