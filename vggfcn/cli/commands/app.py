"""`vggfcn app`: the page in a browser."""

import contextlib
from typing import Annotated

import typer

from vggfcn.app.server import is_loopback, serve
from vggfcn.cli.console import messages, results


def app(
    host: Annotated[str, typer.Option(help="The address to listen on; others than this machine's are reachable.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 for any that is free.")] = 7860,
) -> None:
    """Show a page in the browser: drop an image, choose a class, see where it is found."""
    if not is_loopback(host):
        messages.print(f"vggfcn: warning: whoever reaches {host} can use the page; there is no password", markup=False)
    with contextlib.suppress(KeyboardInterrupt):  # It is how one ends it, so it is no failure.
        serve(host, port, lambda address: results.print(f"vggfcn is at {address} (Ctrl-C stops it)", markup=False))
