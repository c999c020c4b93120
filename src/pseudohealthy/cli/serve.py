"""The command `serve`: a page in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pseudohealthy.cli.options import path_option
from pseudohealthy.cli.program import say
from pseudohealthy.errors import RESEARCH_USE
from pseudohealthy.files import MEGABYTE


def serve(
    host: Annotated[
        str, typer.Option(help="Where to listen; the default is this computer alone.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 0,
    weights: Annotated[
        Path | None, path_option(help="Weights folder; default: those in the package.")
    ] = None,
    largest: Annotated[int, typer.Option(min=1, help="MB that an image may have.")] = 1024,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the address; do not open it.")
    ] = False,
    allow_network: Annotated[
        bool, typer.Option("--allow-network", help="Let --host be one that other computers reach.")
    ] = False,
) -> None:
    """Show a page in the browser that takes images and gives what `synthesize` makes of them.

    Drop images there, look at the results and download them. The address holds a random token, without
    which nothing is given. Images stay on this computer, and Ctrl-C, which ends the program, removes them.
    Needs the extra `serve`.

    Example: `pseudohealthy serve`
    """
    from pseudohealthy.serve.extra import require_extra
    from pseudohealthy.synthesis.bundled_weights import bundled_weights, describe_weights

    require_extra()
    from pseudohealthy.serve.limits import Limits
    from pseudohealthy.serve.security import expect_allowed, is_loopback
    from pseudohealthy.serve.server import open_browser
    from pseudohealthy.serve.server import serve as run

    expect_allowed(host, network=allow_network)
    folder = weights or bundled_weights()
    describe_weights(folder)  # refused before anything is begun
    if not is_loopback(host):
        say(f"warning: {host} is open to other computers, and what is sent is not encrypted", err=True)

    def started(address: str) -> None:
        say(f"Open {address}")
        say("Ctrl-C ends the program and removes all images.", err=True)
        typer.echo(RESEARCH_USE, err=True)
        if not no_browser:
            open_browser(address)

    run(host, port, folder, Limits(upload_bytes=largest * MEGABYTE), started)
