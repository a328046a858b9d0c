"""What the documents name exists: files, headings, make's targets and options of the commands."""

import re
from pathlib import Path

import pytest

from tied_augment.cli import _COMMANDS, main

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md")])
FOLDERS = "src|python|docs|benches|examples|tests"


@pytest.fixture(params=DOCUMENTS, ids=lambda path: path.name)
def document(request):
    return request.param


def anchors(path):
    """The anchors that GitHub makes of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_there_are_documents():
    assert len(DOCUMENTS) > 10


def test_links_lead_somewhere(document):
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if link.startswith("http"):
            continue
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_named_files_exist(document):
    for name in re.findall(rf"\b(?:{FOLDERS})/[\w./-]*\w(?![\w*])", document.read_text()):
        places = (REPOSITORY / name, REPOSITORY / "python/tied_augment" / name)
        assert any(place.exists() for place in places), name


def test_make_has_the_named_targets(document):
    targets = re.findall(r"^(\w[\w-]*):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"(?:^ {4}|`)make (\w[\w-]*)", document.read_text(), re.MULTILINE)
    assert set(named) <= set(targets)


@pytest.mark.parametrize("command", sorted(_COMMANDS.keys() - {"train", "tune", "validate"}))
def test_the_command_has_the_named_options(command, capsys):
    """Of those commands whose options are not timm's."""
    with pytest.raises(SystemExit):
        main([command, "--help"])
    known = set(re.findall(r"(?<!\w)--?[a-z][a-z-]*", capsys.readouterr().out))
    lines = [line for path in DOCUMENTS for line in path.read_text().splitlines()]
    calls = [
        call for line in lines for call in re.findall(rf"tied-augment {command}\b[^`#]*", line)
    ]
    assert calls
    for call in calls:
        assert set(re.findall(r"(?<= )--?[a-z][a-z-]*", call)) <= known, call
