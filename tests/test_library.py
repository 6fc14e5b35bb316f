"""torch.library: operators that programs define in Python, and the names under which torch.ops offers them."""

import pytest

import rushlight as torch
from rushlight import library


def test_custom_op_runs_and_has_a_name():
    @library.custom_op("first::scale", mutates_args=())
    def scale(x: torch.Tensor, by: float = 2.0) -> torch.Tensor:
        return x * by

    x = torch.arange(3.0)
    assert torch.equal(scale(x), torch.ops.first.scale(x, by=2.0)) and torch.equal(scale(x, 3.0), 3 * x)
    assert torch.ops.first.scale.default is torch.ops.first.scale and torch.ops.first.scale.name() == "first::scale"
    with pytest.raises(AttributeError, match="'_OpNamespace' 'first' object has no attribute 'other'"):
        _ = torch.ops.first.other
    with pytest.raises(AttributeError, match="no attribute 'nowhere'"):
        _ = torch.ops.nowhere


def test_custom_op_without_a_derivative_says_so():
    double = library.custom_op("second::double", lambda x: 2 * x, mutates_args=())
    result = double(torch.ones(2, requires_grad=True))
    assert result.requires_grad
    with pytest.raises(RuntimeError, match="no autograd formula was registered"):
        result.sum().backward()


def test_registered_derivative_sees_defaults_and_keywords():
    @library.custom_op("third::power", mutates_args=())
    def power(x: torch.Tensor, n: int = 2) -> torch.Tensor:
        return x**n

    def setup(ctx, inputs, output):
        ctx.save_for_backward(inputs[0])
        ctx.n = inputs[1]

    power.register_autograd(lambda ctx, g: (g * ctx.n * ctx.saved_tensors[0] ** (ctx.n - 1), None), setup_context=setup)
    for call, expected in ((lambda x: power(x), 4.0), (lambda x: power(x, 3), 12.0), (lambda x: power(x, n=3), 12.0)):
        x = torch.tensor([2.0], requires_grad=True)
        call(x).backward()
        assert x.grad.item() == expected


def test_library_defines_and_implements():
    mine = library.Library("fourth", "DEF")
    assert mine.define("add_one(Tensor x) -> Tensor") == "add_one"
    with pytest.raises(NotImplementedError, match="kernel for that device"):
        torch.ops.fourth.add_one(torch.ones(1))
    mine.impl("add_one", lambda x: x + 1, "CompositeImplicitAutograd")
    x = torch.ones(1, requires_grad=True)
    torch.ops.fourth.add_one(x).backward()
    assert x.grad.item() == 1
    library.Library("fourth", "IMPL", "CPU").impl("add_one", lambda x: x + 2)
    assert torch.ops.fourth.add_one(torch.ones(1)).item() == 3
    with pytest.raises(NotImplementedError, match="dispatch_key='AutogradCPU'"):
        mine.impl("add_one", lambda x: x, "AutogradCPU")
    with pytest.raises(ValueError, match="'DEF', 'FRAGMENT' or 'IMPL'"):
        library.Library("fourth", "OTHER")


def test_operators_that_change_arguments():
    @library.custom_op("fifth::fill", mutates_args=("x",))
    def fill(x: torch.Tensor, value: float) -> None:
        x.fill_(value)

    x = torch.zeros(2)
    assert fill(x, 3.0) is None and x.tolist() == [3, 3]


def test_fakes_and_names_without_an_operator():
    library.register_fake("sixth::unknown", lambda x: x)
    with pytest.raises(AttributeError, match="'unknown'"):
        _ = torch.ops.sixth.unknown
    with pytest.raises(ValueError, match="namespace"):
        library.custom_op("unknown", lambda x: x, mutates_args=())
    with pytest.raises(OSError, match=r"Could not load this library: lib\.so"):
        torch.ops.load_library("lib.so")


def test_lists_of_tensors_have_no_derivative():
    total = library.custom_op("seventh::total", lambda xs: sum(xs), mutates_args=())
    assert total([torch.ones(1), torch.ones(1)]).item() == 2
    with pytest.raises(NotImplementedError, match="list of tensors"):
        total([torch.ones(1, requires_grad=True)])
