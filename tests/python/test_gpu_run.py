"""`make gpu` and its training steps, where there is no GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# It collects all files with tests for a GPU, which imports a lot.
pytestmark = pytest.mark.timeout(600)


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


def test_training_steps_on_tiny_models(tmp_path):
    out = tmp_path / "results"
    done = subprocess.run(
        [
            *(sys.executable, str(ROOT / "benches/gpu.py"), "--device", "cpu", "--smoke"),
            *("--models", "test_resnet", "--workers", "1", "--out", str(out)),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed" not in done.stdout
    rows = json.loads((out / "training.json").read_text())
    feeds = ["tensor on the device", "timm's loader", "TiedLoader, JPEG", "TiedLoader, packed"]
    assert [row["feed"] for row in rows] == feeds
    assert all(row["rate"] > 0 and 0 <= row["waited"] <= 1 for row in rows)
    assert [row["busy"] is not None for row in rows] == [False, False, True, True]
    assert (out / "training.md").read_text().count("\n") == 6
    assert (out / "training.png").read_bytes().startswith(b"\x89PNG")


def test_without_a_gpu_the_training_steps_say_what_to_do():
    done = subprocess.run(
        [sys.executable, str(ROOT / "benches/gpu.py"), "--smoke"],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.endswith(
        "torch finds no GPU: --device cpu --smoke runs everything on tiny models\n"
    )
