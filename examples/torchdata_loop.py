"""Tied training that goes on where it stopped, with torchdata: ``python torchdata_loop.py FOLDER``.

Stop it and start it again in the same folder: it goes on after the last step that was saved.
"""

import os
import sys

import timm
import torch
from torchdata.stateful_dataloader import StatefulDataLoader
from torchvision.datasets import ImageFolder

from tied_augment import Normalize, TiedDataset, TiedLoss, TiedModel, TwoView, View


def main(
    folder: str, epochs: int = 2, size: int = 64, batch_size: int = 16, save_every: int = 2
) -> None:
    images = ImageFolder(folder)
    dataset = TiedDataset(images, TwoView(View(size, scale=(0.3, 1.0))), seed=0)
    loader = StatefulDataLoader(dataset, batch_size, shuffle=True, num_workers=2)
    plain = timm.create_model("resnet10t", num_classes=len(images.classes))
    model = TiedModel(plain, normalize=Normalize.from_model(plain))
    criterion = TiedLoss(tied_weight=1.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    first = 0
    if os.path.exists("checkpoint.pth"):
        saved = torch.load("checkpoint.pth")
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        loader.load_state_dict(saved["loader"])
        first = saved["epoch"]

    for epoch in range(first, epochs):
        dataset.set_epoch(epoch)  # the loader's state has the place in the epoch, not its number
        model.train()
        for step, (views, target) in enumerate(loader, 1):
            logits, features = model(views)
            loss = criterion(logits, features, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % save_every == 0:
                print(f"epoch {epoch}, step {step}: loss {loss.item():.4f}")
                save(model, optimizer, loader, epoch)
        save(model, optimizer, loader, epoch + 1)


def save(
    model: TiedModel, optimizer: torch.optim.Optimizer, loader: StatefulDataLoader, epoch: int
) -> None:
    parts = {"model": model, "optimizer": optimizer, "loader": loader}
    states = {name: part.state_dict() for name, part in parts.items()}
    torch.save(states | {"epoch": epoch}, "checkpoint.tmp")
    os.replace("checkpoint.tmp", "checkpoint.pth")  # a run that dies here leaves the old one


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
