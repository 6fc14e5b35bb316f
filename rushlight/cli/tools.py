"""Owns the commands that look at checkpoints: inspect, diff, convert, rename, verify; their options and exit codes.

May import typer, rich and ``rushlight.inspect``, the latter two when a command runs.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

FINE, FOUND, UNUSABLE = 0, 1, 2
_CODES = "Exit codes: 0 fine, 1 {}, 2 unreadable file or wrong use."
BAD, WARN = ("BAD", "bold red"), ("warn", "yellow")
# Reading less than this needs no progress bar.
_LONG = 200_000_000

File = Annotated[Path, typer.Argument(metavar="FILE", help="A checkpoint, a sharded set's index, or a folder of one.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Only = Annotated[str, typer.Option("--only", metavar="PATH", help="Take only what is below this path.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands to the ``rushlight`` command."""
    for name, function, found in (
        ("inspect", _inspect, "NaN or infinite values"),
        ("diff", _diff, "the files differ"),
        ("convert", _convert, "a cast overflowed"),
        ("rename", _rename, "no name matches, nothing written"),
        ("verify", _verify, "damaged, or names code"),
        ("view", _view, "never"),
    ):
        app.command(name, epilog=_CODES.format(found))(function)


def _inspect(
    file: File,
    as_json: Json = False,
    no_stats: Annotated[bool, typer.Option("--no-stats", help="Do not read the tensors' values.")] = False,
    depth: Annotated[int | None, typer.Option("--depth", min=1, help="Levels of the tree to show.")] = None,
    only: Only = "",
) -> None:
    """Show what a checkpoint holds: its tensors as a tree, with shapes, sizes and statistics of their values."""
    from ..inspect import report

    with _reporting(), _open(file, only) as source, _progress("reading", source.size, not no_stats) as done:
        _count_reads(source, done)
        data = report.inspection(source, not no_stats)
    _print(data, as_json, lambda data, console: report.show(data, console, depth))
    _leave(FOUND if report.has_problem(data) else FINE)


def _diff(
    a: Annotated[Path, typer.Argument(metavar="A", help="A checkpoint.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    as_json: Json = False,
    rtol: Annotated[float, typer.Option(min=0, help="Relative difference that counts as none.")] = 0.0,
    atol: Annotated[float, typer.Option(min=0, help="Absolute difference that counts as none.")] = 0.0,
    only: Only = "",
) -> None:
    """Compare two checkpoints: tensors renamed, added, removed and changed, with norms; and other values."""
    from ..inspect import compare

    with _reporting(), _open_either(a, b, only) as (one, two), _progress("comparing", one.size) as done:
        _count_reads(one, done)
        data = compare.compare(one, two, rtol, atol)
    _print(data, as_json, compare.show)
    _leave(FINE if data["equal"] else FOUND)


def _convert(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A checkpoint of any format.")],
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="A .pth, .safetensors or .npz file, or .orbax folder.")
    ],
    dtype: Annotated[str, typer.Option(metavar="DTYPE", help="Cast floating point tensors, e.g. bfloat16.")] = "",
    shard_size: Annotated[str, typer.Option(metavar="SIZE", help="Split into files of this size, e.g. 5GB.")] = "",
    tensors_only: Annotated[bool, typer.Option("--tensors-only", help="Write a flat dict of tensors.")] = False,
    kind: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="torch, legacy, safetensors, npz or orbax; else by name.")
    ] = "",
    only: Only = "",
) -> None:
    """Write a checkpoint in another format, dtype or number of files; the target's ending chooses the format."""
    _write(source, target, dtype, shard_size, tensors_only, only, None, kind)


def _rename(
    file: File,
    maps: Annotated[list[str], typer.Option("--map", "-m", metavar="REGEX=REPL", help="Applied in order.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="The file to write.")],
    tensors_only: Annotated[bool, typer.Option("--tensors-only", help="Write a flat dict of tensors.")] = False,
    only: Only = "",
) -> None:
    """Write a checkpoint with its tensors' names changed, as Python's re.sub does."""
    _write(file, output, "", "", tensors_only, only, maps)


def _write(
    source: Path, target: Path, dtype: str, shard_size: str, flat: bool, only: str, maps: list[str] | None,
    kind: str = "",
) -> None:  # fmt: skip
    from ..inspect import convert
    from ..inspect.stats import readable_size

    with _reporting():
        rename = None if maps is None else convert.renamer(maps)
        cast = convert.parse_dtype(dtype) if dtype else None
        size = convert.parse_size(shard_size) if shard_size else None
        with _open(source, only) as opened, _progress("writing", sum(opened.storages.values())) as done:
            if rename is not None:
                why = convert.check_matches(opened, rename, target, flat)
                if why:
                    _say(f"{source}: {why}", "yellow")
                    _leave(FOUND)
            made = convert.convert(
                opened, target, dtype=cast, shard_size=size, rename=rename, tensors_only=flat, done=done, kind=kind
            )
    for note in [*opened.notes, *made.notes]:
        _say(f"note: {note}", "yellow")
    for name, count in made.overflowed.items():
        _say(f"overflow: {name}: {count:,} finite values do not fit {dtype}", "red")
    for path in made.files:
        parts = [path, *path.rglob("*")] if path.is_dir() else [path]
        print(f"{path}  {readable_size(sum(p.stat().st_size for p in parts if p.is_file()))}")
    _leave(FOUND if made.overflowed else FINE)


def _verify(file: File, as_json: Json = False) -> None:
    """Check that a checkpoint is whole: structure, checksums, and code that loading it elsewhere would run."""
    from ..inspect import verify

    with _reporting():
        size = file.stat().st_size if file.is_file() else 0
        with _progress("reading", size) as done:
            data = verify.verify(file, done)

    def show(data: dict, console: Any) -> None:
        from rich.text import Text

        for check in data["checks"]:
            word, style = (
                ("ok", "green") if check["ok"] else BAD if check["blocked"] or check["check"] != "names" else WARN
            )
            console.print(Text.assemble((f"{word:<5}", style), f"{check['check']}: {check['detail']}"))

    _print(data, as_json, show)
    _leave(FINE if data["ok"] else FOUND)


def _view(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="A checkpoint, or MODULE:FACTORY that makes a model.")],
    other: Annotated[Path | None, typer.Argument(metavar="[B]", help="A second checkpoint, to compare.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="OUT", help="The page to write.")] = None,
    shape: Annotated[str, typer.Option("--input", metavar="SHAPE", help="A model's input, e.g. 1,3,224,224.")] = "",
    no_stats: Annotated[bool, typer.Option("--no-stats", help="Do not read the tensors' values.")] = False,
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    only: Only = "",
) -> None:
    """Write one HTML page of a checkpoint, a model or two checkpoints: tree, treemap, search, histograms, heat maps."""
    from ..inspect import view

    with _reporting():
        if ":" in what and not Path(what).exists():
            data = _view_model(what, shape, no_stats, other)
        elif shape:
            raise ValueError("--input goes with MODULE:FACTORY; a checkpoint has no forward pass")
        elif other is not None:
            with _open_either(Path(what), other, only) as (one, two), _progress("reading", one.size + two.size) as done:
                _count_reads(one, done)
                _count_reads(two, done)
                data = view.of_difference(one, two)
        else:
            with _open(Path(what), only) as source, _progress("reading", source.size, not no_stats) as done:
                _count_reads(source, done)
                data = view.of_source(source, not no_stats)
        name = "".join(c if c.isalnum() or c in "-_." else "-" for c in data["title"].replace(" → ", "-to-"))
        target = output or Path(f"{name}.html")
        target.write_text(view.page(data), encoding="utf-8")
    from ..inspect.stats import readable_size

    print(f"{target}  {readable_size(target.stat().st_size)}")
    if show:
        import webbrowser

        webbrowser.open(target.resolve().as_uri())


def _view_model(what: str, shape: str, no_stats: bool, other: Path | None) -> dict[str, Any]:
    from ..inspect import summary, view

    if other is not None:
        raise ValueError("a model cannot be compared with a checkpoint: save its state_dict, and view two checkpoints")
    model = _model(what)
    table = None
    if shape:
        sizes = [tuple(int(n) for n in part.split(",")) for part in shape.split(";")]
        table = summary(model, input_size=sizes)
    return view.of_module(model, not no_stats, table)


def _model(what: str) -> Any:
    """The model that ``module:factory`` or ``file.py:factory`` makes; PyTorch programs find rushlight as torch."""
    import importlib
    import runpy
    from inspect import signature

    from .. import alias, nn

    home, _, name = what.rpartition(":")
    alias.install()
    sys.path.insert(0, "")
    if home.endswith(".py"):
        space: Any = runpy.run_path(home)
    else:
        try:
            space = vars(importlib.import_module(home))
        except ModuleNotFoundError as error:
            raise ValueError(f"{what}: {error}. Expected a file, or MODULE:FACTORY such as mynet:Net") from error
    made = space.get(name)
    if made is None:
        raise ValueError(f"{what}: there is no '{name}' in {home}")
    if not isinstance(made, nn.Module) and callable(made):
        try:
            signature(made).bind()
        except TypeError as error:
            raise ValueError(f"{what}: expected a function that needs no arguments: {error}") from error
        except ValueError:  # a builtin that does not tell its arguments
            pass
        made = made()
    if not isinstance(made, nn.Module):
        raise ValueError(f"{what}: expected a Module or a function that makes one, received {type(made).__name__}")
    return made


# -- what the commands share -------------------------------------------------------------------------------------------


def _leave(code: int) -> None:
    raise typer.Exit(code)


def _say(message: str, style: str) -> None:
    from rich.console import Console
    from rich.text import Text

    from ..inspect.stats import printable

    # Lines and tabs are ours; everything else can come from a file.
    safe = "\n".join("\t".join(map(printable, line.split("\t"))) for line in message.split("\n"))
    Console(stderr=True).print(Text(safe, style=style), soft_wrap=True)


@contextlib.contextmanager
def _reporting() -> Iterator[None]:
    """What is wrong with the files or the arguments, as one line and an exit code."""
    from ..inspect.convert import Unsuitable
    from ..inspect.source import UnreadableFile

    try:
        yield
    except typer.Exit:
        raise
    except (UnreadableFile, Unsuitable, OSError, RuntimeError, ValueError) as error:
        _say(f"rushlight: {error}", "red")
        _leave(UNUSABLE)


def _open(file: Path, only: str) -> Any:
    from ..inspect.source import open_source

    return open_source(file, only)


@contextlib.contextmanager
def _open_either(a: Path, b: Path, only: str) -> Iterator[tuple[Any, Any]]:
    """Two files, below a path where they have it; one that lacks it is taken whole."""
    from ..inspect.source import below

    with _open(a, "") as one, _open(b, "") as two:
        names = only, only.rstrip(".") + "."
        inside = [any(e.name == names[0] or e.name.startswith(names[1]) for e in s.entries) for s in (one, two)]
        if only and not any(inside):
            below(one, only)  # says what is there instead
        yield below(one, only) if only and inside[0] else one, below(two, only) if only and inside[1] else two


def _print(data: dict, as_json: bool, show: Callable[[dict, Any], None]) -> None:
    from ..inspect.stats import finite, printable

    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"

    def write(text: str) -> None:
        print(text.encode(encoding, "backslashreplace").decode(encoding))

    if as_json:
        ascii_only = not encoding.lower().startswith("utf")
        write(json.dumps(finite(data), indent=1, ensure_ascii=ascii_only, allow_nan=False))
        return
    data = printable(data)
    from rich.console import Console

    console = Console(highlight=False)
    if console.is_terminal:
        show(data, console)
        return
    with console.capture() as captured:
        show(data, console)
    # Columns are filled up with blanks, which nobody wants in a file.
    write("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _count_reads(source: Any, done: Callable[[int], None]) -> None:
    read = source.reader

    def counted(entry: Any) -> Any:
        done(entry.nbytes)
        return read(entry)

    source.reader = counted


@contextlib.contextmanager
def _progress(what: str, size: int, wanted: bool = True) -> Iterator[Callable[[int], None]]:
    """A bar on the standard error stream, where that is a terminal and there is much to do."""
    if not wanted or size < _LONG or not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=size)
        yield lambda count: bar.advance(task, count)
