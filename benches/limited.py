"""Runs a program as if the machine had fewer instructions, so that one machine times all of them.

    python benches/limited.py {avx2,sse4.2} PROGRAM [ARGUMENT...]

    cargo bench --bench ops --no-run    # prints where the program is
    python benches/limited.py avx2 target/release/deps/ops-0123456789abcdef --bench

    python benches/limited.py avx2 benches/peers.py

Tests run limited in the same way. If the program is a Python script, the package's native module is
limited.

The Rust standard library, which all our kernels ask, finds out with the instruction `xgetbv` which
registers the system saves. A copy of the program has constants in place of this instruction: for
`avx2` those of a system that saves no registers of AVX-512, for `sse4.2` none of AVX either.
AVX-VNNI uses the registers of AVX2, so the copy also reads an empty page of `cpuid` in place of
the one that lists it. All other instructions are the same, so the times are those of this machine
running that code. Nothing in the package itself can be limited.
"""

from __future__ import annotations

import argparse
import importlib.util
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

XGETBV = bytes.fromhex("0f01d0")
# push STATE; pop rax: as long as xgetbv. The bits are x87, SSE and AVX.
LEVELS = {"avx2": bytes.fromhex("6a0758"), "sse4.2": bytes.fromhex("6a0358")}

# mov eax, 7; mov ecx, 1: the page of `cpuid` that lists AVX-VNNI. Then one that no processor has.
PAGE, EMPTY = bytes.fromhex("b807000000b901000000"), bytes.fromhex("b807000000b9ff000000")


def copy(program: Path, level: str, folder: Path) -> Path:
    """Writes a limited copy of an executable or a library to `folder`."""
    code = program.read_bytes()
    # Few enough for all of them to be the instruction, not a part of other bytes.
    count = code.count(XGETBV)
    if not 1 <= count <= 4:
        raise SystemExit(f"{program} has {count} places that look like xgetbv")
    if not 1 <= code.count(PAGE) <= 4:
        raise SystemExit(f"{program} has {code.count(PAGE)} places that look like a page of cpuid")
    limited = folder / program.name
    limited.write_bytes(code.replace(XGETBV, LEVELS[level]).replace(PAGE, EMPTY))
    limited.chmod(0o755)
    return limited


def load_core(level: str) -> None:
    """Loads `tied_augment._core` limited. To be called before the package is imported."""
    name = "tied_augment._core"
    package = importlib.util.find_spec("tied_augment")
    if package is None or package.submodule_search_locations is None or name in sys.modules:
        raise SystemExit("tied_augment is not installed, or imported already")
    (folder,) = package.submodule_search_locations
    (library,) = Path(folder).glob("_core*.so")
    with tempfile.TemporaryDirectory() as temporary:
        spec = importlib.util.spec_from_file_location(name, copy(library, level, Path(temporary)))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("level", choices=LEVELS)
    parser.add_argument("program", type=Path)
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    if given.program.suffix == ".py":
        load_core(given.level)
        sys.argv = [str(given.program), *given.arguments]
        sys.path.insert(0, str(given.program.parent))
        runpy.run_path(str(given.program), run_name="__main__")
        return
    with tempfile.TemporaryDirectory() as folder:
        limited = copy(given.program, given.level, Path(folder))
        raise SystemExit(subprocess.call([limited, *given.arguments]))


if __name__ == "__main__":
    main()
