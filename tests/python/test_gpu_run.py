"""`make gpu` and its training steps, where there is no GPU."""

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import ready_process

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(600),  # it collects all files with tests for a GPU, which imports a lot
]


@pytest.mark.slow
def test_without_a_gpu_it_runs_to_its_end_and_names_what_it_skips(tmp_path):
    out = tmp_path / "results"
    done = subprocess.run(
        ["make", "--no-print-directory", "gpu", f"GPU_PYTHON={sys.executable}", f"OUT={out}"],
        cwd=ROOT,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    for name in (
        "test_gpu.py::test_pinned_memory_is_not_written_while_it_is_copied (2)",
        "test_gpu.py::test_synchronised_batchnorm_and_gathered_features_equal_one_process (1)",
        "test_timm_matrix.py::test_option_on_a_gpu (",
        "test_similarity.py::test_value_and_gradients_follow_the_formula (27)",
    ):
        assert any(line.startswith(f"skipped, needs more GPUs: {name}") for line in lines), name
    assert any(line.startswith("skipped, needs a GPU: benches/gpu.py ") for line in lines)
    (counts,) = (line for line in lines if line.startswith("tests: 0 passed"))
    assert counts.startswith("tests: 0 passed, 0 failed, ")
    assert counts.endswith(" skipped, 0 error")
    assert lines[-1] == f"results: {out}"
    assert json.loads((out / "machine.json").read_text())["gpus"] == []
    assert "torch" in (out / "summary.txt").read_text()
    assert {"tests.log", "tests.xml"} <= {path.name for path in out.iterdir()}


def test_training_steps_on_tiny_models(tmp_path, monkeypatch):
    out = tmp_path / "results"
    monkeypatch.chdir(tmp_path)
    arguments = ["--device", "cpu", "--smoke", "--models", "test_resnet", "--workers", "1"]
    script = ROOT / "benches/gpu.py"
    done = ready_process.run(script, *arguments, "--out", out, ready="timm")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed" not in done.stdout
    rows = json.loads((out / "training.json").read_text())
    feeds = ["tensor on the device", "timm's loader", "TiedLoader, JPEG", "TiedLoader, packed"]
    assert [row["feed"] for row in rows] == feeds
    assert all(row["rate"] > 0 and 0 <= row["waited"] <= 1 for row in rows)
    assert [row["busy"] is not None for row in rows] == [False, False, True, True]
    assert (out / "training.md").read_text().count("\n") == 6
    assert (out / "training.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def script():
    """tests/gpu/run.py as a module."""
    spec = importlib.util.spec_from_file_location("run_on_a_gpu", ROOT / "tests/gpu/run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_wheel_is_used_if_the_package_is_not_installed(script, tmp_path, monkeypatch):
    assert script.package_folder() is None
    monkeypatch.setattr(script, "ROOT", tmp_path)
    monkeypatch.setattr(script.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="dist/ has no wheel of it: run make wheel"):
        script.package_folder()
    (tmp_path / "dist").mkdir()
    for number, text in enumerate(("old", "new")):
        wheel = tmp_path / "dist" / f"tied_augment-0.{number}-cp310-abi3-linux_x86_64.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("tied_augment/__init__.py", text)
        os.utime(wheel, (number, number))
    folder = script.package_folder()
    assert (folder / "tied_augment" / "__init__.py").read_text() == "new"


def test_what_is_missing_is_named(script, monkeypatch):
    monkeypatch.setattr(script.importlib.util, "find_spec", lambda name: name != "skimage")
    with pytest.raises(SystemExit, match="not installed: scikit-image; without network see docs/"):
        script.refuse_missing()


def test_a_command_ends_when_its_time_is_over(script, tmp_path):
    log = tmp_path / "log"
    assert script.run(["-c", "print('said')"], log, 60) == 0
    assert log.read_text() == "said\n"
    assert script.run(["-c", "import time; time.sleep(600)"], log, 0.1) is None


def test_without_a_gpu_the_training_steps_say_what_to_do():
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = ready_process.run(ROOT / "benches/gpu.py", "--smoke", env=environment)
    assert done.returncode == 1
    assert done.stderr.endswith(
        "torch finds no GPU: --device cpu --smoke runs everything on tiny models\n"
    )
