"""`vggfcn app`: serve the page in the browser."""

import contextlib
from typing import Annotated

import typer

from vggfcn.app.safety.names import is_loopback
from vggfcn.app.server import serve
from vggfcn.cli.console import Reporter, messages, results
from vggfcn.cli.loading import load_classifier, report_classifier
from vggfcn.cli.options import Network, with_network


@with_network
def app(
    network: Network,
    host: Annotated[str, typer.Option(help="The address to listen on. By default only this machine can reach it.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 for any free port.")] = 7860,
) -> None:
    """Serve a page for the browser: drop an image, choose a class, see where it is found."""
    if not is_loopback(host):
        warning = f"vggfcn: warning: anyone who can reach {host} can use the page; there is no password"
        messages.print(warning, markup=False)
    own = None
    if network != Network():
        reporter = Reporter()
        own, reason = load_classifier(reporter, network)
        report_classifier(reporter, own, reason)
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is the normal way to stop it.
        serve(host, port, _announce, own)


def _announce(address: str) -> None:
    results.print(f"vggfcn is running at {address} (press Ctrl-C to stop)", markup=False)
