"""Tied-RandAugment on CIFAR, by the recipe of the method's code: ``python cifar.py FOLDER``.

FOLDER has CIFAR as torchvision keeps it (``--download`` fetches it). It is meant for a GPU.
``--tied-weight 0`` is the same training untied, to compare with.

The recipe is that of ekurtulus/tied-augment, pytorch/supervised: both views cropped with 4 pixels
of padding, flipped, RandAugment with 2 ops of magnitude 14 as in torchvision, and Cutout of 16
pixels; a pass per view, cross entropy of both and the mse of the features before the classifier;
SGD with Nesterov momentum, a cosine rate from 0.1, weight decay 5e-4, batches of 128. The weight is
to be tuned: experiments.txt there tries 1 to 64 on 4,000 images of CIFAR-10, in 500 epochs
(``--images 4000 --epochs 500``).
"""

import argparse

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision import datasets

from tied_augment import ArrayDataset, Normalize, TiedLoader, TiedLoss, TiedModel, TwoView, View

# Images ``(N, 32, 32, 3)`` and their classes.
Labelled = tuple[NDArray[np.uint8], list[int]]
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


class Block(nn.Module):
    """Two 3 x 3 convolutions, each after BatchNorm and ReLU, and the way around them."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        changes = inputs != outputs
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.norm1(x))
        around = x if self.shortcut is None else self.shortcut(out)
        out = self.conv2(F.relu(self.norm2(self.conv1(out))))
        return torch.add(around, out)


def wide_resnet(depth: int, width: int, num_classes: int) -> nn.Sequential:
    """WRN-depth-width (Zagoruyko and Komodakis 2016) for images of 32 x 32; depth = 6 n + 4."""
    channels = 16
    layers: list[nn.Module] = [nn.Conv2d(3, channels, 3, 1, 1, bias=False)]
    for stage, stride in enumerate((1, 2, 2)):
        outputs = 16 * width * 2**stage
        for number in range((depth - 4) // 6):
            layers.append(Block(channels, outputs, 1 if number else stride))
            channels = outputs
    layers += [nn.BatchNorm2d(channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    model = nn.Sequential(*layers)
    model.add_module("classifier", nn.Linear(channels, num_classes))
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return model


def train(training: Labelled, held_out: Labelled, options: argparse.Namespace) -> float:
    """Train from scratch and return the accuracy on `held_out` in percent."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images, targets = training
    view = View(
        32,
        crop="pad",
        interpolation="bicubic",
        auto_augment=options.policy or None,
        cutout=options.cutout,
        mean=MEAN,
    )
    loader = TiedLoader(
        ArrayDataset(images, targets),
        TwoView(view),
        options.batch_size,
        shuffle=True,
        drop_last=True,
        seed=options.seed,
        pin_memory=device.type == "cuda",
    )
    torch.manual_seed(options.seed)
    plain = wide_resnet(options.depth, options.width, 1 + max(targets)).to(device)
    plain.to(memory_format=torch.channels_last)
    normalize = Normalize(MEAN, STD).to(device)
    model = TiedModel(plain, feature_module="classifier", normalize=normalize, forward="separate")
    criterion = TiedLoss(tied_weight=options.tied_weight, similarity=options.similarity)
    optimizer = torch.optim.SGD(
        plain.parameters(), 0.1, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.epochs * len(loader))
    half = torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")

    accuracy = 0.0
    for epoch in range(options.epochs):
        loader.set_epoch(epoch)
        model.train()
        for views, target in loader:
            with half:
                logits, features = model(views.to(device, non_blocking=True))
            loss = criterion(logits, features, target.to(device, non_blocking=True))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        accuracy = test(plain, normalize, held_out, device)
        parts = ", ".join(f"{name} {value:.4f}" for name, value in criterion.last.items())
        print(f"epoch {epoch}: {parts}, test {accuracy:.2f}%", flush=True)
    return accuracy


@torch.no_grad()
def test(plain: nn.Module, normalize: Normalize, held_out: Labelled, device: torch.device) -> float:
    images, targets = held_out
    plain.eval()
    batches = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).split(500)
    found = torch.cat([plain(normalize(batch.to(device))).argmax(1).cpu() for batch in batches])
    return 100 * (found == torch.tensor(targets)).float().mean().item()


def few_of(training: Labelled, count: int) -> Labelled:
    """The first `count` images, equally many of each class."""
    images, targets = training
    labels = np.array(targets)
    each = count // (1 + labels.max())
    kept = np.sort(np.concatenate([np.flatnonzero(labels == c)[:each] for c in np.unique(labels)]))
    return np.ascontiguousarray(images[kept]), labels[kept].tolist()


def parser() -> argparse.ArgumentParser:
    arguments = argparse.ArgumentParser(description=str(__doc__).split("\n\n")[0])
    arguments.add_argument("folder")
    arguments.add_argument("--download", action="store_true")
    arguments.add_argument("--classes", type=int, choices=(10, 100), default=10)
    arguments.add_argument("--images", type=int, help="train on so many only")
    arguments.add_argument("--depth", type=int, default=28)
    arguments.add_argument("--width", type=int, default=10)
    arguments.add_argument("--epochs", type=int, default=200)
    arguments.add_argument("--batch-size", type=int, default=128)
    arguments.add_argument("--policy", default="tv-rand-n2-m14", help="'' for none: Tied-CropFlip")
    arguments.add_argument("--cutout", type=int, default=16)
    arguments.add_argument("--similarity", default="mse")
    arguments.add_argument("--tied-weight", type=float, default=1.0)
    arguments.add_argument("--seed", type=int, default=0)
    return arguments


def main(*arguments: str) -> float:
    options = parser().parse_args(arguments or None)
    data = datasets.CIFAR10 if options.classes == 10 else datasets.CIFAR100
    parts = [data(options.folder, train=part, download=options.download) for part in (True, False)]
    training, held_out = ((part.data, part.targets) for part in parts)
    if options.images:
        training = few_of(training, options.images)
    return train(training, held_out, options)


if __name__ == "__main__":
    main()
