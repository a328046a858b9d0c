"""DINO on your CPU: ``python dino.py FOLDER``, an image folder; its labels are not used.

Without images of your own: ``python benches/photos.py photos --count 200``, then this with
``photos``. It takes half a minute on two cores. Needs lightly for the loss and the projection
head.

A student sees two large and six small views of an image and must predict what a teacher, the
average of earlier students, makes of the large ones.
"""

import math
import sys

import timm
import torch
from lightly.loss import DINOLoss
from lightly.models.modules import DINOProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from torch import nn

from tied_augment import TiedLoader, presets

OUTPUTS = 256  # 65,536 in the paper


def network() -> nn.Module:
    backbone = timm.create_model("resnet10t", num_classes=0)
    head = DINOProjectionHead(backbone.num_features, 256, 64, OUTPUTS, batch_norm=True)
    return nn.Sequential(backbone, head)


def main(folder: str, epochs: int = 10, size: int = 64, batch_size: int = 25) -> None:
    torch.manual_seed(0)
    views = presets.dino(size, size // 2, local_views=6)
    # 'flat' gives one tensor per size, so that a network runs once for each.
    loader = TiedLoader(
        folder, views, batch_size, shuffle=True, drop_last=True, seed=0, output="float32",
        layout="flat",
    )  # fmt: skip
    student, teacher = network(), network()
    teacher.load_state_dict(student.state_dict())
    deactivate_requires_grad(teacher)
    criterion = DINOLoss(OUTPUTS, warmup_teacher_temp_epochs=0)
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-3)

    print(f"by chance the loss would be {math.log(OUTPUTS):.4f}")
    for epoch in range(epochs):
        losses = []
        for (large, small), _ in loader:  # (2B, 3, size, size), (6B, 3, size / 2, size / 2)
            update_momentum(student, teacher, m=0.99)
            expected = teacher(large).chunk(2)
            predicted = torch.cat([student(large), student(small)]).chunk(8)
            loss = criterion(list(expected), list(predicted))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(f"epoch {epoch}: loss {sum(losses) / len(losses):.4f}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
