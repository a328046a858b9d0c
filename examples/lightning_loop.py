"""Tied training with Lightning: ``python lightning_loop.py FOLDER``, one folder per class."""

import sys

import lightning
import timm
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from tied_augment import Normalize, TiedDataset, TiedLoss, TiedModel, TwoView, View


class Tied(lightning.LightningModule):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        plain = timm.create_model("resnet10t", num_classes=num_classes)
        self.model = TiedModel(plain, normalize=Normalize.from_model(plain))
        self.criterion = TiedLoss(tied_weight=1.0)

    def training_step(self, batch: tuple[list[Tensor], Tensor], _index: int) -> Tensor:
        views, target = batch
        logits, features = self.model(views)
        loss: Tensor = self.criterion(logits, features, target)
        self.log_dict(self.criterion.last, prog_bar=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.model.parameters(), lr=1e-3)


def main(folder: str, epochs: int = 2, size: int = 64, batch_size: int = 16) -> None:
    images = ImageFolder(folder)
    # Lightning does not call set_epoch, so the views are drawn from torch's random state.
    dataset = TiedDataset(images, TwoView(View(size, scale=(0.3, 1.0))), threads=None)
    trainer = lightning.Trainer(max_epochs=epochs, logger=False, enable_checkpointing=False)
    trainer.fit(Tied(len(images.classes)), DataLoader(dataset, batch_size, shuffle=True))
    parts = {name: f"{value:.4f}" for name, value in trainer.callback_metrics.items()}
    print(f"epoch {epochs - 1}: {parts}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
