"""Train a small residual network on 1,797 handwritten digits of 8 x 8 pixels: an ordinary PyTorch program.

python digits.py [--epochs 12] [--seed 0] [--out digits.pth] [--steps-log steps.jsonl]
"""

import argparse
import gzip
import json
import sys
import time
from pathlib import Path

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

HERE = Path(__file__).resolve().parent


class Block(nn.Module):
    """Two 3x3 convolutions around a shortcut; the shortcut is a 1x1 convolution where the shape changes."""

    def __init__(self, inputs, outputs, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        if stride == 1 and inputs == outputs:
            self.shortcut = nn.Identity()
        else:
            projection = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class DigitNet(nn.Module):
    """A stem, three residual blocks (16, 32 and 32 channels) and a linear classifier."""

    def __init__(self, classes=10):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(Block(16, 16), Block(16, 32, stride=2), Block(32, 32))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(32, classes)

    def forward(self, x):
        return self.head(torch.flatten(self.pool(self.blocks(self.stem(x))), 1))


def load_digits(path=HERE / "digits.csv.gz"):
    """Images in [0, 1], shape (1797, 1, 8, 8), and their labels."""
    with gzip.open(path, "rt") as file:
        rows = [[int(number) for number in line.split(",")] for line in file]
    table = torch.tensor(rows)
    images = table[:, :64].reshape(-1, 1, 8, 8).float() / 16
    return images, table[:, 64]


class Progress:
    """A bar that redraws itself on a terminal; silent where the output is piped."""

    def __init__(self, total, width=30):
        self.total, self.width, self.shown = total, width, sys.stdout.isatty()

    def update(self, done, loss):
        if self.shown:
            filled = self.width * done // self.total
            bar = "#" * filled + "-" * (self.width - filled)
            print(f"\r  [{bar}] {done}/{self.total}  loss {loss:.4f}", end="", flush=True)

    def close(self):
        if self.shown:
            print("\r\033[K", end="")


def train_epoch(model, loader, criterion, optimizer, steps):
    """One pass over the training set; notes every step in the list ``steps`` and returns the mean loss."""
    model.train()
    total, seen = 0.0, 0
    progress = Progress(len(loader))
    for step, (images, labels) in enumerate(loader, start=1):
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        value = loss.item()
        total += value * len(labels)
        seen += len(labels)
        steps.append({"loss": value, "labels": labels.tolist()})
        progress.update(step, value)
    progress.close()
    return total / seen


@torch.no_grad()
def evaluate(model, loader):
    """The share of images classified correctly."""
    model.eval()
    right = sum((model(images).argmax(dim=1) == labels).sum().item() for images, labels in loader)
    return right / len(loader.dataset)


def main():
    parser = argparse.ArgumentParser(description="Train a small residual network on handwritten digits.")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("digits.pth"), help="where to save the trained weights")
    parser.add_argument("--save-initial", type=Path, help="also save the weights before the first step")
    parser.add_argument("--steps-log", type=Path, help="write each step's loss and labels to this file as JSON lines")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    images, labels = load_digits()
    order = torch.randperm(len(images))
    train, test = order[:1437], order[1437:]
    train_loader = DataLoader(TensorDataset(images[train], labels[train]), batch_size=args.batch_size, shuffle=True)
    test_loader = DataLoader(TensorDataset(images[test], labels[test]), batch_size=256)

    model = DigitNet()
    if args.save_initial:
        torch.save(model.state_dict(), args.save_initial)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, weight_decay=5e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=args.epochs)

    parameters = sum(p.numel() for p in model.parameters())
    print(f"{len(train)} training images, {len(test)} test images, {parameters} parameters")
    steps = []
    began = time.perf_counter()
    for epoch in range(1, args.epochs + 1):
        loss = train_epoch(model, train_loader, criterion, optimizer, steps)
        scheduler.step()
        accuracy = evaluate(model, test_loader)
        print(f"epoch {epoch:2d}  loss {loss:.4f}  test accuracy {accuracy:.2%}", flush=True)
    print(f"trained in {time.perf_counter() - began:.1f} s")
    if args.steps_log:
        args.steps_log.write_text("".join(json.dumps(step) + "\n" for step in steps))
    torch.save(model.state_dict(), args.out)
    print(f"saved {args.out}")


if __name__ == "__main__":
    main()
