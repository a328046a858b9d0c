"""Tied training on views that a Ray cluster makes: ``python ray_loop.py FOLDER``."""

import sys

import ray
import timm
import torch
from torchvision.datasets import ImageFolder

from tied_augment import Normalize, TiedLoss, TiedModel, TwoView, View
from tied_augment.ray import Augment, TorchBatches


def main(folder: str, epochs: int = 2, size: int = 64, batch_size: int = 16) -> None:
    images = ImageFolder(folder)
    # The index is that of the file, whatever the order and the node. All nodes read the paths.
    rows = [{"path": p, "label": t, "index": i} for i, (p, t) in enumerate(images.samples)]
    augment = Augment(TwoView(View(size, scale=(0.3, 1.0))), seed=0, image="path")
    dataset = ray.data.from_items(rows).map_batches(augment, batch_size=batch_size)
    plain = timm.create_model("resnet10t", num_classes=len(images.classes))
    model = TiedModel(plain, normalize=Normalize.from_model(plain))
    criterion = TiedLoss(tied_weight=1.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    batches = TorchBatches(dataset, batch_size, local_shuffle_buffer_size=4 * batch_size)
    for epoch in range(epochs):
        model.train()
        for views, target in batches:  # each pass has new views: Ray counts the epochs
            logits, features = model(views)
            loss = criterion(logits, features, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: loss {criterion.last['loss']:.4f}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
