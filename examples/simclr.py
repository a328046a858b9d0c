"""SimCLR on your CPU: ``python simclr.py FOLDER``, an image folder; its labels are not used.

Without images of your own: ``python benches/photos.py photos --count 200``, then this with
``photos``. It takes half a minute on two cores. Needs lightly for the loss and the projection
head.

The two views of an image must be nearer to each other than to the views of all other images of the
batch. Chance is log(2 * batch_size - 1).
"""

import math
import sys

import timm
import torch
from lightly.loss import NTXentLoss
from lightly.models.modules import SimCLRProjectionHead
from torch import nn

from tied_augment import TiedLoader, presets


def main(folder: str, epochs: int = 10, size: int = 64, batch_size: int = 40) -> None:
    torch.manual_seed(0)
    views = presets.simclr(size, strength=0.5)
    loader = TiedLoader(
        folder, views, batch_size, shuffle=True, drop_last=True, seed=0, output="float32"
    )
    backbone = timm.create_model("resnet10t", num_classes=0)
    width = backbone.num_features
    model = nn.Sequential(backbone, SimCLRProjectionHead(width, width, 128))
    criterion = NTXentLoss(temperature=0.2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    print(f"by chance the loss would be {math.log(2 * batch_size - 1):.4f}")
    for epoch in range(epochs):
        losses = []
        for (first, second), _ in loader:  # normalised, (B, 3, size, size) each
            # One forward for both, so that BatchNorm sees them together.
            projected = model(torch.cat([first, second]))
            loss = criterion(*projected.chunk(2))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(f"epoch {epoch}: loss {sum(losses) / len(losses):.4f}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
