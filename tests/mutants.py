"""Mutation testing of a random sample: small changes of the sources, which some test should notice.

    python tests/mutants.py --sample 40 'src/crop.rs src/policy/*.rs'
    python tests/mutants.py --tests 'test_loader*.py' 'python/tied_augment/loader/*.py'

cargo-mutants changes Rust, mutmut Python. Both have time limits, and a mutant that runs into one
counts as noticed. What no test noticed is printed last.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# mutmut wants the package at the root of the project. Its copies with the mutants are in `mutants`.
STAGE = ROOT / "target/mutmut"

CONFIG = """\
[mutmut]
source_paths = tied_augment
process_isolation = forkserver
timeout_constant = 20
only_mutate =
    {files}
pytest_add_cli_args_test_selection =
    {tests}
"""


def mutate_rust(files: list[str], sample: int) -> int:
    """Every n-th mutant of the files, from a random one on."""
    command = ["cargo", "mutants", *(f"--file={file}" for file in files)]
    listed = subprocess.run([*command, "--list"], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    shards = max(1, listed.stdout.count(b"\n") // sample)
    shard = f"--shard={random.randrange(shards)}/{shards}"
    # What this package depends on is compiled once, not in each copy of the sources.
    environment = os.environ | {"CARGO_TARGET_DIR": str(ROOT / "target")}
    command += ["--sharding=round-robin", shard]
    return subprocess.run(command, cwd=ROOT, env=environment).returncode


def mutmut(*arguments: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    path = STAGE / "mutants"
    path.mkdir(exist_ok=True)
    environment = os.environ | {
        "PYTHONPATH": str(path),
        "PYTEST_ADDOPTS": "-p no:cacheprovider -m 'not slow'",
    }
    command = [sys.executable, "-m", "mutmut", *arguments]
    return subprocess.run(command, cwd=STAGE, env=environment, **options)


def exit_codes() -> dict[str, int | None]:
    """The exit code of the tests of each mutant, None if it was not run."""
    codes = {}
    for file in sorted(STAGE.glob("mutants/**/*.meta")):
        codes |= json.loads(file.read_text())["exit_code_by_key"]
    return codes


def mutate_python(files: list[str], sample: int, tests: list[str]) -> int:
    """A random sample of the mutants of the files, and of the tests those that execute them."""
    shutil.rmtree(STAGE, ignore_errors=True)
    shutil.copytree(ROOT / "python/tied_augment", STAGE / "tied_augment")
    shutil.copytree(ROOT / "tests", STAGE / "tests")
    shutil.copy(ROOT / "pyproject.toml", STAGE)
    chosen = [
        file.relative_to(ROOT) for test in tests for file in ROOT.glob(f"tests/python/{test}")
    ]
    changed = [file.removeprefix("python/") for file in files]
    (STAGE / "setup.cfg").write_text(
        CONFIG.format(files="\n    ".join(changed), tests="\n    ".join(map(str, chosen)))
    )
    # There is no command that only makes the mutants: this one does, then finds none of that name.
    mutmut("run", "no-such-mutant", stderr=subprocess.DEVNULL)
    names = list(exit_codes())
    names = random.sample(names, min(sample, len(names)))
    status = mutmut("run", *names).returncode
    # 33: no test executes the function.
    missed = [name for name, code in exit_codes().items() if name in names and code in (0, 33)]
    for name in missed:
        mutmut("show", name)
    print(f"{len(names)} mutants tested, {len(missed)} not noticed")
    return status or bool(missed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=str.split, help="globs from the root, apart by spaces")
    parser.add_argument("--sample", type=int, default=20, help="mutants of each language (20)")
    parser.add_argument("--tests", type=str.split, default=["test_*.py"], help="in tests/python")
    given = parser.parse_args()
    if given.sample < 1:
        parser.error(f"--sample must be at least 1, not {given.sample}")
    rust = [file for file in given.files if file.startswith("src/") and file.endswith(".rs")]
    python = [file for file in given.files if file.startswith("python/") and file.endswith(".py")]
    for file in given.files:
        if file not in rust + python or not any(ROOT.glob(file)):
            parser.error(f"{file} names no Rust files in src and no Python files in python")
    for test in given.tests:
        if not any(ROOT.glob(f"tests/python/{test}")):
            parser.error(f"--tests: there is no {test} in tests/python")
    status = 0
    if rust:
        status |= mutate_rust(rust, given.sample)
    if python:
        status |= mutate_python(python, given.sample, given.tests)
    return status


if __name__ == "__main__":
    sys.exit(main())
