"""Build the site of the documentation into target/site/html: ``make docs``.

Everything is made from the repository: the documents, docstrings, tables of measurements, and the
photographs that ship with scikit-image and scikit-learn. Warnings and dead links are errors.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from api import write_reference
from charts import write_benchmarks
from gallery import write_gallery
from links import faults
from pages import REPOSITORY, navigation, stage, yaml_navigation

HERE = Path(__file__).parent


def main() -> None:
    """Write the pages, run Zensical, check its output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "target/site")
    folder = parser.parse_args().out.resolve()
    html = folder / "html"
    config = _write_pages(folder)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "-f", str(config)]
    if subprocess.run(command, check=False).returncode:
        sys.exit("the site was not built: see the messages above")
    if found := faults(html):
        sys.exit("\n".join([f"{len(found)} faults in {html}:", *found]))
    print(f"The site is {html}. To look at it: python -m http.server -d {html}")


def _write_pages(folder: Path) -> Path:
    """Write the pages in Markdown and Zensical's configuration, and return its path."""
    shutil.rmtree(folder, ignore_errors=True)
    pages = folder / "pages"
    pages.mkdir(parents=True)
    stage(pages)
    shutil.copy(HERE / "site.css", pages)
    made = {"Gallery": write_gallery(pages), "API reference": write_reference(pages)}
    sections: dict[str, list[str]] = {}
    for title, listed in navigation().items():
        if title == "Benchmarks":
            sections |= made
            listed = [*write_benchmarks(pages), *listed]
        sections[title] = ["index.md", *listed] if title == "Start" else listed
    config = folder / "mkdocs.yml"
    text = (HERE / "mkdocs.yml").read_text().replace("[PYTHON]", f"['{REPOSITORY / 'python'}']")
    config.write_text(f"{text}\ndocs_dir: pages\nsite_dir: html\n{yaml_navigation(sections)}")
    return config


if __name__ == "__main__":
    main()
