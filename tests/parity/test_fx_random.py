"""torch.fx: random programs are traced to the same text, and the graphs give what the programs give."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight

torch = pytest.importorskip("torch")

# Each form takes values of two rows and three columns and gives such a value.
FORMS = (
    "{a} + {b}", "{a} - {b} * {n}", "{n} / ({a} * {a} + 1)", "-{a}", "abs({a})", "{n} - {a}", "({a}, {b})[1]",
    "t.relu({a})", "t.nn.functional.leaky_relu({a}, 0.1)", "t.nn.functional.softmax({a}, dim=1)", "{a}.sigmoid()",
    "{a}.clamp(-1.0, max={n})", "t.where({a} > {b}, {a}, {b})", "{a} * {a}.sum()", "{a}[:1] + {a}[1:, [2, 1, 0]]",
    "t.cat([{a}[:, :1], {b}[:, 1:]], dim=1)", "t.stack([{a}, {b}]).mean(0)", "{a}.t().reshape({a}.size(0), 3)",
    "{a} + {b}.max(dim=1, keepdim=True)[0]", "{a} + {a}.shape[1]", "t.nn.functional.layer_norm({a}, (3,))",
    "{a}.clone().add_({b}, alpha={n})", "({a} < {b}) | ({a} > {n})", "t.nn.functional.dropout({a}, 0.5, False)",
    "{a} @ t.eye(3) + table", "t.tanh(input={a})", "{a}.to(t.float32).float()", "[{a}.unbind(1)[i] for i in range(3)][0].unsqueeze(1) + {b}",
)  # fmt: skip


@st.composite
def programs(draw):
    lines, names = [], ["x", "y"]
    for i in range(draw(st.integers(1, 7))):
        form = draw(st.sampled_from(FORMS))
        value = form.format(
            a=draw(st.sampled_from(names)), b=draw(st.sampled_from(names)), n=draw(st.sampled_from(["2", "0.5", "3"]))
        )
        name = draw(st.sampled_from([f"v{i}", "x", "out", "sum", "add_1", "relu"]))
        lines.append(f"    {name} = ({value}) * 1.0\n")
        names.append(name)
    result = draw(st.sampled_from(["{}", "({0}, y)", "[{0}, {{'k': {0}}}]"])).format(names[-1])
    return f"def program(x, y=1.5):\n{''.join(lines)}    return {result}\n"


def leaves(value):
    if isinstance(value, dict):
        value = list(value.values())
    return [leaf for part in value for leaf in leaves(part)] if isinstance(value, (list, tuple)) else [value]


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(programs())
def test_random_programs(source):
    found = []
    for t in (torch, rushlight):
        scope = {"t": t, "table": t.arange(3.0)}
        exec(source, scope)
        module = t.fx.symbolic_trace(scope["program"])
        shown = (module.code, str(module.graph))
        inputs = t.tensor([[-1.5, 0.25, 2.0], [0.5, -0.75, 1.0]]), t.tensor([[0.1, 0.2, 0.3], [-0.4, 0.5, 0.6]])
        for made in (
            module,
            copy.deepcopy(module),
            pickle.loads(pickle.dumps(module)),
            t.fx.Transformer(module).transform(),
        ):
            assert made.code == module.code
        values = [leaf.tolist() for leaf in leaves(scope["program"](*inputs))]
        assert [leaf.tolist() for leaf in leaves(module(*inputs))] == values
        assert [leaf.tolist() for leaf in leaves(t.fx.Interpreter(module).run(*inputs))] == values
        module.graph.eliminate_dead_code()
        module.recompile()
        assert [leaf.tolist() for leaf in leaves(module(*inputs))] == values
        found.append((*shown, module.code, values))
    assert found[1][:3] == found[0][:3]
    for one, other in zip(found[1][3], found[0][3], strict=True):
        torch.testing.assert_close(torch.tensor(one), torch.tensor(other), rtol=1e-4, atol=1e-5)
