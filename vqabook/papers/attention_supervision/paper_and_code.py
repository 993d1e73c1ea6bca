"""Where the printed method leaves a choice, or its released code does something else: shown on a few numbers."""

import torch
from torch.nn import functional as F

from vqabook.losses.attention import attention_coral, attention_mmd, attention_mse

BANDWIDTH = 0.3  # the page's, of MMD's kernel
RELEASED_GAMMA = 10_000  # release, with one example a batch
RELEASED_WORDS = 200  # release: a text is padded to so many


def mask_around_norm() -> dict[str, list[float]]:
    """Lengths of four regions, masked before they are brought to unit length and after: Sec. 3.1 does not say which."""
    mask = torch.tensor([0.2, 1.0, 0.0, 0.7])
    regions = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    before = F.normalize(mask[:, None] * regions, dim=1).norm(dim=1)
    after = (mask[:, None] * F.normalize(regions, dim=1)).norm(dim=1)
    columns = {"mask": mask, "length, masked before": before, "length, masked after": after}
    return {name: [round(value, 2) for value in column.tolist()] for name, column in columns.items()}


def compare_dealt_out() -> dict[str, float]:
    """Losses between three maps and the same maps dealt out to other examples: two see no difference (Eqs. 4-6)."""
    maps = torch.tensor([[0.9, 0.1, 0.0], [0.1, 0.9, 0.0], [0.0, 0.1, 0.9]])
    others = maps[[1, 2, 0]]
    values = {
        "mean squared error": attention_mse(maps, others),
        "MMD": attention_mmd(maps, others, bandwidth=BANDWIDTH),
        "MMD as released": attention_mmd(maps, others, bandwidth=BANDWIDTH, paired=True),
        "CORAL": attention_coral(maps, others),
    }
    return {name: abs(round(float(value.mean()), 3)) for name, value in values.items()}


def compare_release() -> dict[str, list[float]]:
    """The released MMD times its γ, for two pairs of maps, and half their squared distance.

    On batches of one it is γ (2 - 2 exp(-‖x - y‖² / d²)), d = 200: so wide a kernel is a straight line.
    """
    pairs = [
        torch.rand(2, RELEASED_WORDS, dtype=torch.double, generator=torch.Generator().manual_seed(i)) for i in (0, 1)
    ]
    x, y = (maps.softmax(1) for maps in pairs)
    mmd = attention_mmd(x, y, bandwidth=RELEASED_WORDS / 2**0.5, paired=True)
    half = (x - y).square().sum(1) / 2
    return {"γ times the released MMD": (RELEASED_GAMMA * mmd).tolist(), "half the squared distance": half.tolist()}
