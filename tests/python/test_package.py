"""The package itself: importing it, its names and how it was built."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import tied_augment
from tied_augment import build_info

ROOT = Path(__file__).parents[2]
needs_cargo = pytest.mark.skipif(shutil.which("cargo") is None, reason="it lists the crates")


def test_importing_needs_no_torch_and_an_error_says_what_does():
    program = """
import sys
sys.modules["torch"] = None
import tied_augment
assert tied_augment.View(8).plan((9, 9))["crop"]
try:
    tied_augment.TiedLoss
except ImportError as error:
    assert "needs PyTorch: pip install torch" in str(error), error
else:
    raise AssertionError("TiedLoss without torch")
assert {"PIL", "timm", "matplotlib"}.isdisjoint(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_build_info():
    info = build_info()
    assert info["version"] == tied_augment.__version__
    assert info["optimized"]
    assert info["jpeg_simd"], "nasm was missing when libjpeg was built: apt install nasm, rebuild"
    assert info["threads"] >= 1


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="it always has a GIL")
@pytest.mark.parametrize("modules", ["tied_augment", "torch, tied_augment.loader"])
def test_a_python_without_gil_stays_so(modules):
    # For a module that needs it, Python turns the GIL on with a warning, if this variable is unset.
    # triton needs it, and comes with torchvision and timm through torch: they are not imported.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON_GIL"}
    program = f"import sys, {modules}; tied_augment.build_info(); sys.exit(sys._is_gil_enabled())"
    command = [sys.executable, "-W", "error:The global interpreter lock:RuntimeWarning", "-c"]
    subprocess.run([*command, program], check=True, env=environment)


def test_names():
    assert set(tied_augment.__all__) <= set(dir(tied_augment))
    for name in tied_augment.__all__:
        assert getattr(tied_augment, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'TwoViews'"):
        tied_augment.TwoViews  # noqa: B018
    assert (Path(tied_augment.__file__).parent / "py.typed").exists()


def test_the_citation_names_this_version():
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {tied_augment.__version__}\n" in citation


def crates():
    """Names and versions of the crates in a wheel, for all systems that wheels are made for."""
    options = ["--locked", "--features=python", "--edges=normal,no-proc-macro", "--prefix=none"]
    command = ["cargo", "tree", "--format={p}", *options]
    (targets,) = re.findall(r"targets = \[(.*?)\]", (ROOT / "about.toml").read_text(), re.DOTALL)
    command += [f"--target={target}" for target in re.findall(r'"(.*?)"', targets)]
    tree = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found = {tuple(line.replace(" v", " ").split()[:2]) for line in tree.splitlines() if line}
    assert len(found) > 20
    return found


@needs_cargo
def test_third_party_licences_name_every_crate():
    texts = (ROOT / "THIRD_PARTY.md").read_text()
    assert "based in part on the work of the Independent JPEG Group" in texts
    missing = {crate for crate in crates() if f"- {' '.join(crate)}\n" not in texts}
    assert not missing, f"run `make licences`: {missing}"


@needs_cargo
def test_the_list_of_crates_is_complete():
    text = (ROOT / "docs" / "releasing.md").read_text().partition("## Crates in a wheel")[2]
    listed = set(re.findall(r"`([a-z0-9_-]+)`", text))
    assert listed == {name for name, _ in crates()} - {"tied-augment"}
