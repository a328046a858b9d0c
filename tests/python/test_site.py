"""The site of the documentation: what it must show, its links, and a strict build."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tied_augment
import tied_augment.fused
import tied_augment.loss
import tied_augment.timm
from tied_augment import View, presets

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def sources():
    """The scripts that make the site can be imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(REPOSITORY / "docs/site")
        yield


def script(name):
    return importlib.import_module(name)


def test_every_page_is_in_the_list_of_the_documentation():
    listed = [page for pages in script("pages").navigation().values() for page in pages]
    assert sorted(listed) == sorted(
        [*(path.name for path in REPOSITORY.glob("docs/*.md")), "CONTRIBUTING.md", "CHANGELOG.md"]
    )


def test_the_reference_has_every_public_name():
    shown = {name for topic in script("api").TOPICS for name in topic.names}
    wanted = {f"tied_augment.{name}" for name in tied_augment.__all__ if name != "__version__"}
    wanted |= {f"tied_augment.timm.{name}" for name in tied_augment.timm.__all__}
    wanted |= {f"tied_augment.similarity.{name}" for name in tied_augment.loss.SIMILARITIES}
    wanted |= {f"tied_augment.fused.{name}" for name in tied_augment.fused.__all__}
    assert wanted <= shown
    for name in shown:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


def test_the_gallery_has_every_op():
    ops = (REPOSITORY / "src/ops/mod.rs").read_text()
    listed = re.search(r"^list::ops! \{(.*?)^\}", ops, re.DOTALL | re.MULTILINE)[1]
    assert set(script("gallery").OPS) == set(re.findall(r"::(\w+),", listed))


def test_the_gallery_has_every_kind_of_policy():
    with pytest.raises(ValueError, match="there are") as error:
        View(auto_augment="none")
    heads = set(re.split(", | and ", str(error.value).split("there are ")[1]))
    policies = set(script("gallery").POLICIES)
    assert {head for head in heads if any(policy.startswith(head) for policy in policies)} == heads


def test_the_gallery_has_every_preset():
    assert set(script("gallery").PRESETS) == set(presets.__all__)


def test_the_charts_find_their_tables(tmp_path):
    assert script("charts").write_benchmarks(tmp_path) == ["benchmarks.md"]
    text = (tmp_path / "benchmarks.md").read_text()
    assert text.count('<div class="bars">') > 8
    assert 'class="bar ours"' in text


def test_pages_lead_to_pages_and_sources(tmp_path):
    script("pages").stage(tmp_path)
    text = (tmp_path / "architecture.md").read_text()
    assert "(source/src/batch.rs.md)" in text
    assert "../" not in re.sub(r"`[^`]*`", "", text)
    assert "Pipeline::run" in text
    assert (
        (tmp_path / "source/src/batch.rs.md").read_text().startswith("---\ntitle: src/batch.rs\n")
    )
    assert "\n    def main(" not in (tmp_path / "index.md").read_text()
    assert "    def main(" in (tmp_path / "recipes.md").read_text()


def test_lists_are_converted():
    convert = script("pages")._as_python_markdown
    assert convert("text:\n- one\n\n      code\n\n  more\n- two\n  lines\n\nend\n") == (
        "text:\n\n- one\n\n        code\n\n    more\n\n- two\n    lines\n\nend\n"
    )
    assert convert("1. one\n   more\n2. two\n") == "1. one\n    more\n2. two\n"
    year = "in August\n2026. No list.\n"
    assert convert(year) == year
    code = "```python\nif a:\n    - b\n```\n\n    plain\n"
    assert convert(code) == code
    assert convert("| `a\\|b` |\n") == "| `a|b` |\n"


def test_faults_of_links_are_found(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/index.html").write_text('<h1 id="here"><a href="../#no">x</a><a href="#here">')
    (tmp_path / "index.html").write_text(
        '<a href="a/#here">good</a><a href="b/">bad</a><a href="https://a.org">elsewhere</a>'
        '<img src="https://a.org/b.png">'
    )
    assert script("links").faults(tmp_path) == [
        "a/index.html: ../#no has no such heading",
        "index.html: loads https://a.org/b.png",
        "index.html: b/ does not exist",
    ]


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    pytest.importorskip("zensical", reason="make docs installs it, on Python 3.11 or later")
    command = [sys.executable, str(REPOSITORY / "docs/site/build.py"), "--out", str(tmp_path)]
    subprocess.run(command, check=True)
    pages = list((tmp_path / "html").rglob("index.html"))
    assert len(pages) > 60
    view = (tmp_path / "html/api-views/index.html").read_text()
    assert 'id="tied_augment.View.plan"' in view
    assert 'id="tied_augment.Views.show"' in view
