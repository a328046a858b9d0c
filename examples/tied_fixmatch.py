"""Tied-FixMatch: ``python tied_fixmatch.py FOLDER``, one folder a class, few labels.

FixMatch (Sohn et al., NeurIPS 2020): the confident predictions of a weak view label a strong view
of the same image. Tied-FixMatch also ties the features of these two views:

    loss = CE(labelled) + lambda * CE(strong, labels from weak) + w * distance(weak, strong)
"""

import sys

import timm
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import ImageFolder

from tied_augment import TiedDataset, TiedModel, TwoView, View
from tied_augment.loss import mse


def fixmatch_loss(
    logits: Tensor,
    features: Tensor,
    target: Tensor,
    threshold: float = 0.95,
    unlabelled_weight: float = 1.0,
    tied_weight: float = 1.0,
) -> Tensor:
    """Of rows in the order labelled, weak, strong; row i of weak and of strong are one image."""
    labelled = len(target)
    weak, strong = logits[labelled:].chunk(2)
    # Features are taken apart as the logits are: another order would tie unrelated images.
    weak_features, strong_features = features[labelled:].chunk(2)
    confidence, guess = weak.detach().softmax(dim=1).max(dim=1)
    unlabelled = F.cross_entropy(strong, guess, reduction="none") * (confidence >= threshold)
    supervised = F.cross_entropy(logits[:labelled], target)
    tie = mse(weak_features, strong_features)
    return supervised + unlabelled_weight * unlabelled.mean() + tied_weight * tie


def main(
    folder: str, labels_per_class: int = 2, epochs: int = 2, size: int = 64, batch_size: int = 4
) -> None:
    images = ImageFolder(folder)
    classes = range(len(images.classes))
    known = [[i for i, label in enumerate(images.targets) if label == c] for c in classes]
    few = Subset(images, [i for indices in known for i in indices[:labels_per_class]])
    weak, strong = View(size, scale=(0.6, 1.0)), View(size, scale=(0.1, 1.0), vflip=0.5)
    labelled = TiedDataset(few, TwoView(weak), threads=None)
    unlabelled = TiedDataset(images, TwoView(weak, strong), threads=None)
    model = TiedModel(timm.create_model("resnet10t", num_classes=len(images.classes)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    mean = torch.tensor(model.default_cfg["mean"]).view(3, 1, 1) * 255
    std = torch.tensor(model.default_cfg["std"]).view(3, 1, 1) * 255

    for epoch in range(epochs):
        labelled.set_epoch(epoch)
        unlabelled.set_epoch(epoch)
        with_labels = DataLoader(labelled, batch_size, shuffle=True)
        without = DataLoader(unlabelled, batch_size, shuffle=True)
        model.train()
        for ((first, _), target), ((weak_view, strong_view), _) in zip(
            with_labels, without, strict=False
        ):
            batch = torch.cat([first, weak_view, strong_view])
            # One forward for all three, so that BatchNorm sees them together.
            logits, features = model((batch - mean) / std)
            loss = fixmatch_loss(logits, features, target, threshold=0.8)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: loss {loss.detach():.4f}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
