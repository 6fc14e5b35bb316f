"""Print the torch names that rushlight does not have, in the order of how many files use them.

    python scripts/surface.py torch_names.tsv [tensor_methods.tsv ...]

Each file has lines ``rank<TAB>name<TAB>files``. A name that begins with ``torch.`` is looked up from the package, any
other one on Tensor. ``--skip PREFIX`` (repeatable) leaves out names that are not aimed at; ``--count`` prints counts
alone.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import rushlight


def offered(name: str) -> bool:
    """Whether rushlight has a torch name (``torch.linalg.inv``) or, without a prefix, a Tensor member (``mT``)."""
    parts = name.split(".")
    if parts[0] != "torch":
        return hasattr(rushlight.Tensor, name)
    found: object = rushlight
    for part in parts[1:]:
        try:
            found = getattr(found, part)
        except (AttributeError, ImportError):
            return False
    return True


def rows(path: Path):
    """(files, name) of every line that has a count."""
    for line in path.read_text().splitlines():
        rank, name, files = line.split("\t")
        if rank.isdigit():
            yield int(files), name


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", type=Path)
    parser.add_argument("--skip", action="append", default=[], metavar="PREFIX")
    parser.add_argument("--count", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for table in options.tables:
        listed = [(n, name) for n, name in rows(table) if not name.startswith(tuple(options.skip))]
        missing = [(n, name) for n, name in listed if not offered(name)]
        used, absent = sum(n for n, _ in listed), sum(n for n, _ in missing)
        print(
            f"{table.name}: {len(listed) - len(missing)} of {len(listed)} names offered, "
            f"{100 * (1 - absent / max(used, 1)):.1f} % by use"
        )
        for n, name in missing if not options.count else ():
            print(f"{n:6d}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
