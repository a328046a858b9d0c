"""Check the built site: no link to a missing page or heading, and nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["faults"]

# Attributes that make a browser load something at once; other links are followed by the reader.
_LOADED = {"img": "src", "script": "src", "iframe": "src", "source": "srcset", "link": "href"}


class _Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record what an element refers to, and its own anchor."""
        values = dict(attrs)
        for name in ("id", "name"):
            self.anchors.add(values.get(name) or "")
        if link := values.get("href") or values.get("src"):
            self.links.append(link)
        if link := values.get(_LOADED.get(tag, "")):
            self.loaded.append(link)


def faults(site: Path) -> list[str]:
    """What is wrong with the pages below `site`, a line for each."""
    pages = {path.resolve(): _Page(path) for path in sorted(site.rglob("*.html"))}
    return [
        f"{path.relative_to(site.resolve())}: {fault}"
        for path, page in pages.items()
        for fault in _faults(path, page, pages, site.resolve())
    ]


def _faults(path: Path, page: _Page, pages: dict[Path, _Page], site: Path) -> Iterator[str]:
    yield from (f"loads {link}" for link in page.loaded if urlsplit(link).netloc)
    for link in page.links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        # 404.html is served at any depth, so its links begin with a slash.
        start = site if parts.path.startswith("/") else path.parent
        target = start / unquote(parts.path).lstrip("/") if parts.path else path
        target = (target / "index.html" if target.is_dir() else target).resolve()
        if not target.is_file():
            yield f"{link} does not exist"
        elif target in pages and unquote(parts.fragment) not in {"", *pages[target].anchors}:
            yield f"{link} has no such heading"
