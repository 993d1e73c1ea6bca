"""What bf16 layers are worth here: a training step in fp32 over one in bf16, convolutions channels last in both.

Residual networks on 64 images of 32 x 32, and UpDn on 64 questions; a step is forward, backward and update; one
thread, or with `--gpu` the first GPU. All take turns, round after round, so that a busy machine slows all alike.
Processors without bf16 matrix units emulate it: there the ratio is far below 1, and fp32 is right.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from torch import nn
from turns import median_ratio, take_turns

from vqabook.core import Table
from vqabook.models.images import ResNet, ResNetConfig
from vqabook.models.updn import UpDn, UpDnConfig
from vqabook.objectives import CrossEntropy
from vqabook.training.fit import FitConfig, fit
from vqabook.training.solver import PRECISIONS

CLASSES, BATCH, QUESTIONS, ROUNDS = 100, 64, 64, 3


def make_networks(device: str) -> dict[str, tuple[Callable[[], nn.Module], Table]]:
    """Networks with a batch of what they are trained on."""
    torch.manual_seed(0)
    images = (torch.randn(BATCH, 3, 32, 32, device=device),)
    words = torch.randint(2, 80, (QUESTIONS, 14), device=device)
    questions = (torch.randn(QUESTIONS, 36, 2048, device=device), words)
    tables = [Table(x, torch.randint(CLASSES, (len(x[0]),), device=device), CLASSES) for x in (images, questions)]
    resnets = {
        f"ResNet-{depth}, width {width}": (
            lambda d=depth, w=width: ResNet(ResNetConfig(CLASSES, depth=d, width=w)),
            tables[0],
        )
        for depth, width in ((20, 16), (32, 16))
    }
    return resnets | {"UpDn": (lambda: UpDn(UpDnConfig(80, CLASSES, feature=2048)), tables[1])}


def main(device: str = "cpu") -> dict[str, float]:
    torch.set_num_threads(1)
    calls, networks = {}, make_networks(device)
    for name, (make, table) in networks.items():
        for precision in PRECISIONS:
            model = make().to(device)
            for weight in (p for p in model.parameters() if p.dim() == 4):
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
            config = FitConfig(epochs=1, batch_size=len(table), optimizer="sgd", lr=0.01, precision=precision)
            calls[f"{name} {precision}"] = lambda _, m=model, t=table, c=config: fit(m, CrossEntropy(), t, c)
    times = take_turns(calls, ROUNDS)
    ratio = {name: median_ratio(times[f"{name} fp32"], times[f"{name} bf16"]) for name in networks}
    for name, faster in ratio.items():
        print(f"{name}: a step in bf16 is {faster:.2f} x as fast as in fp32")
    return ratio


if __name__ == "__main__":
    main("cuda" if "--gpu" in sys.argv[1:] else "cpu")
