"""Tied-SAM: ``python tied_sam.py FOLDER``, one folder per class.

Sharpness-aware minimisation (Foret et al., ICLR 2021) of the tied loss. The first gradient g gives
the weights ``w + rho * g / ||g||`` near w where the loss is highest; the gradient there updates w.
Each of the two gradients can be that of the whole loss or of one of its two terms (Tied-Augment,
ICML 2023).
"""

import sys
from collections.abc import Callable

import timm
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from tied_augment import Normalize, TiedDataset, TiedLoss, TiedModel, TwoView, View

NO_SUPERVISION = TiedLoss(lambda logits, _target: logits.sum() * 0, tied_weight=1.0)


def sam_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    first_loss: Callable[[], Tensor],
    second_loss: Callable[[], Tensor],
    rho: float = 0.05,
) -> None:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(first_loss(), parameters, allow_unused=True)
    norms = [gradient.norm() for gradient in gradients if gradient is not None]
    scale = rho / torch.stack(norms).norm().clamp_min(1e-12)
    saved = [parameter.detach().clone() for parameter in parameters]
    # The first forward has updated BatchNorm's statistics; the second must not do so again.
    buffers = [buffer.clone() for buffer in model.buffers()]
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                parameter.add_(gradient * scale)
    optimizer.zero_grad()
    second_loss().backward()
    with torch.no_grad():
        for parameter, value in zip(parameters, saved, strict=True):
            parameter.copy_(value)
        for buffer, value in zip(model.buffers(), buffers, strict=True):
            buffer.copy_(value)
    optimizer.step()


def main(folder: str, epochs: int = 2, size: int = 64, batch_size: int = 16) -> None:
    images = ImageFolder(folder)
    dataset = TiedDataset(images, TwoView(View(size, scale=(0.3, 1.0))), threads=None)
    loader = DataLoader(dataset, batch_size, shuffle=True)
    plain = timm.create_model("resnet10t", num_classes=len(images.classes))
    model = TiedModel(plain, normalize=Normalize.from_model(plain))
    criterion = TiedLoss(tied_weight=1.0)
    first = criterion  # or TiedLoss(tied_weight=0.0), or NO_SUPERVISION: the similarity alone
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)

    for epoch in range(epochs):
        dataset.set_epoch(epoch)
        model.train()
        for views, target in loader:
            batch = torch.cat(views)

            def loss_of(loss: TiedLoss, batch: Tensor = batch, target: Tensor = target) -> Tensor:
                return loss(*model(batch), target)  # type: ignore[no-any-return]

            sam_step(model, optimizer, lambda: loss_of(first), lambda: loss_of(criterion))
        print(f"epoch {epoch}:", *(f"{name} {value:.4f}" for name, value in criterion.last.items()))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
