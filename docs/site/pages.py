"""The pages of the site from the documents of the repository: their links and the navigation.

The documents are written for a code host: links lead to other documents, to sources and to
pictures. Here documents become pages, and each source that is linked gets a page with its text.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

__all__ = ["navigation", "stage", "yaml_navigation"]

REPOSITORY = Path(__file__).parents[2]
# Documents outside of docs/ that become pages.
_PAGES = {"README.md": "index.md"} | {name: name for name in ("CONTRIBUTING.md", "CHANGELOG.md")}
_LINK = re.compile(r"(?<=\]\()(?!https?:)([^)#\s]+)(?=[#)])")
_EXAMPLE = re.compile(r"^\[examples/[^\]]+\]\(\.\./(examples/\w+\.py)\)$", re.MULTILINE)
_CHART = re.compile(
    r'<picture>\s*<source[^>]*srcset="([^"]+)">\s*<img src="([^"]+)" alt="([^"]+)">\s*</picture>'
)
# A link whose text is the name of a document, and a picture in a paragraph of its own.
_NAMED = re.compile(r"\[`?(?:docs/)?[\w-]+\.md`?\]\(([^)#]+\.md)(#[^)]*|)\)")
_PICTURE = re.compile(r"^!\[([^\]]*)\]\(([^)]+)\)$", re.MULTILINE)
_SECTION = re.compile(r"^\*\*(.+)\*\*$|^- \[[^\]]+\]\(([^)]+)\)", re.MULTILINE)


def navigation() -> dict[str, list[str]]:
    """The pages of each section, in the order of README's list of the documentation."""
    sections: dict[str, list[str]] = {}
    for title, document in _SECTION.findall(_documentation(_read("README.md"))):
        if title:
            sections[title] = []
        else:
            sections[list(sections)[-1]].append(_page(PurePosixPath(document)))
    return sections


def stage(folder: Path) -> None:
    """Write the pages, the pictures and the linked sources into `folder`."""
    documents = [*_PAGES, *(f"docs/{path.name}" for path in sorted(REPOSITORY.glob("docs/*.md")))]
    sources: set[str] = set()
    for document in documents:
        page = folder / _page(PurePosixPath(document))
        page.write_text(_converted(document, sources))
    for source in sorted(sources):
        _write_source(folder, source)
    for pictures in ("pictures", "methods"):
        shutil.copytree(REPOSITORY / "docs" / pictures, folder / pictures)


def _converted(document: str, sources: set[str]) -> str:
    """The text of a page; the sources to which it links join `sources`."""

    def titled(match: re.Match[str]) -> str:
        path = os.path.normpath(PurePosixPath(document).parent / match[1])
        title = _read(path).split("\n", 1)[0].removeprefix("# ")
        return f"[{title}]({match[1]}{match[2]})"

    def target(match: re.Match[str]) -> str:
        path = os.path.normpath(PurePosixPath(document).parent / match[1])
        return _target(path, sources)

    text = _read(document)
    if document == "README.md":
        # The navigation takes its place.
        text = text.replace(_documentation(text), "")
    text = _NAMED.sub(titled, text)
    # Wide pictures are small on a phone: a click shows them whole.
    text = _PICTURE.sub(r"[![\1](\2)](\2)", text)
    text = _EXAMPLE.sub(_included, text)
    text = _CHART.sub(r"![\3](\2#only-light)\n![\3](\1#only-dark)", text)
    return _as_python_markdown(_LINK.sub(target, text))


def _as_python_markdown(text: str) -> str:
    """CommonMark as Python-Markdown reads it.

    What belongs to an item of a list is indented by four columns. An empty line comes before a
    list, and after an item of several paragraphs. A bar in the code of a table needs no backslash.
    """
    lines: list[str] = []
    # The fence of code that is open; the width of the list's marker; where its latest item begins.
    fence, marker, start = "", 0, 0
    for line in text.splitlines():
        if opening := re.match(r"\s*(`{3,})", line):
            fence = "" if line.strip() == fence else fence or opening[1]
        # Within a paragraph, only a bullet or a 1 begins a list: a line may begin with a year.
        begins = r"[-*] +|\d+\. +" if marker or not lines or not lines[-1] else r"[-*] +|1\. +"
        item = None if fence else re.match(begins, line)
        if item:
            if lines and lines[-1] and (not marker or "" in lines[start:]):
                lines.append("")
            marker, start = item.end(), len(lines)
        elif line and not line.startswith(" "):
            # A line of an item's paragraph need not be indented.
            marker = marker if lines and lines[-1] and not fence else 0
        if line.startswith("|"):
            line = line.replace("\\|", "|")
        lines.append(" " * (4 - marker) + line if marker and line.startswith(" ") else line)
    return "\n".join(lines) + "\n"


def _read(document: str) -> str:
    return (REPOSITORY / document).read_text()


def _documentation(readme: str) -> str:
    """README's section with the list of the documentation."""
    start = readme.index("## Documentation\n")
    return readme[start : readme.index("\n## ", start) + 1]


def _page(path: PurePosixPath) -> str:
    """The page of a document, from the root of the site."""
    return _PAGES.get(str(path), path.name)


def _target(path: str, sources: set[str]) -> str:
    """Where a link to a file of the repository leads; a source joins `sources`."""
    if path in _PAGES or re.fullmatch(r"docs/[\w-]+\.md", path):
        return _page(PurePosixPath(path))
    if path.startswith("docs/") and path.endswith((".png", ".svg")):
        return path.removeprefix("docs/")
    sources.add(path)
    # A file that is not text is a download.
    return f"source/{path}" if path.endswith(".bin") else f"source/{path}.md"


def _included(match: re.Match[str]) -> str:
    """A link to an example that is a paragraph by itself, as the example's text, folded."""
    code = _read(match[1]).rstrip()
    return f'??? example "{match[1]}"\n\n' + _indented(f"```python\n{code}\n```")


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" if line else line for line in text.splitlines())


def _write_source(folder: Path, source: str) -> None:
    page = folder / "source" / f"{source}.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    if source.endswith(".bin"):
        shutil.copy(REPOSITORY / source, page.parent)
        return
    language = PurePosixPath(source).suffix.removeprefix(".")
    language = {"py": "python", "rs": "rust"}.get(language, "text")
    # Search finds the documents, not these.
    head = f"---\ntitle: {source}\nsearch:\n  exclude: true\n---\n\n# `{source}`\n\n"
    page.write_text(f"{head}`````{language}\n{_read(source).rstrip()}\n`````\n")


def yaml_navigation(sections: Mapping[str, Sequence[str]]) -> str:
    """The navigation as a part of the configuration."""
    lines = ["nav:"]
    for title, pages in sections.items():
        lines += [f"  - {title}:", *(f"      - {page}" for page in pages)]
    return "\n".join(lines) + "\n"
