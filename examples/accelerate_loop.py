"""Tied training with Hugging Face Accelerate: ``accelerate launch accelerate_loop.py FOLDER``."""

import sys

import timm
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from tied_augment import Normalize, TiedDataset, TiedLoss, TiedModel, TwoView, View


def main(folder: str, epochs: int = 2, size: int = 64, batch_size: int = 16) -> None:
    accelerator = Accelerator()
    images = ImageFolder(folder)
    dataset = TiedDataset(images, TwoView(View(size, scale=(0.3, 1.0))), threads=None)
    plain = timm.create_model("resnet10t", num_classes=len(images.classes))
    model = TiedModel(plain, normalize=Normalize.from_model(plain))
    criterion = TiedLoss(tied_weight=1.0)
    model, optimizer, loader = accelerator.prepare(
        model,
        torch.optim.AdamW(model.parameters(), lr=1e-3),
        DataLoader(dataset, batch_size, shuffle=True),
    )

    for epoch in range(epochs):
        loader.set_epoch(epoch)  # the prepared loader tells the data set
        model.train()
        for views, target in loader:
            logits, features = model(views)
            loss = criterion(logits, features, target)
            optimizer.zero_grad()
            accelerator.backward(loss)
            optimizer.step()
        accelerator.print(f"epoch {epoch}: loss {criterion.last['loss']:.4f}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
