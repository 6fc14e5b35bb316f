"""Break operators on purpose, one at a time, and see that the tests meant to hold them turn red.

    python scripts/check_mutations.py            all mutations, about two minutes
    python scripts/check_mutations.py sign       those whose name holds "sign"

Each mutation is made in a copy of the package; the working tree is never touched. A mutation that no test notices
("survived") is a hole in the tests, and the script fails.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OPS, DB = "tests/parity/test_ops.py", "tests/parity/test_op_db.py"


@dataclass
class Mutation:
    """A break: ``old`` becomes ``new`` in ``file``, and the tests that ``tests`` selects have to fail."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTATIONS = [
    Mutation(
        "flipped sign in sub",
        "ops/pointwise.py",
        "rounded(a - (b if alpha is None",
        "rounded(a + (b if alpha is None",
        (f"{OPS}::test_row[sub]",),
    ),
    Mutation(
        "wrong count in mean",
        "ops/reduce.py",
        "return (total / count if count else",
        "return (total / (count + 1) if count else",
        (f"{OPS}::test_row[mean]",),
    ),
    Mutation(
        "float64 for quotients of integers",
        "ops/pointwise.py",
        '@op(name="div", method=False, promote="float")',
        '@op(name="div", method=False, promote="common")',
        (f"{OPS}::test_row[div]",),
    ),
    Mutation(
        "softmax over the wrong dimension",
        "ops/reduce.py",
        "else f(wide, d)).astype",
        "else f(wide, 0)).astype",
        (f"{OPS}::test_row[softmax]",),
    ),
    Mutation(
        "no gradient at a bound of clamp",
        "ops/pointwise.py",
        "outside = out < bound if below",
        "outside = out <= bound if below",
        (f"{OPS}::test_row[clamp bound]",),
    ),
    Mutation(
        "dropped term in the gradient of scatter products",
        "ops/scatter.py",
        "_put(others(base, no_base, rest, zeros) * dbase,",
        "_put(0 * dbase,",
        (f"{OPS}::test_row[scatter_reduce prod True]",),
    ),
    Mutation(
        "gradient of a norm at zero",
        "ops/norms.py",
        "return jnp.where(zero, 0, root(jnp.where(zero, 1, total)))",
        "return root(total)",
        (f"{OPS}::test_row[norm zero]",),
    ),
    Mutation(
        "dropped half of the gradient of eigh",
        "ops/linalg_spectra.py",
        "inner = adjoined(V) @ ((dx + adjoined(dx)) / 2) @ V",
        "inner = adjoined(V) @ jnp.tril(dx) @ V",
        (f"{DB}::test_entry[linalg.eigh]",),
    ),
    Mutation(
        "uint8 with int8 gives int8",
        "ops/_promotion.py",
        "return dtypes.int16 if other is dtypes.int8 else other",
        "return other",
        ("tests/ops/test_promotion.py::test_two_tensors",),
    ),
    Mutation(
        "writing through a transposed view",
        "ops/shape.py",
        "value.transpose([dims.index(i) for i in range(len(dims))])",
        "value.reshape(array.shape)",
        ("tests/ops/test_views.py::test_gradients_flow_through_views_and_what_is_written_to_them",),
    ),
    Mutation(
        "another exception for a bad step",
        "ops/indexing.py",
        'raise ValueError("step must be',
        'raise IndexError("step must be',
        ("tests/ops/test_indexing.py::test_what_cannot_index",),
    ),
    Mutation(
        "in-place on a leaf is let through",
        "_tensor/cell.py",
        "if edge is not None and edge[1] is None and base is None:",
        "if False:",
        ("tests/ops/test_in_place.py::test_a_leaf_that_requires_grad_is_refused",),
    ),
    Mutation(
        "a program does not watch what get() reads of a group",
        "compiler/_groups.py",
        "value = super().get(name, default)\n        return value if self._known(name)",
        "value = super().get(name, default)\n        return value if True",
        ("tests/compiler/test_groups.py::test_an_option_is_read_anew[get]",),
    ),
    Mutation(
        "a program keeps parameters that were replaced",
        "compiler/_groups.py",
        "if len(held) != len(params) or not all(map(is_, held, params)):",
        "if len(held) != len(params):",
        ("tests/compiler/test_groups.py::test_another_parameter_in_the_place_of_one",),
    ),
    Mutation(
        "a program overlooks what keeps its size",
        "compiler/_outside.py",
        "return set(map(id, container)) == set(map(id, before))",
        "return len(container) == len(before)",
        ("tests/compiler/test_outside.py::test_a_container_that_keeps_its_size[set]",),
    ),
    Mutation(
        "a program repeats numpy's random numbers",
        "compiler/_streams.py",
        "elif isinstance(value, np.random.RandomState):",
        "elif False:",
        ("tests/compiler/test_streams.py::test_numpys_streams_move_on_at_every_call[own_legacy]",),
    ),
    Mutation(
        "pooled regions come back in float32",
        "ops/vision.py",
        "return out.to(input.dtype), where",
        "return out, where",
        ("tests/ops/test_vision.py::test_lower_precision_under_autocast",),
    ),
    Mutation(
        "a thread saves what came later",
        "distributed/checkpoint/state_dict_saver.py",
        "return [_held(one) for one in value] if isinstance(value, list) else value",
        "return value",
        ("tests/parity/test_distributed_checkpoint_more.py::test_saving_in_a_thread_keeps_lists_and_tells_failures",),
    ),
]


def run(where: Path, tests) -> int:
    """pytest's exit status: 0 all passed, 1 some failed, anything else is trouble."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-x", "--no-header", "--tb=no", *tests]
    return subprocess.run(command, cwd=where, capture_output=True, text=True, check=False).returncode


def copy_to(where: Path) -> None:
    """What the tests need, without the caches."""
    ignore = shutil.ignore_patterns("__pycache__", "golden", "*.npz")
    shutil.copytree(ROOT / "rushlight", where / "rushlight", ignore=ignore)
    shutil.copytree(ROOT / "tests", where / "tests", ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", where)


def apply(mutation: Mutation, where: Path) -> tuple[Path, str]:
    """Break the copy.

    Returns:
        the file, and its text before.

    Raises:
        SystemExit: what is to be broken is not there, or there twice.
    """
    path = where / "rushlight" / mutation.file
    text = path.read_text()
    found = text.count(mutation.old)
    if found != 1:
        sys.exit(f"{mutation.name}: expected exactly one {mutation.old!r} in {mutation.file}, found {found}")
    path.write_text(text.replace(mutation.old, mutation.new))
    return path, text


def main() -> int:
    chosen = [m for m in MUTATIONS if all(word in m.name for word in sys.argv[1:])]
    survived = 0
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        copy_to(where)
        if run(where, sorted({t for m in chosen for t in m.tests})) != 0:
            sys.exit("the selected tests do not pass before anything is broken")
        print(f"{'mutation':52s} {'file':24s} result")
        for mutation in chosen:
            began = time.monotonic()
            path, text = apply(mutation, where)
            status = run(where, mutation.tests)
            path.write_text(text)
            result = {0: "SURVIVED", 1: "red"}.get(status, f"pytest failed with status {status}")
            survived += result != "red"
            print(f"{mutation.name:52s} {mutation.file:24s} {result} ({time.monotonic() - began:.0f} s)", flush=True)
    print(f"{len(chosen) - survived} of {len(chosen)} mutations turned their tests red")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
