"""Views as a transform: ``python transform.py FOLDER``, one folder per class.

For data sets that call a transform with an image and without an index, as torchvision's do. Where
samples are dicts (Hugging Face's ``with_transform``, webdataset's ``map``), call the views on the
image within: ``lambda sample: sample | {"image": views(sample["image"])}``.

Every call is a new draw from torch's random state. For a data set with indices ``TiedDataset``
(custom_loop.py) is faster, and its views depend on (seed, epoch, index) only.
"""

import sys

import timm
import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from tied_augment import TiedLoss, TiedModel, TwoView, View


def main(folder: str, epochs: int = 2, size: int = 64, batch_size: int = 16) -> None:
    torch.manual_seed(0)  # makes the run repeatable, with its workers
    images = ImageFolder(folder, transform=TwoView(View(size, auto_augment="rand-m9-mstd0.5")))
    loader = DataLoader(images, batch_size, shuffle=True, num_workers=1)
    model = TiedModel(timm.create_model("resnet10t", num_classes=len(images.classes)))
    criterion = TiedLoss(tied_weight=1.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    for epoch in range(epochs):
        model.train()
        for (first, second), target in loader:  # uint8, (B, 3, size, size) each
            logits, features = model([view / 127.5 - 1 for view in (first, second)])
            loss = criterion(logits, features, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: loss {loss.item():.4f}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
