"""Tied training with a LightningDataModule: ``python lightning_datamodule.py TRAIN VALIDATION``.

Each folder has one folder per class. ``trainer.fit(..., ckpt_path=...)`` goes on with the next
epoch, or in the middle of one: Lightning saves the loader's place with the model.
"""

import sys
from typing import Any

import lightning
import timm
import torch
import torch.nn.functional as F
from torch import Tensor

from tied_augment import Normalize, TiedLoader, TiedLoss, TiedModel, TwoView, View


class Photos(lightning.LightningDataModule):
    def __init__(self, train: str, validation: str, size: int, batch_size: int) -> None:
        super().__init__()
        self.train, self.validation = train, validation
        self.size, self.batch_size = size, batch_size
        self.epoch = 0

    def train_dataloader(self) -> TiedLoader:
        # It gives each process its part of the epoch, and counts the epochs.
        views = TwoView(View(self.size, scale=(0.3, 1.0)))
        loader = TiedLoader(self.train, views, self.batch_size, shuffle=True, seed=0)
        loader.set_epoch(self.epoch)
        return loader

    def val_dataloader(self) -> TiedLoader:
        return TiedLoader(self.validation, View.eval(self.size), self.batch_size)

    def state_dict(self) -> dict[str, Any]:
        # Lightning does not load the loader's own state if the epoch had ended.
        assert self.trainer is not None
        progress = self.trainer.fit_loop.epoch_progress.current
        return {"epoch": progress.processed}  # type: ignore[attr-defined]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epoch = state_dict["epoch"]


class Tied(lightning.LightningModule):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        plain = timm.create_model("resnet10t", num_classes=num_classes)
        self.model = TiedModel(plain, normalize=Normalize.from_model(plain))
        self.criterion = TiedLoss(tied_weight=1.0)

    def training_step(self, batch: tuple[Tensor, Tensor], _index: int) -> Tensor:
        views, target = batch
        logits, features = self.model(views)
        loss: Tensor = self.criterion(logits, features, target)
        self.log("loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], _index: int) -> None:
        images, target = batch
        logits = self.model(images)
        self.log("val_loss", F.cross_entropy(logits, target), batch_size=len(target))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def main(
    train: str, validation: str, epochs: int = 2, size: int = 64, batch_size: int = 16
) -> None:
    photos = Photos(train, validation, size, batch_size)
    classes = len(photos.train_dataloader().dataset.classes)  # of torchvision's ImageFolder
    trainer = lightning.Trainer(max_epochs=epochs, logger=False)
    trainer.fit(Tied(classes), datamodule=photos)
    parts = {name: f"{value:.4f}" for name, value in trainer.callback_metrics.items()}
    print(f"epoch {epochs - 1}: {parts}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
