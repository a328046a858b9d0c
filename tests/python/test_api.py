"""The public names and their parameters, so that none goes or changes by accident."""

import runpy
from pathlib import Path

GENERATOR = runpy.run_path(str(Path(__file__).parents[1] / "golden" / "generate_api.py"))


def test_the_api_is_that_of_the_snapshot() -> None:
    kept, now = GENERATOR["FILE"].read_text().splitlines(), list(GENERATOR["lines"]())
    assert len(kept) > 100
    gone = [line for line in kept if line not in now]
    new = [line for line in now if line not in kept]
    assert not gone and not new, (  # noqa: PT018
        "the public API is not that of tests/golden/api.txt. If that is meant, run "
        "tests/golden/generate_api.py, and say in CHANGELOG.md what changes for users.\n"
        + "\n".join([f"- {line}" for line in gone] + [f"+ {line}" for line in new])
    )
