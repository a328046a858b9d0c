"""Three of Pillow's functions in numpy, for machines where Pillow's own round differently.

Compilers for 64-bit ARM fuse a multiplication and the addition after it into one instruction, which
rounds once and not twice. Pillow is compiled that way there, and some of its bytes differ by 1 from
those of x86-64. numpy never fuses two operations, so these functions have the pixels of x86-64 on
every machine. `test_unfused.py` holds them against Pillow, `test_golden_ops.py` against arrays from
x86-64.
"""

import platform
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageFilter

# Whether Pillow's wheels for this machine fuse.
FUSED = platform.machine() in ("aarch64", "arm64")


@contextmanager
def in_pillow(in_numpy):
    """Pillow uses the functions in numpy, or its own."""
    before = [getattr(owner, name) for owner, name, *_ in REPLACED]
    for owner, name, own, ours in REPLACED:
        setattr(owner, name, ours if in_numpy else own)
    yield
    for (owner, name, *_), function in zip(REPLACED, before, strict=True):
        setattr(owner, name, function)


def blend(image1, image2, alpha):
    """`Image.blend` (`ImagingBlend`), which is in f32."""
    first, second = (np.asarray(image).astype(np.float32) for image in (image1, image2))
    return Image.fromarray(_truncated(first + np.float32(alpha) * (second - first)))


def smooth(_, core):
    """`ImageFilter.SMOOTH.filter` (`ImagingFilter3x3`): rows summed in f32, the lowest first."""
    pixels = np.asarray(Image.Image()._new(core))
    if min(pixels.shape[:2]) < 3:
        return core.copy()
    kernel = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / np.float32(13)
    height, width = (side - 2 for side in pixels.shape[:2])
    total = np.float32(0.5)
    for y in (2, 1, 0):
        left, centre, right = (
            kernel[y, x] * pixels[y : y + height, x : x + width].astype(np.float32)
            for x in range(3)
        )
        total = total + (left + centre + right)
    smoothed = pixels.copy()
    smoothed[1:-1, 1:-1] = _truncated(total)
    return Image.fromarray(smoothed).im


OWN_TRANSFORMER = Image.Image._Image__transformer


def transformer(self, box, image, method, data, resample=Image.Resampling.NEAREST, fill=True):
    """`Image.__transformer`: writes the transformed ``image`` to ``self``.

    The nearest neighbour has only products that are exact, so Pillow's own does.
    """
    if method != Image.Transform.AFFINE or resample == Image.Resampling.NEAREST:
        return OWN_TRANSFORMER(self, box, image, method, data, resample, fill)
    assert box == (0, 0, *self.size)
    pixels = np.zeros_like(self) if fill else np.array(self)
    inside, values = _interpolated(np.asarray(image), data[:6], resample, pixels.shape[:2])
    pixels[inside] = values
    return self.paste(Image.fromarray(pixels))


def _interpolated(image, matrix, resample, size):
    """Which output pixels lie inside the image, as a mask, and their values."""
    a, b, c, d, e, f = (float(number) for number in matrix)
    x, y = np.arange(size[1]) + 0.5, np.arange(size[0])[:, None] + 0.5
    x, y = a * x + b * y + c, d * x + e * y + f
    height, width = image.shape[:2]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    x, y = x[inside] - 0.5, y[inside] - 0.5
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    # One fraction per pixel, for all of its channels.
    channels = (-1, *[1] * (image.ndim - 2))
    dx, dy = (x - column).reshape(channels), (y - row).reshape(channels)
    linear = resample == Image.Resampling.BILINEAR
    taps, line = ((0, 1), _linear) if linear else ((-1, 0, 1, 2), _cubic)

    def along(tap):
        below = np.clip(row + tap, 0, height - 1)
        columns = (np.clip(column + tap, 0, width - 1) for tap in taps)
        return line(*(image[below, at].astype(float) for at in columns), dx)

    return inside, _truncated(line(*(along(tap) for tap in taps), dy))


def _linear(v1, v2, t):
    return v1 + (v2 - v1) * t


def _cubic(v1, v2, v3, v4, t):
    p2 = -v1 + v3
    p3 = 2 * (v1 - v2) + v3 - v4
    p4 = -v1 + v2 - v3 + v4
    return v2 + t * (p2 + t * (p3 + t * p4))


def _truncated(values):
    return np.clip(values, 0, 255).astype(np.uint8)


# Where each is, Pillow's own, and its replacement.
REPLACED = (
    (Image, "blend", Image.blend, blend),
    (ImageFilter.SMOOTH, "filter", ImageFilter.SMOOTH.filter, smooth),
    (Image.Image, "_Image__transformer", OWN_TRANSFORMER, transformer),
)
