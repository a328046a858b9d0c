"""Tied training in a plain PyTorch loop: ``python custom_loop.py FOLDER``, one folder per class."""

import sys

import timm
import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from tied_augment import Normalize, TiedDataset, TiedLoss, TiedModel, TwoView, View


def main(folder: str, epochs: int = 2, size: int = 64, batch_size: int = 16) -> None:
    images = ImageFolder(folder)
    dataset = TiedDataset(images, TwoView(View(size, scale=(0.3, 1.0))), seed=0, threads=None)
    loader = DataLoader(dataset, batch_size, shuffle=True)
    plain = timm.create_model("resnet10t", num_classes=len(images.classes))
    model = TiedModel(plain, normalize=Normalize.from_model(plain))
    criterion = TiedLoss(tied_weight=1.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    for epoch in range(epochs):
        dataset.set_epoch(epoch)  # the views depend on (seed, epoch, index) only
        model.train()
        for views, target in loader:
            logits, features = model(views)
            loss = criterion(logits, features, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        parts = ", ".join(f"{name} {value:.4f}" for name, value in criterion.last.items())
        print(f"epoch {epoch}: {parts}")

    torch.save(model.state_dict(), "model.pth")  # the keys are the plain timm model's


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
