"""Write docs/cli.md from the commands. `--check` only compares, and exits with 1 if it differs."""

import sys
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer

from asled_cli.cli.app import app

PAGE = Path(__file__).parent / "cli.md"
HEAD = "# Commands\n\nWritten by `python docs/make_cli.py` from the commands themselves. Do not edit.\n"


def render() -> str:
    """Return the page: one section per command, one table of arguments and one per panel of options."""
    commands: dict[str, Any] = vars(typer.main.get_command(app))["commands"]
    return "\n".join([HEAD, *(_section(name, command) for name, command in commands.items())])


def _section(name: str, command: Any) -> str:
    shown = [p for p in command.params if not p.hidden and p.name != "help"]
    arguments = [p for p in shown if p.param_type_name == "argument"]
    options = [p for p in shown if p.param_type_name == "option"]
    usage = " ".join(["asled", name, *map(_placeholder, arguments), "[OPTIONS]"])
    lines = [f"## asled {name}\n", f"```\n{usage}\n```\n", f"{_flat(command.help)}\n"]
    if arguments:
        rows = [f"| `{_metavar(p)}` | {_flat(p.help)} | {_default(p)} |" for p in arguments]
        lines += ["| argument | meaning | default |", "|---|---|---|", *rows, ""]
    panels: dict[str, list[Any]] = {}
    for option in options:
        panels.setdefault(option.rich_help_panel or "Options", []).append(option)
    for panel, inside in panels.items():
        rows = [f"| {_flags(p)} | {_flat(p.help)} | {_default(p)} |" for p in inside]
        lines += [f"### {panel}\n", "| option | meaning | default |", "|---|---|---|", *rows, ""]
    return "\n".join(lines)


def _metavar(argument: Any) -> str:
    return str(argument.metavar or argument.name).strip("[]").upper()


def _placeholder(argument: Any) -> str:
    name = _metavar(argument) + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _flags(option: Any) -> str:
    names = ", ".join(option.opts) + "".join(f" / {no}" for no in option.secondary_opts)
    value = "" if option.is_flag else f" {_kind(option)}"
    return f"`{names}{value}`".replace("|", "\\|")


def _kind(option: Any) -> str:
    """Return what stands for the value: its metavar, its choices, or its type."""
    if option.metavar:
        return str(option.metavar)
    kind = option.type_descriptor.annotation
    if get_origin(kind) is Literal:
        return "|".join(map(str, get_args(kind)))
    return {float: "NUMBER", int: "INTEGER", Path: "PATH"}.get(kind, "TEXT")


def _default(parameter: Any) -> str:
    if parameter.show_default is False:
        return ""
    if isinstance(parameter.show_default, str):
        return _flat(parameter.show_default)
    if getattr(parameter, "is_flag", False):
        return "on" if parameter.default is True else ""
    unset = parameter.default in (None, False, (), []) or callable(parameter.default)
    return "" if unset else f"`{parameter.default}`"


def _flat(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    page = render()
    if "--check" in sys.argv:
        sys.exit(
            0 if PAGE.read_text(encoding="utf-8") == page else "docs/cli.md differs: run docs/make_cli.py"
        )
    PAGE.write_text(page, encoding="utf-8")
