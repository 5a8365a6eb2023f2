"""Pages from templates: one self-contained HTML file each, no network needed.

The only file that uses jinja2, which loads when a page is asked for.
"""

import base64
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from asled_cli import __version__
from asled_cli.runtime.atomic_file import cannot_write, write_file
from asled_cli.runtime.printable import printable, shortened


def write_page(path: Path, template: str, *, overwrite: bool = True, **values: Any) -> None:
    """Write the page of a template, complete or not at all. Raises AsledError if it cannot be written."""
    data = render(template, **values).encode("utf-8", "backslashreplace")
    try:
        write_file(path, lambda part: part.write_bytes(data), overwrite=overwrite)
    except OSError as error:
        raise cannot_write(path, error) from error


def render(template: str, **values: Any) -> str:
    """Return the page. Texts are escaped; control characters in names are written out."""
    return _templates().get_template(template).render(version=__version__, **values)


def is_page(path: Path) -> bool:
    """Return whether a file is a page of this program."""
    try:
        with path.open("rb") as file:
            return b'<meta name="generator" content="asled">' in file.read(1000)
    except OSError:
        return False


@cache
def _templates() -> jinja2.Environment:
    found = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    found.filters["shown"] = lambda value: printable(shortened(str(value)))
    found.filters["jpeg"] = lambda data: f"data:image/jpeg;base64,{base64.b64encode(data).decode('ascii')}"
    return found


def _read(name: str) -> str:
    return (files("asled_cli.job.show.pages") / "templates" / name).read_text("utf-8")
