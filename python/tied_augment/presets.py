"""The views of self-supervised methods, with the published settings.

Each function returns the views of one method. They have the settings of the paper and of its
authors' code; where these differ, or lightly 1.6 differs from them, the docstring says so. Where
the authors' code is not in PyTorch, colour jitter is torchvision's, which multiplies brightness.

Every blur is Pillow's: the form of the authors' PyTorch code and of lightly. SimCLR and BYOL
convolve with a kernel of 23 pixels at 224; ``gaussian_blur_kernel=23`` gives that.

The views are uint8 and not normalised. `TiedLoader` normalises them with ``mean=`` and ``std=``.

All functions take `changes`: fields of `View` to set in every view. For CIFAR SimCLR has no blur:
``simclr(32, strength=0.5, gaussian_blur_prob=0)``. To change a single view use
``dataclasses.replace``.
"""

from __future__ import annotations

from typing import Any

from tied_augment.arguments import check_unsigned
from tied_augment.two_view import TwoView
from tied_augment.view import View
from tied_augment.views import Views

__all__ = ["byol", "dino", "moco_v2", "moco_v3", "simclr", "swav", "vicreg"]

Size = int | tuple[int, int]

# Brightness, contrast, saturation and hue of BYOL, which MoCo v3, DINO and VICReg took over.
_BYOL_JITTER = (0.4, 0.4, 0.2, 0.1)


def simclr(size: Size = 224, strength: float = 1.0, **changes: Any) -> TwoView:
    """SimCLR and SimCLR v2: two draws of one strong view.

    Args:
        size: side of the square output, or (height, width), in pixels.
        strength: multiplies the strengths of the colour jitter; 0.5 for CIFAR.
        changes: fields of `View` to set in both views.

    Returns:
        Both views.

    Source: Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations",
    ICML 2020, appendix A; google-research/simclr, ``tf2/data_util.py``. Resized bicubic as there;
    lightly's `SimCLRTransform` is bilinear.
    """
    jitter = tuple(strength * value for value in (0.8, 0.8, 0.8, 0.2))
    return TwoView(_view(size, changes, color_jitter=jitter, gaussian_blur_prob=0.5))


def byol(size: Size = 224, **changes: Any) -> TwoView:
    """BYOL: the first view always blurred, the second seldom blurred and sometimes solarized.

    Args:
        size: side of the square output, or (height, width), in pixels.
        changes: fields of `View` to set in both views.

    Returns:
        Both views.

    Source: Grill et al., "Bootstrap Your Own Latent", NeurIPS 2020, appendix B and table 6. Resized
    bicubic as there; lightly's `BYOLTransform` is bilinear. BYOL adds to the brightness; this
    multiplies it.
    """
    return TwoView(*_byol_views(size, changes, interpolation="bicubic"))


def moco_v2(size: Size = 224, **changes: Any) -> TwoView:
    """MoCo v2: two draws of one view. SimSiam has the same.

    Args:
        size: side of the square output, or (height, width), in pixels.
        changes: fields of `View` to set in both views.

    Returns:
        Both views.

    Source: Chen et al., "Improved Baselines with Momentum Contrastive Learning", 2020;
    facebookresearch/moco, ``main_moco.py --aug-plus``. Equal to lightly's `MoCoV2Transform`.
    """
    fields = {"scale": (0.2, 1.0), "interpolation": "bilinear", "gaussian_blur_prob": 0.5}
    return TwoView(_view(size, changes, color_jitter=(0.4, 0.4, 0.4, 0.1), **fields))


def moco_v3(size: Size = 224, **changes: Any) -> TwoView:
    """MoCo v3: BYOL's views, resized bilinear.

    Args:
        size: side of the square output, or (height, width), in pixels.
        changes: fields of `View` to set in both views. The authors train ResNet-50 with
            ``scale=(0.2, 1)``.

    Returns:
        Both views.

    Source: Chen et al., "An Empirical Study of Training Self-Supervised Vision Transformers", ICCV
    2021; facebookresearch/moco-v3, ``main_moco.py``. Equal to lightly's `BYOLTransform`; lightly
    has no transform for MoCo v3.
    """
    return TwoView(*_byol_views(size, changes, interpolation="bilinear"))


def dino(size: Size = 224, local_size: Size = 96, local_views: int = 8, **changes: Any) -> Views:
    """DINO: two global views, blurred and solarized as BYOL's, and `local_views` of small parts.

    Args:
        size: side of the square global views, or (height, width), in pixels.
        local_size: likewise of the local views.
        local_views: how many; 8 in the authors' code, 10 in the paper's best runs, 6 in lightly.
        changes: fields of `View` to set in all views.

    Returns:
        The two global views, then the local ones.

    Source: Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", ICCV 2021;
    facebookresearch/dino, ``main_dino.py``. Equal to lightly's `DINOTransform` with
    as many local views.
    """
    first, second = _byol_views(size, changes, interpolation="bicubic", scale=(0.4, 1.0))
    fields = {"scale": (0.05, 0.4), "gaussian_blur_prob": 0.5}
    local = _view(local_size, changes, color_jitter=_BYOL_JITTER, **fields)
    return Views(first, second, *_count(local_views) * [local])


def swav(size: Size = 224, local_size: Size = 96, local_views: int = 6, **changes: Any) -> Views:
    """SwAV: two draws of a large view and `local_views` of small parts.

    Args:
        size: side of the square large views, or (height, width), in pixels.
        local_size: likewise of the small views.
        local_views: how many.
        changes: fields of `View` to set in all views.

    Returns:
        The two large views, then the small ones.

    Source: Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster
    Assignments", NeurIPS 2020, appendix; facebookresearch/swav, ``main_swav.py``, with the crops of
    ``scripts/swav_400ep_pretrain.sh``. Equal to lightly's `SwaVTransform`.
    """
    fields = {"color_jitter": (0.8, 0.8, 0.8, 0.2), "gaussian_blur_prob": 0.5}
    fields["interpolation"] = "bilinear"
    large = _view(size, changes, scale=(0.14, 1.0), **fields)
    small = _view(local_size, changes, scale=(0.05, 0.14), **fields)
    return Views(large, large, *_count(local_views) * [small])


def vicreg(size: Size = 224, **changes: Any) -> TwoView:
    """VICReg: BYOL's views made symmetric, so two draws of one view.

    Args:
        size: side of the square output, or (height, width), in pixels.
        changes: fields of `View` to set in both views.

    Returns:
        Both views.

    Source: Bardes et al., "VICReg", ICLR 2022, the appendix on data augmentation: blur with
    probability 0.5, then solarization with 0.1; facebookresearch/vicreg, ``augmentations.py``, for
    the bicubic resize.
    lightly's `VICRegTransform` resizes bilinear and solarizes before the blur.
    """
    fields = {"gaussian_blur_prob": 0.5, "solarize_prob": 0.1}
    return TwoView(_view(size, changes, color_jitter=_BYOL_JITTER, **fields))


def _count(local_views: object) -> int:
    return check_unsigned("local_views", local_views, 16, most=1000)


def _byol_views(size: Size, changes: dict[str, Any], **fields: Any) -> tuple[View, View]:
    fields["color_jitter"] = _BYOL_JITTER
    first = _view(size, changes, gaussian_blur_prob=1.0, **fields)
    second = _view(size, changes, gaussian_blur_prob=0.1, solarize_prob=0.2, **fields)
    return first, second


def _view(size: Size, changes: dict[str, Any], **fields: Any) -> View:
    """A view with what all methods have in common, then `fields`, then the user's `changes`."""
    common: dict[str, Any] = {
        "scale": (0.08, 1.0),
        "interpolation": "bicubic",
        "color_jitter_prob": 0.8,
        "grayscale_prob": 0.2,
        "gaussian_blur_kernel": None,
    }
    fields = common | fields | changes
    # `View` refuses a field that has no effect. One of the user's own is left for it to refuse.
    for needed, name in (
        ("gaussian_blur_prob", "gaussian_blur_kernel"),
        ("color_jitter", "color_jitter_prob"),
    ):
        if not fields[needed] and name not in changes:
            del fields[name]
    return View(size, **fields)
