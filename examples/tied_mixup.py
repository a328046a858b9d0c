"""Tied-mixup: ``python tied_mixup.py FOLDER``, one folder per class.

View 1 and its labels are mixed, view 2 is clean. Before the features are compared, those of view 2
are mixed as the images of view 1 were.
"""

import sys

import timm
import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from tied_augment import Normalize, TiedDataset, TiedLoss, TiedModel, TwoView, View
from tied_augment.loss import TiedMixup


def main(folder: str, epochs: int = 2, size: int = 64, batch_size: int = 16) -> None:
    images = ImageFolder(folder)
    dataset = TiedDataset(images, TwoView(View(size, scale=(0.3, 1.0))), threads=None)
    loader = DataLoader(dataset, batch_size, shuffle=True)
    plain = timm.create_model("resnet10t", num_classes=len(images.classes))
    normalize = Normalize.from_model(plain)
    model = TiedModel(plain)
    mixup = TiedMixup(mixup_alpha=0.2, cutmix_alpha=1.0, num_classes=len(images.classes))
    criterion = TiedLoss(tied_weight=1.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    for epoch in range(epochs):
        dataset.set_epoch(epoch)
        model.train()
        for views, labels in loader:
            batch, target, mix = mixup([normalize(view) for view in views], labels)
            logits, features = model(batch)
            loss = criterion(logits, mix.features(features), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}:", *(f"{name} {value:.4f}" for name, value in criterion.last.items()))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
