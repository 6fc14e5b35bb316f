"""Owns the ``rushlight`` command: its options, help and version, and ``rushlight run``.

May import typer, ``cli.runner``, ``cli.tools`` and ``_version``.
"""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Annotated, Any

import typer
import typer.core
import typer.main

from .._version import TORCH_VERSION, __version__
from .runner import Program, execute
from .tools import add_commands

app = typer.Typer(
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="PyTorch's module system and training loop, without PyTorch, on XLA.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"rushlight {__version__} (torch {TORCH_VERSION} interface)")
        print(f"jax {version('jax')}, Python {platform.python_version()}")
        raise typer.Exit()


@app.callback(invoke_without_command=True)
def _root(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Print versions and exit.")
    ] = False,
) -> None:
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())


class _RunCommand(typer.core.TyperCommand):
    """As with ``python``, the value of ``-m`` or ``-c`` ends the options: the rest belongs to the program."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0][:2] in ("-m", "-c"):
            ends = 2 if len(args[0]) == 2 else 1
            args = [*args[:ends], "--", *args[ends:]]
        return super().parse_args(ctx, args)


@app.command("run", cls=_RunCommand, context_settings={"allow_interspersed_args": False})
def _run(
    ctx: typer.Context,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="SCRIPT [ARGS]", help="A file ('-' reads standard input), then its own arguments."),
    ] = None,
    module: Annotated[str | None, typer.Option("-m", metavar="MODULE", help="Run a module, as 'python -m'.")] = None,
    code: Annotated[str | None, typer.Option("-c", metavar="CODE", help="Run code, as 'python -c'.")] = None,
) -> None:
    """Run a PyTorch program on rushlight: 'import torch' in it finds rushlight. Works as 'python' does."""
    rest = arguments or []
    if code is not None:
        program = Program("code", code, rest)
    elif module is not None:
        program = Program("module", module, rest)
    elif rest:
        program = Program("script", rest[0], rest[1:])
    else:
        raise typer.BadParameter("name a script, or give -m MODULE or -c CODE", ctx=ctx, param_hint="SCRIPT")
    ctx.obj.append(program)


add_commands(app)


def main() -> None:
    """Entry point of the ``rushlight`` command."""
    chosen: list[Program] = []
    try:
        typer.main.get_command(app)(prog_name="rushlight", obj=chosen)
    except SystemExit as stop:
        if stop.code or not chosen:
            raise
    execute(chosen[0])  # outside the parser, so that the program's exceptions and exits are Python's to handle
