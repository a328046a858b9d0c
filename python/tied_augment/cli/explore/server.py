"""Serves the page to this machine.

Only requests that name this machine are answered, so that no page of another site can reach it
under a name of its own (DNS rebinding). Nothing is requested from other machines: NiceGUI brings
its scripts, styles and fonts along.
"""

from __future__ import annotations

import socket
import threading
import webbrowser
from collections.abc import Sequence
from contextlib import suppress

import uvicorn
from fastapi import FastAPI
from nicegui import ui
from starlette.middleware.trustedhost import TrustedHostMiddleware

from tied_augment.cli.explore.page import Page
from tied_augment.cli.explore.photos import Photo

__all__ = ["serve"]

# A picture, as NiceGUI takes it: two overlapping crops.
_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" fill="none" stroke-width="4">'
    '<rect x="3" y="3" width="18" height="18" rx="3" stroke="#0072b2"/>'
    '<rect x="11" y="11" width="18" height="18" rx="3" stroke="#d55e00"/></svg>'
)


def serve(photos: Sequence[Photo], listener: socket.socket, browser: bool) -> None:
    """Serve the page until the process is interrupted.

    Args:
        photos: the images to choose from.
        listener: a socket that listens already.
        browser: whether to open the page in the user's browser.
    """
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    app = FastAPI(openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    # The function runs once for each tab, which thereby has a state of its own.
    ui.run_with(
        app,
        root=lambda: Page(photos).build(),
        title="tied-augment explore",
        favicon=_ICON,
        dark=None,
        tailwind=False,
        show_welcome_message=False,
    )
    print(f"{url}\nOnly this machine can open it. Ctrl-C ends it.", flush=True)
    if browser:
        # It may wait for the browser to end.
        threading.Thread(target=webbrowser.open, args=[url], daemon=True).start()
    with suppress(KeyboardInterrupt):  # which is how it is to be ended
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run([listener])
