"""Owns the tests of optimizer states that tell parameters by name.

May import rushlight; needs no PyTorch.
"""

from __future__ import annotations

import io

import pytest

import rushlight as torch
from rushlight import nn


def make(order=None, names=True, lr=0.1):
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    params = dict(model.named_parameters())
    order = order or list(params)
    chosen = [(n, params[n]) for n in order] if names else [params[n] for n in order]
    optimizer = torch.optim.Adam(chosen, lr=lr)
    for i, name in enumerate(sorted(params)):
        params[name].grad = torch.full_like(params[name], i + 1.0)
    return params, optimizer


REVERSED = ["1.bias", "1.weight", "0.bias", "0.weight"]


def averages(params, optimizer):
    return {name: optimizer.state[p]["exp_avg"].flatten()[0].item() for name, p in params.items()}


def test_by_name():
    params, optimizer = make()
    optimizer.step()
    state = optimizer.state_dict(by_name=True)
    assert list(state["state"]) == list(params) and state["param_groups"][0]["params"] == list(params)
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    others, other = make(REVERSED, lr=0.5)
    other.load_state_dict(torch.load(file))
    assert averages(others, other) == averages(params, optimizer)
    assert other.param_groups[0]["lr"] == 0.1 and other.param_groups[0]["param_names"] == REVERSED
    other.step()


def test_numbers_with_the_same_names_in_another_order():
    params, optimizer = make()
    optimizer.step()
    others, other = make(REVERSED)
    other.load_state_dict(optimizer.state_dict())
    assert averages(others, other) == averages(params, optimizer)


def test_other_names_go_by_position_as_in_torch():
    params, optimizer = make()
    optimizer.step()
    others, other = make(names=False)
    other.load_state_dict(optimizer.state_dict())
    assert averages(others, other) == averages(params, optimizer)
    renamed = torch.optim.Adam([(f"x.{n}", p) for n, p in others.items()])
    renamed.load_state_dict(optimizer.state_dict())
    assert renamed.state[others["0.bias"]]["exp_avg"].tolist() == optimizer.state[params["0.bias"]]["exp_avg"].tolist()


def test_groups_are_matched_by_their_names():
    def grouped(first):
        params, _ = make()
        groups = [
            {"params": [(n, params[n]) for n in params if n[0] == which], "lr": int(which) + 1.0} for which in first
        ]
        return params, torch.optim.SGD(groups, momentum=0.9)

    params, optimizer = grouped("01")
    optimizer.step()
    others, other = grouped("10")
    other.load_state_dict(optimizer.state_dict())
    assert [g["lr"] for g in other.param_groups] == [2.0, 1.0]
    name = "0.weight"
    assert (
        other.state[others[name]]["momentum_buffer"].tolist()
        == optimizer.state[params[name]]["momentum_buffer"].tolist()
    )
    one = torch.optim.SGD(list(others.items()), momentum=0.9)
    with pytest.raises(ValueError, match="spreads the parameters of group 0 over 2 groups"):
        one.load_state_dict(optimizer.state_dict(by_name=True))


def test_errors():
    _, optimizer = make(names=False)
    with pytest.raises(ValueError, match=r"made from parameters alone. Make it with .*named_parameters\(\)"):
        optimizer.state_dict(by_name=True)
    _, named = make()
    with pytest.raises(ValueError, match="tells parameters by name: expected an optimizer that knows names"):
        optimizer.load_state_dict(named.state_dict(by_name=True))
    state = named.state_dict(by_name=True)
    state["param_groups"][0]["params"][0] = "0.wieght"
    with pytest.raises(ValueError, match=r"it lacks '0.weight' \(nearest: '0.wieght'\); has besides '0.wieght'"):
        make()[1].load_state_dict(state)
