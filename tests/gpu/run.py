"""What `make gpu` does: all tests that need a GPU, then benches/gpu.py, within 8 minutes.

    python tests/gpu/run.py [--out gpu-results] [--seconds 470]

Needs no network. If this package is not installed, its wheel is taken from dist/. What is missing
is named with the remedy, and so is what is left out. Without a GPU the tests are skipped one by
one. Everything is written to --out; the exit code is 1 if anything failed. docs/gpu.md describes
the files.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests" / "python"
# Modules by the package that has them.
NEEDED = {
    "torch": "torch",
    "torchvision": "torchvision",
    "timm": "timm",
    "pytest": "pytest",
    "pytest-timeout": "pytest_timeout",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
    "tqdm": "tqdm",
}
# Of the seconds: the tests' at most, and what is left for the end of the training steps.
TESTS_SHARE, END = 0.64, 30
LINE = re.compile(r"^tests/python/(\S+?::\w+)(\[.*\])? (PASSED|FAILED|SKIPPED|ERROR)\b")


class Report:
    """Prints, and keeps what it prints in summary.txt."""

    def __init__(self, folder):
        self._file = (folder / "summary.txt").open("w")

    def say(self, text=""):
        print(text, flush=True)
        print(text, file=self._file, flush=True)


def package_folder():
    """The folder with this package for PYTHONPATH; None if it is installed.

    A wheel is a zip archive, so it takes no pip.
    """
    if importlib.util.find_spec("tied_augment"):
        return None
    wheels = sorted(
        (ROOT / "dist").glob("tied_augment-*.whl"), key=lambda path: path.stat().st_mtime
    )
    if not wheels:
        sys.exit("tied-augment is not installed, and dist/ has no wheel of it: run make wheel")
    folder = ROOT / "target" / "gpu-package"
    with zipfile.ZipFile(wheels[-1]) as archive:
        archive.extractall(folder)
    return folder


def refuse_missing():
    missing = [name for name, module in NEEDED.items() if not importlib.util.find_spec(module)]
    if missing:
        sys.exit(f"not installed: {' '.join(missing)}; without network see docs/gpu.md")


def machine():
    """What the results depend on."""
    code = """
import importlib.metadata, json, os, platform, torch, tied_augment
found = {d.metadata["Name"].lower(): d.version for d in importlib.metadata.distributions()}
names = ("torch", "torchvision", "timm", "pillow", "numpy", "triton")
gpus = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
print(json.dumps({
    "gpus": [str(torch.cuda.get_device_properties(n)) for n in gpus],
    "cuda of torch": torch.version.cuda,
    "cudnn": torch.backends.cudnn.version() if gpus else None,
    "nccl": str(torch.cuda.nccl.version()) if gpus else None,
    "cores": len(os.sched_getaffinity(0)),
    "system": platform.platform(),
    "python": platform.python_version(),
    "tied-augment": tied_augment.__version__,
    "build": {name: str(value) for name, value in tied_augment.build_info().items()},
} | {name: found[name] for name in names if name in found}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"torch or tied-augment can't be imported:\n{done.stderr}")
    about = json.loads(done.stdout.splitlines()[-1])
    about["processor"] = processor()
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,pstate,power.limit"]
        shown = subprocess.run(
            [*query, "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
        about["driver"] = shown.stdout.strip().splitlines()
    return about


def processor():
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def files_with_gpu_tests():
    pattern = re.compile(r"any_device|mark\.cuda")
    files = sorted(TESTS.glob("test_*.py"))
    # What takes only a GPU comes first, in case that the time does not suffice for all.
    files.sort(key=lambda path: path.name != "test_gpu.py")
    return [path for path in files if pattern.search(path.read_text())]


def run(command, log, seconds):
    """Run a command that writes to `log`; its exit code, or None if the time was over."""
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, stdout=file, stderr=file, start_new_session=True
        )
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            # With the processes that it has started.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def run_tests(report, folder, seconds):
    """Whether none failed."""
    log = folder / "tests.log"
    files = [str(path.relative_to(ROOT)) for path in files_with_gpu_tests()]
    report.say(f"\ntests: up to {seconds:.0f} s, into {log}")
    options = ["-v", "-m", "cuda", "-p", "no:cacheprovider", f"--junitxml={folder / 'tests.xml'}"]
    code = run(["-m", "pytest", *options, *files], log, seconds)
    outcomes = {"PASSED": Counter(), "FAILED": Counter(), "SKIPPED": Counter(), "ERROR": Counter()}
    failed = []
    for found in filter(None, map(LINE.match, log.read_text().splitlines())):
        name, case, outcome = found.groups()
        outcomes[outcome][name] += 1
        if outcome in ("FAILED", "ERROR"):
            failed.append(f"{outcome.lower()}: {name}{case or ''}")
    for name, count in outcomes["SKIPPED"].items():
        report.say(f"skipped, needs more GPUs: {name} ({count})")
    for line in failed:
        report.say(line)
    counts = ", ".join(f"{sum(names.values())} {key.lower()}" for key, names in outcomes.items())
    report.say(f"tests: {counts}")
    if code is None:
        report.say("tests: the time was over before the end")
    elif code not in (0, 1):
        report.say(f"tests: pytest ended with {code}: see {log}")
    return code == 0


def run_training(report, folder, seconds):
    """Whether all rows were measured."""
    log = folder / "training.log"
    report.say(f"\ntraining steps: up to {seconds:.0f} s, into {log}")
    command = ["benches/gpu.py", "--out", str(folder), "--limit", str(seconds - END)]
    code = run(command, log, seconds)
    report.say(log.read_text().strip())
    if code is None:
        report.say("training steps: the time was over before the end")
    return code == 0 and "failed: " not in log.read_text()


def main():
    begun = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", type=Path, default=Path("gpu-results"))
    parser.add_argument("--seconds", type=float, default=470)
    arguments = parser.parse_args()
    folder = arguments.out.absolute()
    refuse_missing()
    package = package_folder()
    if package is not None:
        os.environ["PYTHONPATH"] = os.pathsep.join(
            [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
    folder.mkdir(parents=True, exist_ok=True)
    report = Report(folder)
    about = machine()
    (folder / "machine.json").write_text(json.dumps(about, indent=1))
    for name, value in about.items():
        report.say(f"{name}: {value}")
    good = run_tests(report, folder, TESTS_SHARE * arguments.seconds)
    if about["gpus"]:
        left = arguments.seconds - (time.monotonic() - begun)
        good = run_training(report, folder, left) and good
    else:
        report.say(
            "\nskipped, needs a GPU: benches/gpu.py (python benches/gpu.py --device cpu --smoke "
            "runs it on tiny models)"
        )
    report.say(f"\nresults: {folder}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
