"""How the cost of a train step grows with batch, width and depth, in PyTorch and in rushlight: tables and a picture.

Run ``python benchmarks/scaling.py [--only gpt] [--axes width] [--compile] [--save]``. Each point is measured as in
``suite.py``, with its workers and its rounds: outputs and losses must agree first, then engines run A B A B. Memory is
the most that three steps took beyond what the library takes after its imports.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
import time
from pathlib import Path

import suite

AXES = ["batch", "width", "depth"]
# kind: (what it is, the sizes that are kept, the sizes along each axis)
SWEEPS = {
    "mlp": (
        "MLP, 64 to 10 features, SGD with momentum", {"batch": 64, "width": 256, "depth": 4},
        {"batch": [16, 64, 256, 1024], "width": [64, 256, 1024, 2048], "depth": [1, 4, 8, 16]},
    ),
    "gpt": (
        "GPT, T 128, heads of 32, vocabulary 1000, AdamW", {"batch": 4, "width": 128, "depth": 2},
        {"batch": [1, 2, 4, 8], "width": [64, 128, 256, 512], "depth": [1, 2, 4, 8]},
    ),
    "resnet": (
        "ResNet of bottlenecks, 64 px, SGD with momentum; depth: blocks in each of 4 stages",
        {"batch": 4, "width": 32, "depth": 1},
        {"batch": [1, 4, 8, 16], "width": [16, 32, 64, 128], "depth": [1, 2, 4]},
    ),
}  # fmt: skip
OURS = "rushlight.compile"
LOOK = {"torch": ("#777777", ""), "torch.compile": ("#c98a2b", "4 3"), OURS: ("#2a7f62", "")}
NAMES = {"torch": "PyTorch", "torch.compile": "torch.compile", OURS: "rushlight compiled"}


def workload(kind: str, axis: str, size: int) -> str:
    """The name under which ``_sizes.py`` knows a point."""
    return f"{kind}:" + ",".join(f"{a}={v}" for a, v in (SWEEPS[kind][1] | {axis: size}).items())


def cell(value: str | None) -> str:
    return f"{value or '-':>9}"


def show(kind: str, axis: str, points: dict, options) -> None:
    """The table of one axis."""
    kept = ", ".join(f"{a} {v}" for a, v in SWEEPS[kind][1].items() if a != axis)
    for case in options.cases:
        suite.say(f"\n{kind}, {suite.CASES[case]}, by {axis} ({kept})", options)
        shown = [suite.SHOWN[e] for e in options.engines]
        suite.say(f"{axis:>7}" + "".join(map(cell, shown)) + cell("ratio") + "".join(f"{f'MB {s}':>12}" for s in shown),
                  options)  # fmt: skip
        for size in sizes(kind, axis, options):
            result = points.get(workload(kind, axis, size))
            if result is None or case not in result["cases"]:
                suite.say(f"{size:>7}   failed", options)
                continue
            found, row = result["cases"][case], f"{size:>7}"
            row += "".join(cell(suite.shown(found[e]["median"]) if e in found else None) for e in options.engines)
            both = suite.ratio(found, OURS, ["torch", "torch.compile"])
            row += cell(f"{both[0]:.2f}" if both else None)
            for engine in options.engines:
                memory = result["memory"].get(engine, {}).get(case)
                most = suite.above({case: memory}) if memory else None
                row += f"{'-' if most is None else f'{most / 1e6:.0f}':>12}"
            suite.say(row, options)


def sizes(kind: str, axis: str, options) -> list[int]:
    return SWEEPS[kind][2][axis][: 2 if options.quick else None]


# -- the picture ----------------------------------------------------------------------------------------------------

WIDE, HIGH, LEFT, TOP, ACROSS, DOWN = 214, 150, 66, 78, 46, 62


def ticks(low: float, high: float) -> list[float]:
    """Round numbers between two limits, at most six."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        found = [d * 10.0**p for p in powers for d in digits if low <= d * 10.0**p <= high]
        if len(found) <= 6:
            break
    return found


def text(x: float, y: float, words: str, **more) -> str:
    more = "".join(f' {k.replace("_", "-")}="{v}"' for k, v in more.items())
    return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{words}</text>'


def panel(kind: str, axis: str, points: dict, case: str, left: float, top: float, limits: tuple) -> list[str]:
    """One small picture: time against one axis, both logarithmic, with our ratio at each of our points."""
    low, high = limits
    along = [s for s in SWEEPS[kind][2][axis] if case in points.get(workload(kind, axis, s), {"cases": {}})["cases"]]
    if len(along) < 2:
        return []

    def at(size, ms):
        x = left + 14 + (WIDE - 28) * math.log(size / along[0]) / math.log(along[-1] / along[0])
        return x, top + HIGH - HIGH * math.log(ms / low) / math.log(high / low)

    parts = [f'<rect x="{left}" y="{top}" width="{WIDE}" height="{HIGH}" fill="#fafafa" stroke="#ddd"/>']
    for tick in ticks(low, high):
        y = at(along[0], tick)[1]
        parts.append(f'<line x1="{left}" x2="{left + WIDE}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e6e6e6"/>')
        parts.append(text(left - 6, y + 4, f"{tick:g}", text_anchor="end", fill="#555"))
    for size in along:
        parts.append(text(at(size, low)[0], top + HIGH + 15, str(size), text_anchor="middle", fill="#555"))
    kept = ", ".join(f"{a} {v}" for a, v in SWEEPS[kind][1].items() if a != axis)
    parts.append(text(left + WIDE / 2, top + HIGH + 31, f"{axis}  <tspan fill='#888'>({kept})</tspan>",
                      text_anchor="middle"))  # fmt: skip
    for engine, (colour, dashes) in LOOK.items():
        line, labels = [], []
        for size in along:
            found = points[workload(kind, axis, size)]["cases"][case]
            if engine not in found:
                continue
            x, y = at(size, found[engine]["median"] * 1e3)
            line.append(f"{x:.1f},{y:.1f}")
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{colour}"/>')
            both = suite.ratio(found, OURS, ["torch", "torch.compile"])
            if engine == OURS and both is not None:
                # Away from the other lines: below where we are faster, above where we are slower.
                labels.append(text(x, y + (15 if both[0] <= 1 else -8), f"{both[0]:.2f}", fill=colour,
                                   text_anchor="middle", font_size=10, paint_order="stroke", stroke="#fafafa",
                                   stroke_width=3))  # fmt: skip
        parts.append(f'<polyline points="{" ".join(line)}" fill="none" stroke="{colour}" stroke-width="1.6" '
                     f'stroke-dasharray="{dashes}"/>')  # fmt: skip
        parts += labels
    return parts


def picture(points: dict, case: str, title: str, file: Path) -> None:
    """Small multiples as SVG: a row for each kind of model, a column for each axis."""
    parts, top = [], TOP
    for kind, (what, _, axes) in SWEEPS.items():
        results = [points.get(workload(kind, axis, s)) for axis in axes for s in axes[axis]]
        found = [r["cases"][case] for r in results if r and case in r["cases"]]
        if not found:
            continue
        times = [f["median"] * 1e3 for engines in found for e, f in engines.items() if e in LOOK]
        limits = min(times) / 2, max(times) * 1.6  # room for the labels
        parts.append(text(LEFT, top - 8, what, font_weight="bold"))
        for n, axis in enumerate(AXES):
            parts += panel(kind, axis, points, case, LEFT + n * (WIDE + ACROSS), top, limits)
        top += HIGH + DOWN
    width = LEFT + 3 * WIDE + 2 * ACROSS + 20
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top - 14}" width="{width}" '
        f'height="{top - 14}" font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
        text(LEFT, 22, title, font_size=14),
    ]
    x, seen = LEFT, {e for r in points.values() for e in r["cases"].get(case, {})}
    for engine, (colour, dashes) in LOOK.items():
        if engine in seen:
            head.append(f'<line x1="{x}" x2="{x + 24}" y1="40" y2="40" stroke="{colour}" stroke-width="2" '
                        f'stroke-dasharray="{dashes}"/>')  # fmt: skip
            words = NAMES[engine] + (", with its ratio to the better of the others" if engine == OURS else "")
            head.append(text(x + 30, 44, words))
            x += 44 + 7 * len(words)
    file.write_text("\n".join([*head, *parts, "</svg>"]) + "\n", encoding="utf-8")


# -- the program ----------------------------------------------------------------------------------------------------


def arguments():
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default=",".join(SWEEPS), help="kinds of model, separated by commas")
    parser.add_argument("--axes", default=",".join(AXES), help="separated by commas")
    parser.add_argument("--cases", default="train", help="separated by commas: " + ", ".join(suite.CASES))
    parser.add_argument("--compile", action="store_true", help="torch.compile as well, which takes minutes more")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.2, help="how long one engine runs in a round")
    parser.add_argument("--quick", action="store_true", help="two sizes on each axis, two short rounds")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument(
        "--save", nargs="?", const="scaling", help="write .txt, .json and .svg into benchmarks/results, by this name"
    )
    options = parser.parse_args()
    options.only, options.axes = options.only.split(","), options.axes.split(",")
    options.cases, options.lines = options.cases.split(","), []
    if options.quick:
        options.rounds, options.seconds = 2, 0.05
    wanted = ["torch", "torch.compile", OURS] if options.compile else ["torch", OURS]
    options.skipped = {e: reason for e in wanted if (reason := suite.unavailable(e))}
    options.engines = [e for e in wanted if e not in options.skipped]
    return options


def main() -> None:
    options = arguments()
    cores = len(os.sched_getaffinity(0))
    about = f"{suite.cpu()}, {cores} cores, {options.device}, {options.dtype}"
    suite.say(f"{about}; {options.rounds} rounds", options)
    suite.say("times in ms (median of the rounds); ratio = rushlight compiled / the better of the", options)
    suite.say("others; MB: the most that three runs took beyond the library after its imports", options)
    for engine, reason in options.skipped.items():
        suite.say(f"skipped: {engine}: {reason}", options)
    points: dict = {}
    with tempfile.NamedTemporaryFile("w", suffix=".log", delete=False) as log:
        for kind in options.only:
            suite.say(f"\n{SWEEPS[kind][0]}", options)
            for axis in options.axes:
                for size in sizes(kind, axis, options):
                    name = workload(kind, axis, size)
                    if name in points:
                        continue
                    try:
                        points[name] = suite.run(name, options, options.engines, log, show=False)
                        for engine, reason in points[name]["skipped"].items():
                            suite.say(f"  {name}: {engine} left out: {reason}", options)
                    except suite.Failed as error:
                        suite.say(f"  {name} failed: {error} ({log.name})", options)
                show(kind, axis, points, options)
    if options.save:
        suite.RESULTS.mkdir(exist_ok=True)
        file = suite.RESULTS / options.save
        file.with_suffix(".txt").write_text("\n".join(options.lines) + "\n", encoding="utf-8")
        figures = {
            "machine": suite.cpu(), "cores": cores, "device": options.device, "dtype": options.dtype,
            "rounds": options.rounds, "date": time.strftime("%Y-%m-%d"), "points": points,
        }  # fmt: skip
        file.with_suffix(".json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
        case = options.cases[0]
        picture(points, case, f"Milliseconds, {suite.CASES[case]}: {about}", file.with_suffix(".svg"))


if __name__ == "__main__":
    main()
