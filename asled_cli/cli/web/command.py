"""`asled ui`: serve a page to drop clips on."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated

import typer

from asled_cli.cli.options import shared as opt
from asled_cli.errors import UsageError

Host = Annotated[
    str, typer.Option(help="Address to listen on. 0.0.0.0: every network of this machine can reach the page.")
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: a free one.")]
Open = Annotated[bool, typer.Option("--open", help="Open the page in a browser.")]


def ui(host: Host = "127.0.0.1", port: Port = 7860, open_: Open = False, debug: opt.Debug = False) -> None:
    """Serve a page to drop clips on, for this machine only. Ctrl-C stops it."""
    if find_spec("gradio") is None:
        raise UsageError("The page needs a further package: gradio.", "Install it: pip install 'asled[ui]'.")
    from asled_cli.cli.web.app import build

    page = build()
    try:
        page.launch(server_name=host, server_port=port or None, inbrowser=open_, share=False, show_error=True)
    except OSError as error:
        raise UsageError(
            f"The page cannot be served at {host}:{port}: {error}.", "Choose another --port."
        ) from error
