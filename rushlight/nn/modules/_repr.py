"""Owns how a module is printed: torch's exact form, and the blocks that ``ModuleList`` prints once.

May import only the standard library.
"""

from __future__ import annotations


def indent(text: str, skip_blank: bool = True) -> str:
    """Indent all lines but the first by two spaces; blank lines are emptied, or indented too."""
    if "\n" not in text:
        return text
    first, *rest = text.split("\n")
    return "\n".join([first, *("  " + line if line.strip() or not skip_blank else "" for line in rest)])


def module_repr(name: str, extra: str, children: list[tuple[str, str]]) -> str:
    """``name(extra)`` on one line where there are no children, else one line or block for each."""
    if not children and "\n" not in extra:
        return f"{name}({extra})"
    lines = extra.split("\n") if extra else []
    lines += [f"({key}): {indent(text)}" for key, text in children]
    return name + "(\n  " + "\n  ".join(lines) + "\n)"


def list_repr(name: str, items: list[str]) -> str:
    """As ``module_repr``, with runs of equal items printed once as ``(0-3): 4 x ...``."""
    if not items:
        return name + "()"
    runs: list[list] = []
    for index, text in enumerate(items):
        if runs and runs[-1][2] == text:
            runs[-1][1] = index
        else:
            runs.append([index, index, text])
    lines = []
    for first, last, text in runs:
        label = f"({first}): " if first == last else f"({first}-{last}): {last - first + 1} x "
        lines.append(indent(label + text, skip_blank=False))
    return name + "(\n  " + "\n  ".join(lines) + "\n)"
