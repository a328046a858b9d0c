"""Build the site of the documentation into target/site/html: ``make docs``.

Everything is made from the repository: the documents, docstrings, tables of measurements, and the
photographs that ship with scikit-image and scikit-learn. Warnings and dead links are errors.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from charts import write_benchmarks
from gallery import write_gallery
from pages import REPOSITORY, navigation, stage, yaml_navigation
from reference import write_reference

HERE = Path(__file__).parent


def main() -> None:
    """Write the pages, run Zensical, check its output."""
    folder = REPOSITORY / "target" / "site"
    shutil.rmtree(folder, ignore_errors=True)
    pages = folder / "pages"
    pages.mkdir(parents=True)
    stage(pages)
    sections = navigation()
    order = list(sections.items())
    order[0][1].insert(0, "index.md")
    sections["Benchmarks"][:0] = write_benchmarks(pages)
    order[3:3] = [("Gallery", write_gallery(pages)), ("API reference", write_reference(pages))]
    shutil.copy(HERE / "site.css", pages)
    text = (HERE / "mkdocs.yml").read_text().replace("[PYTHON]", f"[{REPOSITORY / 'python'}]")
    config = folder / "mkdocs.yml"
    config.write_text(f"{text}\ndocs_dir: pages\nsite_dir: html\n{yaml_navigation(order)}")
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "-f", str(config)]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
