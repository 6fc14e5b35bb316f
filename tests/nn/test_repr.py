"""Owns the tests of a module's printed form.

May import rushlight; needs no PyTorch.
"""

from __future__ import annotations

from module_programs import small

import rushlight as torch
from rushlight import nn

Small = small(torch)


class Lines(nn.Module):
    def extra_repr(self):
        return "one\ntwo"


def test_without_children():
    assert repr(nn.Module()) == "Module()" and repr(nn.Sequential()) == "Sequential()"
    assert repr(Small(3)) == "Small(3)" and str(Small(3)) == "Small(3)"
    assert repr(Lines()) == "Lines(\n  one\n  two\n)"


def test_children_are_indented():
    m = Lines()
    m.a = nn.Sequential(Small(), Lines())
    m.add_module("b", None)
    assert repr(m) == (
        "Lines(\n"
        "  one\n"
        "  two\n"
        "  (a): Sequential(\n"
        "    (0): Small(2)\n"
        "    (1): Lines(\n"
        "      one\n"
        "      two\n"
        "    )\n"
        "  )\n"
        "  (b): None\n"
        ")"
    )


def test_a_list_prints_equal_blocks_once():
    m = nn.ModuleList([Small(), Small(), Small(3), *[nn.Sequential(Small()) for _ in range(4)]])
    assert repr(m) == (
        "ModuleList(\n  (0-1): 2 x Small(2)\n  (2): Small(3)\n  (3-6): 4 x Sequential(\n    (0): Small(2)\n  )\n)"
    )


def test_the_name_is_a_method():
    class Own(nn.Module):
        def _get_name(self):
            return "Renamed"

    assert repr(Own()) == "Renamed()"


def test_what_extra_repr_says_may_change():
    m = Small()
    assert repr(m) == "Small(2)"
    m.size = 5
    assert repr(m) == "Small(5)"
    m.child = nn.Module()
    assert repr(m) == "Small(\n  5\n  (child): Module()\n)"
