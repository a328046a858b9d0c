"""Fine-tune a timm model with tied views: ``python finetune.py FOLDER``, one folder per class.

``--no-pretrained`` starts from random weights and needs no network.
"""

import argparse

import timm
import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from tied_augment import Normalize, TiedDataset, TiedLoss, TiedModel, TwoView, View
from tied_augment.loss import Schedule


def main(
    folder: str,
    model_name: str = "resnet18",
    pretrained: bool = True,
    epochs: int = 5,
    size: int = 224,
    batch_size: int = 32,
    tied_weight: float = 1.0,
) -> None:
    images = ImageFolder(folder)
    dataset = TiedDataset(images, TwoView(View(size, scale=(0.3, 1.0))), threads=None)
    loader = DataLoader(dataset, batch_size, shuffle=True, drop_last=len(dataset) > batch_size)
    classes = len(images.classes)
    plain = timm.create_model(model_name, pretrained=pretrained, num_classes=classes)
    model = TiedModel(plain, normalize=Normalize.from_model(plain))

    # The new head starts at random, so the weight of the similarity is warmed up.
    schedule = Schedule("warmup", epochs * len(loader))
    criterion = TiedLoss(tied_weight=tied_weight, label_smoothing=0.1, schedule=schedule)
    head = {id(parameter) for parameter in model.get_classifier().parameters()}
    groups = [
        {"params": [p for p in model.parameters() if id(p) not in head], "lr": 1e-4},
        {"params": [p for p in model.parameters() if id(p) in head], "lr": 1e-3},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.05)

    for epoch in range(epochs):
        dataset.set_epoch(epoch)
        model.train()
        for views, target in loader:
            logits, features = model(views)
            loss = criterion(logits, features, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}:", *(f"{name} {value:.4f}" for name, value in criterion.last.items()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--no-pretrained", dest="pretrained", action="store_false")
    arguments = parser.parse_args()
    main(arguments.folder, arguments.model, arguments.pretrained)
