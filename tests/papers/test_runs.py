"""Laws of every paper's runs: they give what claims read, the same each time; no epoch is chosen by test."""

from __future__ import annotations

import pytest

from vqabook.papers import paper_of
from vqabook.papers.paper import Paper
from vqabook.report.verdicts import number

RUNS = {
    "soft_cross_entropy": ("avg modal", "pool votes", "question scores", "avg votes @ release"),
    "attention_supervision": (
        *("text baseline", "text adv", "text probe", "text mmd @ shuffled maps"),
        *("image mse", "image probe", "image mmd @ paired", "image mse @ 1000 masks"),
        *("vqa both adv", "vqa question mmd", "vqa probe", "vqa image adv @ own maps"),
        *("vqa image adv @ given the question", "vqa image mse @ relevant regions"),
    ),
    "mcl_kd": (
        "san base",
        "san mcl_kd k1",
        "san cmcl k1",
        "resnet mcl k1",
        "resnet mcl_kd + fs k1",
        "resnet ie @ as long",
    ),
}
FIVE_EPOCHS = {
    "soft_cross_entropy": ("avg votes", "epochs"),
    "attention_supervision": ("text mse", "text_epochs"),
    "mcl_kd": ("resnet base", "image_base_epochs"),
}


@pytest.fixture
def paper(name: str) -> Paper:
    return paper_of(name)


@pytest.mark.parametrize(("name", "variant"), [(name, variant) for name, runs in RUNS.items() for variant in runs])
def test_a_run_gives_what_its_claims_read(name, variant, paper, recipe_of, produce, cache, tmp_path):
    result, again = (produce(recipe_of(variant), tmp_path) for _ in range(2))
    assert result | {"history": None} == again | {"history": None}
    history = result.get("history", [])
    assert [row["epoch"] for row in history] == list(range(1, len(history) + 1))
    for claim in paper.claims:
        for side in (claim.more, claim.less):
            if side.where["variant"] == variant:
                value = number({"result": result}, side.metric)
                assert value is not None or side.metric.endswith("together")  # two epochs have no correlation


@pytest.mark.parametrize("name", FIVE_EPOCHS)
def test_the_epoch_is_chosen_without_test(name, recipe_of, produce, cache, tmp_path):
    variant, epochs = FIVE_EPOCHS[name]
    result = produce(recipe_of(variant, **{epochs: 5}), tmp_path)
    valid = [row["valid"] for row in result["history"]]
    chosen = result["selection"]["best_by_valid"]
    assert chosen["epoch"] == valid.index(max(valid)) + 1
    assert result["test"]["overall"] == result["history"][chosen["epoch"] - 1]["test"] == chosen["test"]
