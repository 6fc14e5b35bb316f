"""Writes docs/conformance.md: what each entry of PyTorch's own tables gives, and which public names are there.

``python -m tests.parity.report`` from the repository root. Results are kept in ``.conformance.json``, so that a run
that was cut off goes on where it was; ``--again REGEX`` forgets entries first, ``--write`` only writes the page.
"""

import argparse
import json
import re
import sys
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from parity import (  # noqa: E402
    _compiled_rows,
    _module_db,
    _op_db,
    _optim_db,
    _public_names,
    test_module_db,
    test_op_db,
    test_op_db_compiled,
    test_optim_db,
)

PAGE, CACHE = ROOT / "docs" / "conformance.md", ROOT / ".conformance.json"
TABLES = ("op_db", "module_db", "optim_db")


def _module_compiled(entry):
    for training in (True, False):
        for sample in _module_db.samples(entry, _module_db.torch.float64, training, 1):
            _module_db.check_sample(entry, sample, _module_db.torch.float64, training, compiled=True)


def _optim_compiled(info):
    if info.name in test_optim_db.EAGER:
        _optim_db.check_compiled(info, fullgraph=False)
        raise _compiled_rows.Eager("the number of iterations depends on values")
    _optim_db.check_compiled(info)


def _op_compiled(entry):
    try:
        _compiled_rows.check_compiled(entry, test_op_db_compiled.SAMPLES, **test_op_db_compiled._options(entry))
    except _compiled_rows.Eager as error:
        raise _compiled_rows.Eager(test_op_db_compiled.EAGER.get(_op_db.name(entry), str(error))) from None


def _op_out(entry):
    _compiled_rows.check_out(entry, **test_op_db_compiled.out_options(entry))


def rows():
    """Each entry: (table, name, why it is not offered or None, {check: function of no arguments})."""
    for entry in _module_db.module_db:
        checks = {"values": test_module_db.test_entry, "compiled": _module_compiled}
        if entry.module_error_inputs_func is not None:
            checks["refusals"] = _module_db.check_refusals
        yield "module_db", entry.name, None, _bound(checks, entry)
    for info in _optim_db.optim_db:
        reason = None if info in test_optim_db.OFFERED else "gradients are dense: rushlight has no sparse layout"
        checks = {
            "values": _optim_db.check_optimizer,
            "compiled": _optim_compiled,
            "refusals": _optim_db.check_refusals,
        }
        yield "optim_db", info.name, reason, _bound(checks, info)
    for entry in _op_db.op_db:
        name = _op_db.name(entry)
        checks = {"values": test_op_db.test_entry, "compiled": _op_compiled}
        if entry.supports_out:
            checks["out="] = _op_out
        if entry.error_inputs_func is not None:
            checks["refusals"] = test_op_db.test_what_torch_refuses
        yield "op_db", name, test_op_db.NOT_OFFERED.get(name), _bound(checks, entry)


def _bound(checks, entry):
    return {what: (lambda f=function: f(entry)) for what, function in checks.items()}


def run(done, limit):
    """Run what has no result yet, and keep each result at once."""
    started = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for table, name, reason, checks in rows():
            held = done.setdefault(table, {}).setdefault(name, {})
            if reason is not None:
                held["reason"] = reason
                continue
            for what, check in checks.items():
                if what in held:
                    continue
                if time.monotonic() - started > limit:
                    return False
                held[what] = _outcome(check)
                if held[what] != "pass":
                    print(f"{table} {name}: {what}: {held[what]}", flush=True)
            CACHE.write_text(json.dumps(done, indent=1))
    return True


def _outcome(check) -> str:
    try:
        check()
    except _compiled_rows.Eager as error:
        return f"eager: {error}"
    except Exception as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        return f"fail: {type(error).__name__}: {' '.join(lines)[:300]}"
    return "pass"


# -- the page -------------------------------------------------------------------------------------------------------


def verdict(held) -> str:
    """What an entry comes to: pass, fail or not offered; "not run" where the run was cut off before it."""
    if "reason" in held:
        return "not offered"
    if "values" not in held:
        return "not run"
    return "fail" if any(v.startswith("fail") for v in held.values()) else "pass"


def _counts(entries):
    return [sum(verdict(held) == word for held in entries.values()) for word in ("pass", "fail", "not offered")]


def _totals(done):
    out = [
        "| table of PyTorch's tests | entries | pass | fail | not offered | run eagerly inside `compile` |",
        "|---|---|---|---|---|---|",
    ]
    for table in TABLES:
        entries = done.get(table, {})
        eager = sum(held.get("compiled", "").startswith("eager") for held in entries.values())
        out.append(f"| `{table}` | {len(entries)} | {' | '.join(map(str, _counts(entries)))} | {eager} |")
    out += ["", "| public names | in PyTorch | here | share |", "|---|---|---|---|"]
    for space in _public_names.SPACES:
        count, lacking = _public_names.missing(space)
        out.append(f"| `{space}` | {count} | {count - len(lacking)} | {100 * (count - len(lacking)) / count:.1f} % |")
    for table, what in (("torch", "dotted names in use"), ("tensor", "Tensor methods in use")):
        lacking, closed = _public_names.unused(table)
        count = len(_public_names.used(table))
        here = count - len(lacking) - len(closed)
        out.append(
            f"| {what}, of which {len(closed)} are out of scope | {count} | {here} | {100 * here / count:.1f} % |"
        )
    return out


def _cell(held, what) -> str:
    if what not in held:
        return "-"
    word, _, rest = held[what].partition(": ")
    rest = re.sub(r"\s+", " ", rest).replace("|", "\\|")
    return word if not rest else f"{word}: {rest[:160]}"


def _tables(done):
    out = []
    for table, text in zip(TABLES, _TEXTS):
        entries = done.get(table, {})
        columns = ["values", "compiled", "out=", "refusals"] if table == "op_db" else ["values", "compiled", "refusals"]
        out += [
            "",
            f"## `{table}`",
            "",
            text,
            "",
            f"| entry | | {' | '.join(columns)} |",
            "|---" * (len(columns) + 2) + "|",
        ]
        for name in sorted(entries, key=str.lower):
            held = entries[name]
            cells = [_cell(held, what) for what in columns]
            if "reason" in held:
                cells = [held["reason"], *[""] * (len(columns) - 1)]
            out.append(f"| `{name}` | {verdict(held)} | {' | '.join(cells)} |")
    return out


_TEXTS = (
    "Operators: values, dtypes, shapes and gradients of samples in each dtype; the same inside `compile`; `out=`; the "
    'exceptions of refused calls. "eager" means that the function runs inside `compile`, with a warning, operator by '
    "operator.",
    "Layers: initial values from the same seed, results and gradients in both modes, `state_dict` in both directions, "
    "the printed form, `deepcopy` and `pickle`; a forward and backward pass inside `compile`; refused calls.",
    "Optimizers: fifty steps with each set of options and each implementation flag, the state handed over to and from "
    "PyTorch half-way; whole training steps inside `compile`; refused calls.",
)


def _names_section():
    out = ["", "## Names that are missing", ""]
    for space in _public_names.SPACES:
        _, lacking = _public_names.missing(space)
        why = {n: _public_names.reason(f"{space}.{n}") for n in lacking} if len(lacking) < 20 else {}
        shown = [f"`{n}`" + (f" ({why[n]})" if why.get(n) else "") for n in lacking]
        out += [f"`{space}`: {', '.join(shown) or 'none'}.", ""]
    for table, what in (("torch", "Dotted names that programs use"), ("tensor", "Tensor methods that programs use")):
        lacking, closed = _public_names.unused(table)
        out += [f"{what}, in scope: {', '.join(f'`{n}`' for n in lacking) or 'none'}.", ""]
        by_reason: dict = {}
        for name, why in closed.items():
            by_reason.setdefault(why, []).append(name)
        for why, group in by_reason.items():
            out += [f"Out of scope ({why}): {', '.join(f'`{n}`' for n in group)}.", ""]
        refused = _public_names.refused(table)
        if refused:
            shown = ", ".join(f"`{n}`" for n in refused)
            out += [f"There, and refused with `NotImplementedError` that names what to use: {shown}.", ""]
    return out[:-1]


def _between(text, mark, lines, after):
    """``text`` with the lines between ``<!-- mark -->`` and ``<!-- /mark -->`` replaced, or put in after ``after``."""
    block = "\n".join([f"<!-- {mark} -->", *lines, f"<!-- /{mark} -->"])
    pattern = re.compile(rf"<!-- {mark} -->.*?<!-- /{mark} -->", re.S)
    if pattern.search(text):
        return pattern.sub(lambda _: block, text)
    if after is None:
        return text.rstrip() + "\n\n" + block + "\n"
    return text.replace(after, after + "\n\n" + block, 1)


def write(done):
    """Write the page around what people wrote in it."""
    text = PAGE.read_text()
    first = text.split("\n\n")[1]
    text = _between(text, "totals", ["", *_totals(done), ""], first)
    if "programs.md" not in text:
        text = _between(text, "programs", ["Programs that run unchanged: [programs.md](programs.md)."], None)
    text = _between(text, "tables", [*_tables(done), *_names_section(), ""], None)
    PAGE.write_text(text)


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.parity.report", description=__doc__.splitlines()[0])
    parser.add_argument("--again", metavar="REGEX", help="forget the results of entries whose name matches")
    parser.add_argument("--failed", action="store_true", help="forget the results that are failures")
    parser.add_argument("--write", action="store_true", help="run nothing, write the page from what is kept")
    parser.add_argument("--limit", type=float, default=float("inf"), metavar="SECONDS", help="stop running after this")
    args = parser.parse_args()
    done = json.loads(CACHE.read_text()) if CACHE.exists() else {}
    for entries in done.values():
        for name, held in entries.items():
            if args.again and re.search(args.again, name):
                held.clear()
            elif args.failed:
                for what in [w for w, v in held.items() if v.startswith("fail")]:
                    del held[what]
    whole = args.write or run(done, args.limit)
    write(done)
    for table in TABLES:
        print(table, dict(zip(("pass", "fail", "not offered"), _counts(done.get(table, {})))))
    print("complete" if whole else "not complete: run it again to go on")


if __name__ == "__main__":
    main()
