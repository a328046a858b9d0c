"""Make a folder of JPEG files like ImageNet's from photographs of scikit-image and scikit-learn.

    python benches/photos.py DIR [--count 600]

Nothing is downloaded, and the files are the same every time with the same Pillow. Sizes vary around
500 x 375, qualities are 85 to 95, and four of five files have 4:2:0 chroma. The crops are sharpened
and get grain, so that the files are as large as ImageNet's, about 100 KB. This may give entropy
decoding a larger share of the time than it has for ImageNet.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from skimage import data as skimage_data
from sklearn.datasets import load_sample_images

CLASSES = 10


def photographs() -> list[Image.Image]:
    names = ("astronaut", "cat", "coffee", "rocket", "chelsea")
    arrays = [getattr(skimage_data, name)()[..., :3] for name in names]
    return [Image.fromarray(array) for array in (*arrays, *load_sample_images().images)]


def one(photos: list[Image.Image], rng: np.random.Generator) -> tuple[Image.Image, dict[str, int]]:
    """The pixels of a file, and the options to save it with."""
    photo = photos[rng.integers(len(photos))]
    width = int(np.clip(rng.normal(500, 60), 250, 800))
    height = int(width * rng.choice((0.66, 0.75, 0.75, 1.0, 1.33)))
    share = rng.uniform(0.5, 1.0) * min(photo.width / width, photo.height / height)
    w, h = int(width * share), int(height * share)
    x, y = (
        int(rng.integers(whole - part + 1)) for whole, part in ((photo.width, w), (photo.height, h))
    )
    image = photo.resize((width, height), Image.Resampling.LANCZOS, (x, y, x + w, y + h))
    image = image.filter(ImageFilter.UnsharpMask(2, 120, 2))
    # Grain of about one and a half pixels, like that of a sensor after demosaicing.
    grain = rng.normal(0, 13, (height, width, 1)) + rng.normal(0, 5, (height, width, 3))
    pixels = np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)
    quality = int(rng.integers(85, 96))
    subsampling = int(rng.choice((2, 2, 2, 2, 0)))
    grained = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(0.45))
    return grained, {"quality": quality, "subsampling": subsampling}


def make(folder: Path, count: int) -> None:
    """Write `count` files into `CLASSES` class folders, unless they exist already."""
    if len(list(folder.rglob("*.jpg"))) == count:
        return
    photos = photographs()
    rng = np.random.default_rng(0)
    for number in range(count):
        image, options = one(photos, rng)
        path = folder / f"class{number % CLASSES}" / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, **options)  # type: ignore[arg-type]  # options of the JPEG format


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=600)
    arguments = parser.parse_args()
    make(arguments.folder, arguments.count)
    kilobytes = [path.stat().st_size / 1000 for path in arguments.folder.rglob("*.jpg")]
    mean, median = np.mean(kilobytes), np.median(kilobytes)
    print(f"{len(kilobytes)} files, mean {mean:.0f} KB, median {median:.0f} KB")


if __name__ == "__main__":
    main()
