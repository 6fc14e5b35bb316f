"""Shapes and options that do not fit: torch's exception types and words, eagerly and compiled."""

import pytest

import rushlight as torch

BROADCASTS = {
    "add": (lambda: torch.ones(3) + torch.ones(4), (3, 4, 0)),
    "rows": (lambda: torch.ones(2, 3) - torch.ones(4, 3), (2, 4, 0)),
    "last dimension first": (lambda: torch.ones(2, 3) * torch.ones(4, 5), (3, 5, 1)),
    "ranks": (lambda: torch.ones(2, 3) * torch.ones(4), (3, 4, 1)),
    "compare": (lambda: torch.ones(3) == torch.ones(4), (3, 4, 0)),
    "where": (lambda: torch.where(torch.ones(3) > 0, torch.ones(4), torch.ones(3)), (3, 4, 0)),
    "maximum": (lambda: torch.maximum(torch.ones(3), torch.ones(4)), (3, 4, 0)),
    "in place": (lambda: torch.ones(3).add_(torch.ones(4)), (3, 4, 0)),
    "lerp": (lambda: torch.lerp(torch.ones(3), torch.ones(4), 0.5), (3, 4, 0)),
    "compiled": (lambda: torch.compile(lambda a, b: a + b)(torch.ones(3), torch.ones(4)), (3, 4, 0)),
    "abstract": (lambda: torch.ones(3, device="meta") + torch.ones(4, device="meta"), (3, 4, 0)),
}


@pytest.mark.parametrize("name", BROADCASTS)
def test_sizes_that_do_not_broadcast(name):
    call, (a, b, dim) = BROADCASTS[name]
    with pytest.raises(RuntimeError) as caught:
        call()
    assert str(caught.value) == (
        f"The size of tensor a ({a}) must match the size of tensor b ({b}) at non-singleton dimension {dim}"
    )
    assert caught.value.__suppress_context__ or caught.value.__cause__ is None


def test_expand_looks_at_the_last_dimension_first():
    with pytest.raises(RuntimeError, match=r"\(4\) must match the existing size \(3\) at non-singleton dimension 1"):
        torch.ones(2, 3).expand(4, 4)
    assert torch.ones(2, 1).expand(3, -1, 4).shape == (3, 2, 4)


@pytest.mark.parametrize(
    "make", [torch.ones, torch.zeros, torch.empty, lambda size, names: torch.full(size, 1, names=names)]
)
def test_named_dimensions_are_refused(make):
    with pytest.raises(NotImplementedError, match="leave names out"):
        make((2,), names=("rows",))
    assert make((2,), names=None).shape == (2,)
