"""Tied training with Hugging Face's Trainer: ``python transformers_trainer.py FOLDER``."""

import sys
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate
from torchvision.datasets import ImageFolder
from transformers import Trainer, TrainingArguments, ViTConfig, ViTForImageClassification

from tied_augment import Normalize, TiedDataset, TiedLoss, TwoView, View


class TiedTrainer(Trainer):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.criterion = TiedLoss(tied_weight=1.0)
        self.normalize = Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

    def compute_loss(
        self, model: torch.nn.Module, inputs: dict[str, Any], *_: Any, **__: Any
    ) -> Tensor:
        images = torch.cat(inputs["views"])  # both views in one forward pass
        output = model(self.normalize(images), output_hidden_states=True)
        features = output.hidden_states[-1][:, 0]  # of the class token
        loss: Tensor = self.criterion(output.logits, features, inputs["labels"])
        return loss


def collate(items: list[Any]) -> dict[str, Any]:
    views, labels = default_collate(items)
    return {"views": views, "labels": labels}


def main(folder: str, epochs: int = 2, size: int = 64, batch_size: int = 16) -> None:
    images = ImageFolder(folder)
    # The Trainer calls its set_epoch.
    dataset = TiedDataset(images, TwoView(View(size, scale=(0.3, 1.0))), seed=0)
    config = ViTConfig(
        image_size=size,
        patch_size=16,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=3,
        id2label=dict(enumerate(images.classes)),
    )
    arguments = TrainingArguments(
        "vit",
        num_train_epochs=epochs,
        per_device_train_batch_size=batch_size,
        learning_rate=1e-3,
        dataloader_num_workers=2,
        remove_unused_columns=False,  # the items are not dicts of the model's arguments
        report_to="none",
    )
    trainer = TiedTrainer(
        ViTForImageClassification(config), arguments, collate, train_dataset=dataset
    )
    loss = trainer.train().training_loss
    print(f"epoch {epochs - 1}: loss {loss:.4f}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
