"""What Python asks of numbers that are inputs of a program: their type, their text, their place in a dict."""

import pytest

import rushlight as torch

ASKED = {
    "isinstance": lambda x, k: x * k if isinstance(k, (int, float)) else x * 100,
    "type": lambda x, k: x * k if type(k) in (float, int) and isinstance(type(k), type) else x * 100,
    "of a result": lambda x, k: x * k if isinstance(k * 2, (int, float)) else x * 100,
    "key": lambda x, k: x * {1: 2.0, 2: 3.0, 3: 4.0}.get(k, 50.0),
    "text": lambda x, k: x * {"k1": 2.0, "k2": 3.0, "k3": 4.0}.get(f"k{k}", 50.0),
    "format": lambda x, k: x * float(f"{k:.2f}"),
    "parsed": lambda x, k: x * float("{0}".format(k)),  # noqa: UP030, UP032
    "set": lambda x, k: x * len({k, 1, 2}),
}


@pytest.mark.parametrize("name", ASKED)
def test_what_python_asks_of_a_number_that_varies(name):
    compiled = torch.compile(ASKED[name], fullgraph=True)
    for k in (1, 2, 3, 1, 1.0, 2.5, 3.5, 4.5):
        assert compiled(torch.ones(1), k).tolist() == ASKED[name](torch.ones(1), k).tolist(), k
    assert "isinstance" not in globals() and "type" not in globals()


def test_numbers_that_python_only_asks_the_type_of_stay_inputs():
    compiled = torch.compile(ASKED["isinstance"], fullgraph=True)
    assert [compiled(torch.ones(1), k).item() for k in (1.0, 2.0, 3.0, 4.0)] == [1.0, 2.0, 3.0, 4.0]
    assert torch.compile.explain(compiled).compiles == 2


def test_keys_of_other_types():
    compiled = torch.compile(lambda d: next(iter(d)) * d[1].long())
    assert [compiled({k: torch.ones(1)}).dtype for k in (1, 1.0)] == [torch.int64, torch.float32]
