"""torch.utils._pytree beside PyTorch's: the same leaves in the same order, and the same description of the nest."""

from collections import OrderedDict, defaultdict, deque, namedtuple

import pytest

import rushlight.utils._pytree as ours

torch = pytest.importorskip("torch")
theirs = pytest.importorskip("torch.utils._pytree")

Point = namedtuple("Point", "x y")


class Named(dict):
    pass


NESTS = [
    {"b": 1, "a": [2, (3, None)]},
    OrderedDict(b=1, a=2),
    Point(1, [2, Point(3, 4)]),
    defaultdict(int, {"z": 1, "y": (2,)}),
    deque([1, 2], maxlen=3),
    (),
    [],
    {},
    None,
    3,
    Named(a=1),
    [[[]], [1, ()]],
]


@pytest.mark.parametrize("nest", NESTS, ids=repr)
def test_flatten(nest):
    (leaves, spec), (expected, theirs_spec) = ours.tree_flatten(nest), theirs.tree_flatten(nest)
    assert leaves == expected and repr(spec) == repr(theirs_spec)
    assert (spec.num_leaves, spec.num_nodes, spec.num_children) == (
        theirs_spec.num_leaves, theirs_spec.num_nodes, theirs_spec.num_children,
    )  # fmt: skip
    built = ours.tree_unflatten([(leaf,) for leaf in leaves], spec)
    assert type(built) is type(nest) or spec.is_leaf()
    assert built == theirs.tree_unflatten([(leaf,) for leaf in expected], theirs_spec)
    assert built == spec.unflatten([(leaf,) for leaf in leaves])

    def stop(value):
        return isinstance(value, tuple)

    assert ours.tree_leaves(nest, stop) == theirs.tree_leaves(nest, stop)


def test_other_nests_may_differ_in_kinds_of_dict():
    for tree in (ours, theirs):
        assert tree.tree_map(lambda x, y: x + y, {"b": 1, "a": 2}, OrderedDict(a=10, b=20)) == {"b": 21, "a": 12}
        for first, second in (([1, 2], [1]), ([1], (1,)), ({"a": 1}, {"b": 1}), (Point(1, 2), (1, 2))):
            with pytest.raises(ValueError, match="mismatch"):
                tree.tree_map(lambda x, y: x, first, second)
