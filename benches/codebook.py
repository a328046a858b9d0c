"""Train the codebooks of packed images, `src/packed/codec/codebook/*.txt`.

    python benches/codebook.py ROOT DIR

writes `luma.txt` and `chroma.txt` into DIR. They are a part of the format of packed images: new
ones get new numbers.

ROOT is where packages of Debian 12 were unpacked, with `apt-get download` and `dpkg-deb -x`:
lomiri-wallpapers-16.04, lomiri-wallpapers-20.04, mate-backgrounds and plasma-workspace-wallpapers.
Two of three of their photographs (`TRAINED_ON`) are cropped and scaled to the sizes of ImageNet's.
The others (`HELD_OUT`) are for `benches/packed_sizes.py`. A third of the blocks comes from
photographs of scikit-image and scikit-learn, with and without grain, and as `benches/photos.py`
makes files of them. All are quantised as libjpeg does at qualities 50 to 98. Transform and
quantisation are done here in floating point: that the coefficients are libjpeg's to the last bit
does not matter for training.

A class gives each coefficient a level: 0 means that it is zero, level `k + 1` that it has `k` raw
bits. Training is Lloyd's algorithm: every block goes to the class in which it takes the fewest
bits, then every class gets, for each coefficient, the level at which its blocks take the fewest.
Classes with many bits are split until there are enough of them, and those without blocks dropped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import photos
import torch
from PIL import Image, ImageFilter
from skimage import data as skimage_data

CLASSES = 256
RAW, UNARY = 5, 4
LEVELS = RAW + 2
# What limits the coefficients with two or more raw bits, so that these can be read as one number.
MAX_WIDE = 57
LEAST_QUALITY, PAST_QUALITY = 50, 99
EXCEPTION_BITS, ESCAPE_BITS = 32, 8
LARGEST = 511
FILES, LUMA_BLOCKS, CHROMA_BLOCKS = 900, 100, 33

LOMIRI, PLASMA = "usr/share/backgrounds", "usr/share/wallpapers/*/contents/images"
MATE = "usr/share/backgrounds/mate/nature"
# Names of files, two for training and one held out in turn.
PHOTOGRAPHS = f"""
{LOMIRI}/Bridge_by_Sander_Klootwijk.jpg
{LOMIRI}/Dragonfly_by_Bolly.jpg
{LOMIRI}/Picture_0B_by_freespace.jpg
{LOMIRI}/Picture_1A_by_freespace.jpg
{LOMIRI}/Wine_by_Jakkub_Mede.jpg
{LOMIRI}/aitzgorri_by_Aitzol_Berasategi.jpg
{LOMIRI}/free_by_Peter_Nerlich.jpg
{LOMIRI}/friends_by_Aitzol_Berasategi.jpg
{LOMIRI}/greentock_by_Peter_Nerlich.jpg
{LOMIRI}/life_by_Aitzol_Berasategi.jpg
{LOMIRI}/picosdeeuropa_by_Aitzol_Berasategi.jpg
{LOMIRI}/seeding_by_Clements_Engelhardt.jpg
{LOMIRI}/sunset_by_Aitzol_Berasategi.jpg
{LOMIRI}/Kleiber_by_Lukas_Baubkus.jpg
{MATE}/Aqua.jpg
{MATE}/Blinds.jpg
{MATE}/Dune.jpg
{MATE}/FreshFlower.jpg
{MATE}/Garden.jpg
{MATE}/GreenMeadow.jpg
{MATE}/LadyBird.jpg
{MATE}/RainDrops.jpg
{MATE}/Storm.jpg
{MATE}/TwoWings.jpg
{MATE}/Wood.jpg
{MATE}/YellowFlower.jpg
{PLASMA.replace("*", "Autumn")}/2560x1600.jpg
{PLASMA.replace("*", "BytheWater")}/2560x1600.jpg
{PLASMA.replace("*", "ColdRipple")}/2560x1600.jpg
{PLASMA.replace("*", "ColorfulCups")}/2560x1600.jpg
{PLASMA.replace("*", "DarkestHour")}/2560x1600.jpg
{PLASMA.replace("*", "EveningGlow")}/2560x1600.jpg
{PLASMA.replace("*", "FallenLeaf")}/2560x1600.jpg
{PLASMA.replace("*", "Grey")}/2560x1600.jpg
{PLASMA.replace("*", "Kite")}/2560x1600.jpg
{PLASMA.replace("*", "OneStandsOut")}/2560x1600.jpg
{PLASMA.replace("*", "Path")}/2560x1600.jpg
{PLASMA.replace("*", "Volna")}/5120x2880.jpg
{PLASMA.replace("*", "summer_1am")}/2560x1600.jpg
""".split()
HELD_OUT = PHOTOGRAPHS[2::3]
TRAINED_ON = [name for name in PHOTOGRAPHS if name not in HELD_OUT]

# Annex K of the JPEG standard, by rows.
LUMA = """
16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101
72 92 95 98 112 100 103 99
"""
CHROMA_CORNER = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]


def quantisation(quality: int, *, luma: bool) -> np.ndarray:
    """The table of 8 x 8 steps that libjpeg has for a quality."""
    if luma:
        table = np.array(LUMA.split(), int).reshape(8, 8)
    else:
        table = np.full((8, 8), 99)
        table[:4, :4] = CHROMA_CORNER
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps: np.ndarray = np.clip((table * scale + 50) // 100, 1, 255)
    return steps


def transform() -> np.ndarray:
    """The matrix of the DCT of eight samples."""
    k = np.arange(8)
    matrix = np.cos((2 * k[None] + 1) * k[:, None] * np.pi / 16) / 2
    matrix[0] *= np.sqrt(0.5)
    return matrix


def blocks(plane: np.ndarray, steps: np.ndarray, factors: tuple[int, int]) -> np.ndarray:
    """Quantised blocks (n, 64) in the order of MCUs, with DC as differences in tiles of 8 MCUs."""
    v, h = factors
    height, width = plane.shape
    plane = np.pad(plane, ((0, -height % (8 * v)), (0, -width % (8 * h))), "edge")
    rows, columns = plane.shape[0] // (8 * v), plane.shape[1] // (8 * h)
    ordered = plane.reshape(rows, v, 8, columns, h, 8).transpose(0, 3, 1, 4, 2, 5) - 128.0
    matrix = transform()
    quantised = np.rint(matrix @ ordered @ matrix.T / steps).astype(np.int32)
    quantised = quantised.reshape(rows, columns * v * h, 64)
    dc = quantised[:, :, 0].copy()
    quantised[:, 1:, 0] -= dc[:, :-1]
    quantised[:, :: 8 * v * h, 0] = 0
    found: np.ndarray = quantised.reshape(-1, 64)
    return found


def components(image: Image.Image, quality: int, subsampling: int) -> list[np.ndarray]:
    """The blocks of the three components."""
    pixels = np.asarray(image.convert("YCbCr")).astype(np.float64)
    v, h = ((1, 1), (1, 2), (2, 2))[subsampling]
    found = [blocks(pixels[..., 0], quantisation(quality, luma=True), (v, h))]
    for channel in (1, 2):
        plane = pixels[..., channel]
        plane = np.pad(plane, ((0, -plane.shape[0] % v), (0, -plane.shape[1] % h)), "edge")
        means = plane.reshape(plane.shape[0] // v, v, plane.shape[1] // h, h).mean((1, 3))
        found.append(blocks(means, quantisation(quality, luma=False), (1, 1)))
    return found


def wallpaper(path: Path) -> Image.Image:
    """A photograph in a moderate size, without the traces of its own compression."""
    image = Image.open(path).convert("RGB")
    image.thumbnail((1400, 1400), Image.Resampling.LANCZOS)
    return image


def scaled(
    sources: list[Image.Image], rng: np.random.Generator
) -> tuple[Image.Image, dict[str, int]]:
    """A part of a picture in a size like ImageNet's, as it is, with a quality."""
    source = sources[rng.integers(len(sources))]
    width = int(np.clip(rng.normal(500, 60), 300, 800))
    height = int(width * rng.choice((0.66, 0.75, 0.75, 1.0, 1.33)))
    share = rng.uniform(0.6, 1.0) * min(source.width / width, source.height / height)
    w, h = int(width * share), int(height * share)
    x, y = int(rng.integers(source.width - w + 1)), int(rng.integers(source.height - h + 1))
    image = source.resize((width, height), Image.Resampling.LANCZOS, (x, y, x + w, y + h))
    if rng.random() < 0.3:
        image = image.filter(ImageFilter.UnsharpMask(1, 80, 2))
    quality = int(rng.integers(LEAST_QUALITY, PAST_QUALITY))
    return image, {"quality": quality, "subsampling": int(rng.choice((0, 1, 2, 2, 2, 2)))}


def pictures() -> list[Image.Image]:
    names = ("immunohistochemistry", "retina", "hubble_deep_field", "camera")
    textures = ("brick", "grass", "gravel", "moon", "coins")
    arrays = [getattr(skimage_data, name)() for name in (*names, *textures)]
    colours = [Image.fromarray(array).convert("RGB") for array in arrays]
    return photos.photographs() + colours


def varied(
    sources: list[Image.Image], rng: np.random.Generator
) -> tuple[Image.Image, dict[str, int]]:
    """As `photos.one`, but with other pictures, sizes, amounts of grain and qualities."""
    source = sources[rng.integers(len(sources))]
    width = int(np.clip(rng.normal(500, 100), 200, 900))
    height = int(width * rng.choice((0.66, 0.75, 0.75, 1, 1.33)))
    share = rng.uniform(0.4, 1) * min(source.width / width, source.height / height)
    w, h = int(width * share), int(height * share)
    x, y = int(rng.integers(source.width - w + 1)), int(rng.integers(source.height - h + 1))
    image = source.resize((width, height), Image.Resampling.BICUBIC, (x, y, x + w, y + h))
    amount = rng.choice((0, 0.3, 0.6, 1.0))
    if amount:
        image = image.filter(ImageFilter.UnsharpMask(2, int(120 * amount), 2))
        grain = rng.normal(0, 13, (height, width, 1)) + rng.normal(0, 5, (height, width, 3))
        pixels = np.clip(np.asarray(image) + amount * grain, 0, 255).astype(np.uint8)
        image = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(0.45))
    quality = int(rng.integers(LEAST_QUALITY, PAST_QUALITY))
    return image, {"quality": quality, "subsampling": int(rng.choice((0, 1, 2, 2, 2, 2)))}


def corpus(root: Path) -> tuple[np.ndarray, np.ndarray]:
    """Blocks of luma and of chroma."""
    rng = np.random.default_rng(1)
    sources, photographs = pictures(), photos.photographs()
    wallpapers = [wallpaper(root / name) for name in TRAINED_ON]
    luma: list[np.ndarray] = []
    chroma: list[np.ndarray] = []
    for number in range(FILES):
        if number % 3:
            image, options = scaled(wallpapers, rng)
        elif number % 2:
            image, options = photos.one(photographs, rng)
        else:
            image, options = varied(sources, rng)
        found = components(image, **options)
        wanted = ((luma, LUMA_BLOCKS), (chroma, CHROMA_BLOCKS), (chroma, CHROMA_BLOCKS))
        for component, (all_blocks, count) in zip(found, wanted, strict=True):
            all_blocks.append(component[rng.permutation(len(component))[:count]])
    return np.concatenate(luma), np.concatenate(chroma)


def costs() -> torch.Tensor:
    """Bits of a coefficient, by level and magnitude: (LEVELS, LARGEST + 1)."""
    magnitude = np.arange(LARGEST + 1)
    rows = [np.where(magnitude == 0, 0, EXCEPTION_BITS)]
    for raw in range(RAW + 1):
        digits = magnitude >> raw
        unary = np.minimum(digits + 1, UNARY) + np.where(digits >= UNARY, ESCAPE_BITS, 0)
        rows.append(raw + unary + (magnitude != 0))
    return torch.tensor(np.array(rows), dtype=torch.float32)


def assign(bits: torch.Tensor, levels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """For each block its bits in the best class, and that class."""
    chosen = torch.nn.functional.one_hot(levels, LEVELS).float().flatten(1).T
    best = (bits.flatten(1) @ chosen).min(1)
    return best.values, best.indices


def levels_of(sums: torch.Tensor) -> torch.Tensor:
    """The best levels (n, 64) for the summed bits (n, 64, LEVELS) of classes."""
    levels = sums.argmin(2)
    for number in (levels > 2).sum(1).gt(MAX_WIDE).nonzero()[:, 0].tolist():
        wide = sums[number, :, 3:].min(1).values
        loss = sums[number, :, 2] - wide
        loss[levels[number] <= 2] = torch.inf
        for place in loss.argsort()[: int((levels[number] > 2).sum()) - MAX_WIDE].tolist():
            levels[number, place] = sums[number, place, :3].argmin()
    return levels


def settle(bits: torch.Tensor, levels: torch.Tensor, rounds: int) -> torch.Tensor:
    """Lloyd's algorithm. Classes without blocks and repeated ones are dropped."""
    for _ in range(rounds):
        _, classes = assign(bits, levels)
        sums = torch.zeros(len(levels), 64, LEVELS).index_add_(0, classes, bits)
        used = torch.bincount(classes, minlength=len(levels)) > 0
        levels = torch.unique(levels_of(sums[used]), dim=0)
    return levels


def split(bits: torch.Tensor, levels: torch.Tensor, count: int) -> torch.Tensor:
    """New classes: each from some blocks of one of the classes that take the most bits."""
    best, classes = assign(bits, levels)
    totals = torch.zeros(len(levels)).index_add_(0, classes, best)
    new = []
    for number in totals.argsort(descending=True)[:count].tolist():
        members = (classes == number).nonzero()[:, 0]
        # A few blocks alike in size differ more from their class than half of its blocks do.
        start = int(torch.randint(len(members), ()))
        some = members[best[members].argsort()][start : start + max(4, len(members) // 8)]
        new.append(levels_of(bits[some].sum(0)[None]))
    return torch.cat([levels, *new])


def train(found: np.ndarray) -> torch.Tensor:
    """Levels (CLASSES, 64)."""
    magnitudes = torch.tensor(np.minimum(np.abs(found), LARGEST).astype(np.int64))
    bits = costs().T[magnitudes]
    levels = levels_of(bits.sum(0)[None])
    for _ in range(40):
        levels = settle(bits, split(bits, levels, min(len(levels), CLASSES - len(levels))), 5)
    while len(levels) < CLASSES:
        levels = torch.unique(split(bits, levels, CLASSES - len(levels)), dim=0)
    return levels


def text(levels: torch.Tensor) -> str:
    """A line per class, in order of the number of bits; a character per coefficient."""
    order = sorted(levels.tolist(), key=lambda line: (sum(line), line))
    return "".join("".join("-012345"[level] for level in line) + "\n" for line in order)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    torch.manual_seed(1)
    for name, found in zip(("luma", "chroma"), corpus(arguments.root), strict=True):
        (arguments.folder / f"{name}.txt").write_text(text(train(found)))


if __name__ == "__main__":
    main()
