"""Residual blocks upon a map: what they compute, what none of them leaves as it was, what they refuse."""

from __future__ import annotations

import pytest
import torch

from vqabook.models.members import Members
from vqabook.models.residual import GridBlock, adapt
from vqabook.models.san import Mlp, MlpConfig, San, SanConfig

WORDS = torch.tensor([[3, 4, 2], [5, 0, 0]])
NETWORKS = {
    "san": (San, SanConfig(9, 4, feature=6, hidden=8, word=5, attention=7, dropout=0.0)),
    "mlp": (Mlp, MlpConfig(9, 4, feature=6, regions=9, hidden=8, word=5, wide=10)),
}


def test_a_block_is_its_input_and_three_convolutions():
    """Against a loop over places, in eval mode, where batch norm of fresh statistics divides by sqrt(1 + 1e-5)."""
    torch.manual_seed(0)
    block = GridBlock(5, narrow=3).eval().double()
    cells = torch.randn(2, 9, 5, dtype=torch.double)
    first, middle, last = (layer.weight for layer in block.layers if isinstance(layer, torch.nn.Conv2d))
    shrunk = (1 + 1e-5) ** -0.5
    narrow = (shrunk * cells @ first[:, :, 0, 0].T).relu()
    for place in range(9):
        row, column = divmod(place, 3)
        seen = torch.zeros(2, 3, dtype=torch.double)
        for r, c in ((r, c) for r in (-1, 0, 1) for c in (-1, 0, 1)):
            if 0 <= row + r < 3 and 0 <= column + c < 3:
                seen += narrow[:, 3 * (row + r) + column + c] @ middle[:, :, r + 1, c + 1].T
        more = shrunk * (shrunk * seen).relu() @ last[:, :, 0, 0].T
        torch.testing.assert_close(block(cells)[:, place], (cells[:, place] + more).relu())


def test_without_blocks_nothing_changes():
    cells = torch.randn(2, 10, 5)
    assert torch.equal(adapt(5, 0)(cells), cells) and not list(adapt(5, 0).parameters())
    assert len(adapt(5, 2)) == 2


def test_regions_that_are_no_map_are_refused():
    with pytest.raises(ValueError, match="a square map's cells, got 10 regions; extract a grid, or ask for 0 blocks"):
        adapt(5, 1)(torch.randn(2, 10, 5))


@pytest.mark.parametrize("name", NETWORKS)
def test_members_have_blocks_of_their_own(name):
    """Side by side they say what each says alone; and blocks learn."""
    make, config = NETWORKS[name]
    torch.manual_seed(0)
    models = [make(type(config)(**vars(config) | {"blocks": 2})) for _ in range(3)]
    cells = torch.randn(2, 9, 6)
    members = Members(models).eval()
    alone = torch.stack([model.eval()(cells, WORDS).logits for model in models])
    torch.testing.assert_close(members(cells, WORDS).logits, alone)
    members.train()(cells, WORDS).logits.square().sum().backward()
    moved = {name: p.grad.abs().sum() for name, p in members.named_parameters() if "adapt" in name}
    assert len(moved) == 18 and all(moved.values())
