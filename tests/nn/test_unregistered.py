"""Owns the tests of the warning about modules in plain Python lists, which nothing registers.

May import rushlight; needs no PyTorch.
"""

from __future__ import annotations

import warnings

import pytest
from module_programs import small

import rushlight as torch
from rushlight import nn

Small = small(torch)


class Holder(nn.Module):
    """Keeps what it is given in an attribute."""

    def __init__(self, value, **more):
        super().__init__()
        self.layers = value
        for name, item in more.items():
            setattr(self, name, item)

    def forward(self, x):
        return x


def messages(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(w.message) for w in caught]


def test_a_plain_list_registers_nothing():
    m = Holder([Small(), Small()])
    assert list(m.parameters()) == [] and list(m.children()) == [] and list(m.state_dict()) == []
    assert repr(m) == "Holder()" and type(m.layers) is list


def test_the_first_call_warns_once_with_attribute_and_remedy():
    m = Holder([Small(), Small()])
    assert messages(lambda: m(1)) == [
        "Holder.layers is a plain list that holds 2 unregistered modules (Small): parameters(), state_dict(), to(), "
        "train() and the optimizer do not see them. Register them with self.layers = nn.ModuleList(...)."
    ]
    assert messages(lambda: m(1)) == [] and messages(lambda: (m(1), m(2))) == []


def test_it_names_the_line_of_the_call():
    m = Holder([Small()])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        m(1)
    assert caught[0].filename == __file__ and caught[0].category is UserWarning


@pytest.mark.parametrize("value, remedy", [
    ((Small(),), "nn.ModuleList(...)"),
    ({"a": Small()}, "nn.ModuleDict(...)"),
    ([[Small()], [Small()]], "nn.ModuleList(...)"),
    ({"a": [Small()]}, "nn.ModuleDict(...)"),
    ([nn.Parameter(torch.ones(1))], "nn.ParameterList(...)"),
    ({"a": nn.Parameter(torch.ones(1))}, "nn.ParameterDict(...)"),
])  # fmt: skip
def test_other_plain_containers(value, remedy):
    (message,) = messages(lambda: Holder(value)(1))
    assert "Holder.layers is a plain" in message and message.endswith(f"Register them with self.layers = {remedy}.")


@pytest.mark.parametrize("value", [
    [], [1, 2], {"a": 1}, [torch.ones(1)], nn.ModuleList([Small()]), [Small], "text", None, ["a", ["b"]],
])  # fmt: skip
def test_nothing_to_warn_about(value):
    assert messages(lambda: Holder(value)(1)) == []


def test_what_is_registered_as_well_is_not_lost():
    a, b = Small(), Small()
    assert messages(lambda: Holder([a, b], net=nn.Sequential(a, b))(1)) == []
    assert messages(lambda: Holder([a.weight], net=a)(1)) == []
    (message,) = messages(lambda: Holder([a, b], net=a)(1))
    assert "holds 1 unregistered module (Small)" in message


def test_a_module_below_is_named_by_its_path_and_all_are_in_one_warning():
    net = nn.Sequential(nn.Sequential(Holder([Small()])), Holder({"a": Small()}))
    (message,) = messages(lambda: net(1))
    assert "Holder.layers (of '0.0') is a plain list" in message and "Holder.layers (of '1') is a plain dict" in message
    assert messages(lambda: net[1](1)) == []


def test_an_optimizer_over_the_empty_list_warns_and_raises():
    m = Holder([Small()])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(ValueError, match="optimizer got an empty parameter list"):
            torch.optim.SGD(m.parameters(), lr=0.1)
    (warning,) = caught
    assert "Holder.layers is a plain list" in str(warning.message)
    assert "self.layers = nn.ModuleList(...)" in str(warning.message)
    assert warning.filename == __file__
    assert messages(lambda: m(1)) == []


def test_an_optimizer_over_named_parameters_too():
    (message,) = messages(lambda: _refused(Holder([Small()]).named_parameters()))
    assert "Holder.layers" in message


def test_an_optimizer_over_nothing_at_all():
    for nothing in ([], nn.Module().parameters(), iter(())):
        assert messages(lambda nothing=nothing: _refused(nothing)) == []


def _refused(params):
    with pytest.raises(ValueError, match="optimizer got an empty parameter list") as caught:
        torch.optim.Adam(params)
    assert "nn.ModuleList" in str(caught.value)
