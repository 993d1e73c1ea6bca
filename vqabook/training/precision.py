"""In which precision a network's layers are trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from vqabook.core import Output


@contextmanager
def layers_in_bf16(model: nn.Module, device: str) -> Iterator[None]:
    """Within the block the model's layers compute in bf16, convolutions channels last; its weights stay in fp32.

    What it returns is in fp32, and so are losses: an epsilon of 1e-6 is nothing in bf16. `device`: cpu or cuda.
    """
    for weight in model.parameters():
        if weight.dim() == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    plain = model.forward

    def forward(*inputs: Any) -> Output:
        with torch.autocast(device, torch.bfloat16):
            out = Output.of(plain(*inputs))
        return out._replace(**{name: x.float() for name, x in out._asdict().items() if x is not None})

    model.forward = forward
    try:
        yield
    finally:
        del model.forward
