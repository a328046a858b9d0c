"""Tied-FixMatch: ``python tied_fixmatch.py FOLDER``, one folder per class, few labels.

In FixMatch (Sohn et al., NeurIPS 2020) the confident predictions for a weak view are the labels of
a strong view of the same image. Tied-FixMatch also ties the features of these two views: of all
images or, with `mask_similarity`, of those with confident predictions.

    loss = CE(labelled) + lambda * CE(strong, labels from weak) + w * distance(weak, strong)
"""

import sys

import timm
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler, Subset
from torchvision.datasets import ImageFolder

from tied_augment import Normalize, TiedDataset, TiedModel, TwoView, View


def fixmatch_loss(
    logits: Tensor,
    features: Tensor,
    target: Tensor,
    threshold: float = 0.95,
    unlabelled_weight: float = 1.0,
    tied_weight: float = 1.0,
    mask_similarity: bool = False,
) -> Tensor:
    """The loss of a batch with rows in the order labelled, weak, strong.

    Rows i of weak and of strong are views of one image.
    """
    labelled = len(target)
    weak, strong = logits[labelled:].chunk(2)
    # The features are split like the logits: another order would tie unrelated images.
    weak_features, strong_features = features[labelled:].chunk(2)
    confidence, guess = weak.detach().softmax(dim=1).max(dim=1)
    sure = confidence >= threshold
    unlabelled = F.cross_entropy(strong, guess, reduction="none") * sure
    supervised = F.cross_entropy(logits[:labelled], target)
    tie = (weak_features - strong_features).square().mean(dim=1)
    tie = tie * sure if mask_similarity else tie
    return supervised + unlabelled_weight * unlabelled.mean() + tied_weight * tie.mean()


def main(
    folder: str, labels_per_class: int = 2, epochs: int = 2, size: int = 64, batch_size: int = 4
) -> None:
    images = ImageFolder(folder)
    classes = range(len(images.classes))
    known = [[i for i, label in enumerate(images.targets) if label == c] for c in classes]
    few = Subset(images, [i for indices in known for i in indices[:labels_per_class]])
    weak = View(size, scale=(0.6, 1.0))
    strong = View(size, scale=(0.6, 1.0), auto_augment="rand-m10-n2-inc1")  # FixMatch's n and m
    labelled = TiedDataset(few, TwoView(weak), threads=None)
    unlabelled = TiedDataset(images, TwoView(weak, strong), threads=None)
    plain = timm.create_model("resnet10t", num_classes=len(images.classes))
    model = TiedModel(plain, normalize=Normalize.from_model(plain))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    # An epoch is one pass over all images; those with labels are repeated.
    sampler = RandomSampler(labelled, replacement=True, num_samples=len(images))
    with_labels = DataLoader(labelled, batch_size, sampler=sampler)
    without = DataLoader(unlabelled, batch_size, shuffle=True)
    for epoch in range(epochs):
        # `labelled` has no epoch: repeats of an image in one epoch then have different views.
        unlabelled.set_epoch(epoch)
        model.train()
        for ((first, _), target), ((weak_view, strong_view), _) in zip(
            with_labels, without, strict=True
        ):
            batch = torch.cat([first, weak_view, strong_view])
            # One forward for all three, so that BatchNorm sees them together.
            logits, features = model(batch)
            loss = fixmatch_loss(logits, features, target, threshold=0.8)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: loss {loss.detach():.4f}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
