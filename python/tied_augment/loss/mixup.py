"""Tied-mixup and Tied-CutMix for custom training loops.

View 1 is mixed with the reversed batch, and the other views stay clean. Before the views are
compared, the *features* of the clean views are mixed with the shares and partners of view 1's
images. A model that is linear from images to features then has equal features for equal views.

Random numbers come from a numpy generator that the object owns. torch's and numpy's global
generators are neither used nor changed. May import torch, numpy and the checks.

Source: the reference's Flax code (mixup); timm 1.0.31 `timm.data.Mixup` for the arguments, modes
and boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tied_augment.arguments import check_int, check_name, check_number, described
from tied_augment.loss.checks import one_hot

_MODES = ("batch", "pair", "elem")


@dataclass(frozen=True)
class Mix:
    """How `TiedMixup` mixed one batch.

    Attributes:
        lam: ``(B,)`` float32, the share of itself that each sample kept in view 1.
        num_views: V, views of each sample.
    """

    lam: Tensor
    num_views: int = 2

    def features(self, features: Tensor) -> Tensor:
        """Mix the clean views of ``(V * B, D)`` features as view 1 of the images was mixed.

        Returns:
            ``(V * B, D)`` in the dtype of `features`; view 1 is unchanged.

        Raises:
            TypeError: `features` is not a tensor.
            ValueError: `features` does not have the batch's V * B rows.
        """
        count = self.num_views
        if not isinstance(features, Tensor):
            raise TypeError(
                f"features must be a ({count}B, D) tensor, got {described(features)}: of several "
                "layers mix each"
            )
        if features.shape[0] != count * len(self.lam):
            raise ValueError(
                f"features must have the batch's {count}B={count * len(self.lam)} rows, "
                f"got shape {tuple(features.shape)}"
            )
        return mix_clean_views(features, self.lam)


def mix_clean_views(features: Tensor, lam: Tensor) -> Tensor:
    """``(V * B, D)`` features with all views but the first mixed by `lam`, B shares."""
    first, *clean = features.split(len(lam))
    return torch.cat((first, *(_blend(view, lam) for view in clean)))


class TiedMixup:
    """Mixes view 1 of a batch, and says how to mix the features of the other views.

    ::

        images, target, mix = mixup(images, target)
        logits, features = model(images)
        loss = criterion(logits, mix.features(features), target)

    Args:
        mixup_alpha: the share is drawn from Beta(alpha, alpha), alpha at least 0; 0 is no mixup.
        cutmix_alpha: likewise for CutMix; 0 is no CutMix.
        prob: in [0, 1], the probability of mixing; it is drawn as often as `mode` says.
        switch_prob: in [0, 1], the probability of CutMix if both alphas are above 0.
        mode: ``'batch'`` draws once per batch, ``'elem'`` once per sample, and ``'pair'`` once per
            two samples that are mixed with each other (B must be even).
        label_smoothing: in [0, 1], of the targets of all views.
        num_classes: C, at least 1.
        seed: of the generator, at least 0.
        num_views: V, views of each sample, at least 2.

    Raises:
        TypeError: an argument has a wrong type.
        ValueError: the mode is unknown, or a number is out of range.
    """

    def __init__(
        self,
        mixup_alpha: float = 1.0,
        cutmix_alpha: float = 0.0,
        prob: float = 1.0,
        switch_prob: float = 0.5,
        mode: str = "batch",
        label_smoothing: float = 0.1,
        num_classes: int = 1000,
        seed: int = 0,
        num_views: int = 2,
    ) -> None:
        check_name("mode", mode, _MODES)
        check_int("num_classes", num_classes, 1)
        check_int("seed", seed, 0)
        check_int("num_views", num_views, 2)
        self.mixup_alpha = check_number("mixup_alpha", mixup_alpha, 0)
        self.cutmix_alpha = check_number("cutmix_alpha", cutmix_alpha, 0)
        if mixup_alpha + cutmix_alpha == 0:
            raise ValueError("mixup_alpha or cutmix_alpha must be above 0, got 0 for both")
        self.prob = check_number("prob", prob, 0, 1)
        self.switch_prob = check_number("switch_prob", switch_prob, 0, 1)
        self.mode = mode
        self.label_smoothing = check_number("label_smoothing", label_smoothing, 0, 1)
        self.num_classes = num_classes
        self.num_views = num_views
        self._random = np.random.default_rng(seed)

    def __call__(
        self, images: Tensor | Sequence[Tensor], target: Tensor
    ) -> tuple[Tensor, Tensor, Mix]:
        """Mix one batch.

        Args:
            images: floating; ``(V * B, c, h, w)`` view-major, ``(V, B, c, h, w)``, or a list of V
                ``(B, c, h, w)``.
            target: class indices ``(B,)``, all in [0, num_classes). Images without a label (-100)
                cannot be mixed with others.

        Returns:
            ``(images, targets, mix)``: images ``(V * B, c, h, w)``, soft targets
            ``(V * B, num_classes)`` float32, mixed for view 1 and clean for the others, and the
            `Mix` for the features.

        Raises:
            TypeError: an argument is not a tensor, or the images are not floating.
            ValueError: the shapes do not fit, the targets are not class indices or are out of
                range, or B is odd with ``mode='pair'``.
        """
        first, *others = _views(images, self.num_views)
        batch, _, height, width = first.shape
        if not isinstance(target, Tensor):
            raise TypeError(f"target must be a tensor, got {described(target)}")
        indices = not target.is_floating_point() and target.dtype != torch.bool
        if not indices or target.shape != (batch,):
            raise ValueError(
                f"target must be class indices (B,) = ({batch},), got {target.dtype} of shape "
                f"{tuple(target.shape)}"
            )
        if self.mode == "pair" and batch % 2:
            raise ValueError(f"mode='pair' needs an even batch, got {batch} samples")
        shares, boxes = self._draw(batch, height, width)
        device = first.device
        lam = torch.from_numpy(shares.astype(np.float32)).to(device, non_blocking=True)
        if boxes.any():
            inside = _inside(torch.from_numpy(boxes).to(device, non_blocking=True), height, width)
            cut = (inside.flatten(1).any(1))[:, None, None, None]
            mixed = torch.where(cut, first.flip(0).where(inside, first), _blend(first, lam))
        else:
            mixed = _blend(first, lam)
        clean = one_hot(target, self.num_classes).float()
        clean = clean * (1 - self.label_smoothing) + self.label_smoothing / self.num_classes
        targets = torch.cat((_blend(clean, lam), *[clean] * len(others)))
        return torch.cat((mixed, *others)), targets, Mix(lam, self.num_views)

    def state_dict(self) -> dict[str, Any]:
        """The state of the generator, for `load_state_dict`."""
        return {"random": self._random.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Draw what the `TiedMixup` that `state` came from would draw next.

        Raises:
            ValueError: `state` is not from `state_dict`.
        """
        if "random" not in state:
            raise ValueError(f"state must be of TiedMixup.state_dict(), got the keys {[*state]}")
        self._random.bit_generator.state = state["random"]

    def __repr__(self) -> str:
        names = ("mixup_alpha", "cutmix_alpha", "prob", "switch_prob", "mode", "label_smoothing")
        last = ("num_classes", "num_views")
        given = ", ".join(f"{name}={getattr(self, name)!r}" for name in (*names, *last))
        return f"TiedMixup({given})"

    def _draw(self, batch: int, height: int, width: int) -> tuple[Any, Any]:
        """Draw shares ``(B,)`` and boxes ``(B, 4)``: top, bottom, left, right; 0 if not cut."""
        draws = {"batch": 1, "pair": batch // 2, "elem": batch}[self.mode]
        shares, boxes = np.ones(draws), np.zeros((draws, 4), dtype=np.int64)
        for index in range(draws):
            if self._random.random() >= self.prob:
                continue
            both = self.mixup_alpha > 0 and self.cutmix_alpha > 0
            cut = self.mixup_alpha == 0 or (both and self._random.random() < self.switch_prob)
            alpha = self.cutmix_alpha if cut else self.mixup_alpha
            shares[index] = self._random.beta(alpha, alpha)
            if cut:
                boxes[index] = self._box(shares[index], height, width)
                top, bottom, left, right = boxes[index]
                # The box may have been clipped at the border.
                shares[index] = 1 - (bottom - top) * (right - left) / (height * width)
        if self.mode == "batch":
            return shares.repeat(batch), boxes.repeat(batch, axis=0)
        if self.mode == "pair":  # sample i is mixed with sample B - 1 - i
            return np.concatenate((shares, shares[::-1])), np.concatenate((boxes, boxes[::-1]))
        return shares, boxes

    def _box(self, share: float, height: int, width: int) -> tuple[int, int, int, int]:
        """Draw a box of the area ``1 - share`` around any pixel: `rand_bbox` of timm 1.0.31."""
        ratio = np.sqrt(1 - share)
        tall, wide = int(height * ratio), int(width * ratio)
        y, x = self._random.integers(height), self._random.integers(width)
        top, bottom = np.clip((y - tall // 2, y + (tall + 1) // 2), 0, height)
        left, right = np.clip((x - wide // 2, x + (wide + 1) // 2), 0, width)
        return int(top), int(bottom), int(left), int(right)


def _views(images: Tensor | Sequence[Tensor], count: int) -> Sequence[Tensor]:
    """The views of a batch, `count` of one shape ``(B, c, h, w)``."""
    if isinstance(images, Tensor):
        views: Sequence[Tensor] = images.unbind(0) if images.ndim == 5 else images.chunk(count)
    elif isinstance(images, list | tuple) and all(isinstance(view, Tensor) for view in images):
        views = images
    else:
        raise TypeError(f"images must be a tensor, or a list of {count}, got {described(images)}")
    if len(views) != count or views[0].ndim != 4 or len({view.shape for view in views}) > 1:
        raise ValueError(
            f"images must be num_views={count} views of one shape: ({count}B, c, h, w), "
            f"({count}, B, c, h, w) or a list of {count}, got the shapes "
            f"{[tuple(view.shape) for view in views]}"
        )
    if not views[0].is_floating_point():
        raise TypeError(
            f"images must be floating (normalised) to be mixed, got {views[0].dtype}: use "
            "TiedLoader(..., output='float32'), or Normalize(mean, std) of each view"
        )
    return views


def _blend(values: Tensor, lam: Tensor) -> Tensor:
    """``lam * values + (1 - lam) * values reversed``, per row, in the dtype of `values`."""
    lam = lam.to(values.dtype).reshape(-1, *(1,) * (values.ndim - 1))
    return lam * values + (1 - lam) * values.flip(0)


def _inside(boxes: Tensor, height: int, width: int) -> Tensor:
    """The boxes as masks ``(B, 1, h, w)``."""
    rows = torch.arange(height, device=boxes.device)[None, :, None]
    columns = torch.arange(width, device=boxes.device)[None, None, :]
    top, bottom, left, right = boxes[:, :, None, None].unbind(1)
    inside = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
    return inside[:, None]
