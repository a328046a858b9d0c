"""What decoding and rendering do when the process has no more memory, at every point where they
ask for some: an error, and the same pixels as before when there is memory again.
"""

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from image_files import encoded, picture, png, tiff

from tied_augment.packed import pack

if sys.platform != "linux":
    pytest.skip("the limits of other systems differ", allow_module_level=True)

# Every allocation of 64 KiB or more comes from the system and goes back to it. So a limit a little
# higher than the last one hits the next of them.
ENVIRONMENT = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}

PRELUDE = """
import json, os, resource, sys
from pathlib import Path
import numpy as np
from tied_augment import View, Views, decode
from tied_augment.packed import pack, unpack

def limited(work, extra):
    "What `work` returns, or its MemoryError, with so many bytes more than the process has."
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + extra, -1))
    try:
        return work()
    except MemoryError as error:
        return error
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (-1, -1))

def climb(work, same):
    "Raises the limit until `work` succeeds; the errors, without those of Python itself."
    errors, extra = [], 0
    while isinstance(result := limited(work, extra), MemoryError):
        errors.append(str(result))
        extra += step
    assert same(result, work())
    print(json.dumps([len(errors), [error for error in errors if error]]))

for order in sys.stdin:
    code, path, step = json.loads(order)
    if os.fork() == 0:
        path = Path(path)
        file = os.open(f"{path}.said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        data = path.read_bytes()
        exec(code)
        sys.exit()
    print(os.wait()[1], flush=True)
"""


@pytest.fixture(scope="module")
def climbed():
    """A function: how often there was no memory, and what was said, in a process of its own.

    It is the copy of one that has imported all, and nothing else.
    """
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    command = [sys.executable, "-c", PRELUDE]
    with subprocess.Popen(command, text=True, bufsize=1, env=ENVIRONMENT, **pipes) as process:

        def call(code, path, step=128 << 10):
            process.stdin.write(json.dumps([textwrap.dedent(code), str(path), step]) + "\n")
            status = process.stdout.readline()
            said = path.with_name(f"{path.name}.said").read_text()
            assert status == "0\n", said
            return json.loads(said)

        yield call


SIDE = 800
RNG = np.random.default_rng(0)
SAMPLES16 = RNG.integers(0, 1 << 16, (SIDE, SIDE, 4)).astype(np.uint16)
GREYS2 = RNG.integers(0, 4, (SIDE, SIDE, 1))
WIDE = np.zeros((1, 600_000, 4), np.uint16)


def photo(mode="RGB"):
    return picture(np.random.default_rng(1), SIDE, SIDE, mode)


def jpeg(mode="RGB", **options):
    return encoded(photo(mode), "JPEG", **options)


FILES = {
    "JPEG": jpeg,
    "JPEG 4:4:4": lambda: jpeg(subsampling=0),
    "JPEG 4:1:1": lambda: jpeg(subsampling="4:1:1"),
    "JPEG CMYK": lambda: jpeg("CMYK"),
    "JPEG progressive": lambda: jpeg(progressive=True),
    "JPEG progressive CMYK": lambda: jpeg("CMYK", progressive=True),
    "JPEG with intervals": lambda: jpeg(restart_marker_blocks=1),
    "packed": lambda: pack(jpeg()),
    "packed CMYK": lambda: pack(jpeg("CMYK")),
    "PNG": lambda: encoded(photo(), "PNG"),
    "PNG RGBA": lambda: encoded(photo("RGBA"), "PNG"),
    "PNG RGBA16 interlaced": lambda: png(SAMPLES16, 6, 16, interlaced=True),
    "PNG of one row": lambda: png(WIDE, 6, 16),
    "PNG with much metadata": lambda: encoded(photo(), "PNG", exif=bytes(2 << 20)),
    "PNG palette": lambda: encoded(photo("P"), "PNG"),
    "WebP lossy": lambda: encoded(photo(), "WEBP"),
    "WebP lossy alpha": lambda: encoded(photo("RGBA"), "WEBP"),
    "WebP lossless": lambda: encoded(photo(), "WEBP", lossless=True),
    "WebP lossless alpha": lambda: encoded(photo("RGBA"), "WEBP", lossless=True),
    "WebP animated": lambda: encoded(photo(), "WEBP", save_all=True, append_images=[photo("L")]),
    "GIF": lambda: encoded(photo("P"), "GIF"),
    "BMP": lambda: encoded(photo(), "BMP"),
    "TIFF": lambda: encoded(photo(), "TIFF"),
    "TIFF LZW": lambda: encoded(photo("RGBA"), "TIFF", compression="tiff_lzw"),
    "TIFF turned": lambda: tiff(SAMPLES16, 2, 16, deflate=True, tags={274: 6, 338: 2}),
    "TIFF of 2 bits": lambda: tiff(GREYS2, 1, 2),
    "TIFF of one row": lambda: tiff(WIDE, 2, 16, deflate=True, tags={338: 2}),
    "TIFF of tiles": lambda: tiff(SAMPLES16, 2, 16, tile=(64, 64), tags={338: 2}),
    "TIFF of many strips": lambda: tiff(np.zeros((10_000, 2, 1)), 1, 8, rows_per_strip=1),
}


@pytest.mark.parametrize("name", FILES)
def test_decoding_without_memory(climbed, tmp_path, name):
    path = tmp_path / "image"
    path.write_bytes(FILES[name]())
    times, said = climbed("climb(lambda: decode(str(path)), np.array_equal)", path)
    assert times >= 5
    assert said
    assert all(message.startswith(f"{path}: no memory for ") for message in said)
    assert all("; use fewer threads" in message for message in said)


VIEWS = {
    "a small view": "View(64, auto_augment=None)",
    "a view of the image's size": f"View({SIDE}, auto_augment='rand-m9-n3')",
    "an enlarged view": "View(1500, crop='squash')",
}


@pytest.mark.parametrize("name", VIEWS)
def test_making_views_without_memory(climbed, tmp_path, name):
    path = tmp_path / "image"
    path.write_bytes(jpeg())
    code = f"""
    def work():
        view = {VIEWS[name]}
        return Views(view, view)(str(path), index=0)[0]
    climb(work, np.array_equal)
    """
    times, said = climbed(code, path, 256 << 10)
    assert times >= 3
    assert said


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_packing_and_unpacking_without_memory(climbed, tmp_path, mode):
    path = tmp_path / "image"
    path.write_bytes(jpeg(mode, progressive=True))
    for work in ("pack(data)", "unpack(packed)"):
        code = f"packed = pack(data)\nclimb(lambda: {work}, bytes.__eq__)"
        times, said = climbed(code, path)
        assert times >= 5
        assert said
