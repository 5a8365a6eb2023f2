"""The `asled` command: the table of commands, and the one place where errors become exit codes.

0 ok, 1 failure, 2 usage, 3 input, 4 weights, 5 out of memory, 130 interrupted (drawn in `errors.py`).
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from asled_cli import __version__
from asled_cli.cli.average_weights import average_weights
from asled_cli.cli.batch import batch
from asled_cli.cli.bench import bench
from asled_cli.cli.deblur import deblur
from asled_cli.cli.evaluate import evaluate
from asled_cli.cli.export import export
from asled_cli.cli.models import models
from asled_cli.cli.options.optional_values import fill_optional_values
from asled_cli.cli.output.streams import code_after, tolerant_streams
from asled_cli.cli.probe import probe
from asled_cli.cli.synth_blur import synth_blur
from asled_cli.cli.train import train
from asled_cli.cli.verify import verify
from asled_cli.cli.web.command import ui
from asled_cli.errors import AsledError, InterruptedRunError
from asled_cli.runtime.memory import explain_limit, set_up_allocator, use_large_pages, wait_without_computing
from asled_cli.runtime.printable import printable
from asled_cli.runtime.stages import leave_threads_to_stages

app = typer.Typer(
    name="asled",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="Deblur a phone's wide video with the ultra-wide video recorded at the same time.",
)
app.command()(deblur)
app.command()(batch)
app.command("eval")(evaluate)
app.command()(bench)
app.command()(export)
app.command()(models)
app.command()(probe)
app.command()(train)
app.command()(ui)
app.command()(verify)
app.command(name="synth-blur")(synth_blur)
app.command(name="average-weights")(average_weights)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"asled {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop."),
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line on `arguments` (default: those of the process) and return the exit code.

    Errors of ours are one line and a hint; with --debug, and for errors that nobody foresaw, a traceback.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    set_up_allocator()
    use_large_pages()
    wait_without_computing()
    leave_threads_to_stages()
    with tolerant_streams() as stdout:
        code = _run(arguments)
        return code_after(code, stdout, arguments[0] if arguments else "")


def _show(error: AsledError, arguments: Sequence[str]) -> int:
    """Print a sentence, with --debug after the traceback; returns the exit code."""
    from asled_cli.cli.output.console import show_error

    if "--debug" in arguments:
        sys.stderr.write(printable(traceback.format_exc(), keep="\n"))
    show_error(error, as_json="--json" in arguments)
    return error.exit_code


def _run(arguments: Sequence[str]) -> int:
    try:
        app(fill_optional_values(arguments), prog_name="asled")
    except SystemExit as stop:  # typer ends every run with it: help, bad usage and success alike
        return stop.code if isinstance(stop.code, int) else 1
    except AsledError as error:
        return _show(error, arguments)
    except KeyboardInterrupt:
        return InterruptedRunError.exit_code
    except Exception as error:
        explained = _explain(error)
        if explained is None:
            raise
        return _show(explained, arguments)
    return 0


def _explain(error: Exception) -> AsledError | None:
    """Return the error for a limit or failure of the machine; None for what nobody foresaw."""
    found = explain_limit(error)
    if found is not None or not isinstance(error, OSError):
        return found
    from asled_cli.runtime.atomic_file import explain_system_error  # loads a library

    return explain_system_error(error)
