"""Tied training with three views: ``python three_views.py FOLDER``, one folder per class.

Two draws of a strong policy and one of a weak view, from one decode. The similarity is the mean
over the three pairs, and the labels of all views count alike.
"""

import sys

import timm
import torch

from tied_augment import TiedLoader, TiedLoss, TiedModel, View, Views


def main(folder: str, epochs: int = 5, size: int = 64, batch_size: int = 20) -> None:
    torch.manual_seed(0)
    strong = View(size, scale=(0.3, 1.0), auto_augment="rand-m9-mstd0.5-inc1")
    weak = View(size, scale=(0.6, 1.0))
    views = Views(strong, strong, weak)
    loader = TiedLoader(folder, views, batch_size, shuffle=True, seed=0, output="float32")
    classes = len(loader.dataset.classes)
    model = TiedModel(timm.create_model("resnet10t", num_classes=classes), num_views=3)
    criterion = TiedLoss(tied_weight=1.0, num_views=3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    for epoch in range(epochs):
        model.train()
        losses = []
        for images, target in loader:  # normalised, (3, B, 3, size, size)
            logits, features = model(images)
            loss = criterion(logits, features, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(f"epoch {epoch}: loss {sum(losses) / len(losses):.4f}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
