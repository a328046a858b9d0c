"""``tied-augment explore``: a local web page on which views can be tried out.

`photos`, `settings`, `pictures` and `code` make what the page shows and need no browser. `page` and
`controls` are the page, with NiceGUI, and `server` serves it to this machine only.
"""

from __future__ import annotations

import argparse
import socket
from pathlib import Path

from tied_augment.cli.errors import CommandError, needs_extra
from tied_augment.cli.options import check_range

__all__ = ["add_parser", "run"]

_PORT = 8224


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command."""
    parser = subparsers.add_parser(
        "explore",
        help="try views out on a web page of this machine",
        description="Serve a web page, to this machine only, that shows the views of an image "
        "while you change their settings, with their crops, plans and the code that makes them.",
    )
    parser.add_argument(
        "images",
        nargs="*",
        type=Path,
        metavar="FOLDER",
        help="folders, packed data sets or image files to choose from; more can be uploaded on the "
        "page (default: photographs of scikit-image, if that is installed)",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=_PORT,
        metavar="N",
        help="port of the page; 0 for any that is free (default: %(default)s)",
    )
    parser.add_argument(
        "--no-browser", action="store_true", help="print the address, open no browser"
    )


def run(args: argparse.Namespace) -> int:
    """Serve the page until it is interrupted."""
    check_range(args, "port", 0, 65535)
    with needs_extra("explore"):
        from tied_augment.cli.explore.photos import built_in, of_paths
        from tied_augment.cli.explore.server import serve
    photos = of_paths(args.images) if args.images else built_in()
    with _listening(args.port) as listener:
        serve(photos, listener, browser=not args.no_browser)
    return 0


def _listening(port: int) -> socket.socket:
    """A socket that listens on `port` of the loopback interface only."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # As servers do: a port in TIME_WAIT is free. One that another program listens on is not.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise CommandError(
            f"port {port} can't be used ({error.strerror}): another program may have it; choose "
            "another by --port, or --port 0 for any that is free"
        ) from error
    return listener
