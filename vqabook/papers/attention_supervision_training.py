"""One run of the attention paper: a baseline, its surrogate maps, and a model supervised by them."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor, nn

from vqabook.core import Batch, Output, Table
from vqabook.data.vqa import ANSWER_TYPES
from vqabook.evaluate import select
from vqabook.fit import FitConfig, best_answer, fit, predict, soft_score
from vqabook.losses.annotators import annotator_weights
from vqabook.metrics.attention import box_distance, earth_movers_distance, rank_correlation
from vqabook.metrics.vqa import vqa_accuracy
from vqabook.models.attentive_san import AttentiveSan, AttentiveSanConfig
from vqabook.models.small_cnn import SmallCnn, SmallCnnConfig
from vqabook.models.text import SelfAttentiveText, TextConfig
from vqabook.objectives.annotators import AnnotatorCrossEntropy
from vqabook.objectives.attention import HEADS, AttentionLoss, AttentionSupervision, HopPenalty
from vqabook.objectives.base import Objective
from vqabook.objectives.classification import CrossEntropy
from vqabook.papers.attention_supervision_data import Examples, glove_vectors
from vqabook.papers.attention_supervision_setting import Supervision
from vqabook.record import key_of
from vqabook.surrogates import Probe, Surrogates, pair_masks, region_masks, region_probe, surrogates, word_probe

if TYPE_CHECKING:
    from jaxtyping import Float, Int

NO_CLIP = float("inf")  # the paper names no clipping
SUPERVISED = ("supervision", "weights", "bandwidth", "masks")  # what a recipe has beyond its baseline's
JUDGED = 1000  # test examples whose maps are compared with human ones
SHOWN = 12  # examples whose maps a record keeps


def build(recipe: Mapping, examples: Examples, data_root: Path | None) -> nn.Module:
    """The model of a recipe, freshly initialised from its seed."""
    sizes, table = dict(recipe["model"]), examples.train
    with torch.random.fork_rng():
        torch.manual_seed(recipe["seed"])
        if recipe["task"] == "image":
            images = table.inputs[0]
            sizes |= {"side": images.shape[-1], "channels": images.shape[1]}
            model: nn.Module = SmallCnn(SmallCnnConfig(table.n_classes, **sizes))
        elif recipe["task"] == "vqa":
            n_words, feature = len(examples.words) + 2, examples.task.features.width
            model = AttentiveSan(AttentiveSanConfig(n_words, table.n_classes, feature=feature, **sizes))
        else:
            glove, n_words = sizes.pop("glove"), len(examples.words) + 2
            vectors = glove_vectors(examples.words, sizes["word"], recipe["seed"], data_root) if glove else None
            model = SelfAttentiveText(TextConfig(n_words, table.n_classes, **sizes), vectors)
    return model.to(table.device)


def plain_objective(recipe: Mapping) -> Objective:
    """L_c (Eq. 2): over the annotators' answers, or one label; with the penalty on hops where it is asked for."""
    objective: Objective = AnnotatorCrossEntropy() if recipe["task"] == "vqa" else CrossEntropy()
    return HopPenalty(objective, recipe["hop_penalty"]) if recipe.get("hop_penalty") else objective


def training_table(recipe: Mapping, table: Table) -> Table:
    """`table` as the objective reads it."""
    if recipe["task"] != "vqa":
        return table
    side = {**table.side, "weight": annotator_weights(table.side["votes"])}
    return replace(table, target=table.target.answer, side=side)


def train(recipe: Mapping, examples: Examples, checkpoint: Path, data_root: Path | None) -> dict:
    """One training run and everything the page reads off it."""
    table, objective, maps = training_table(recipe, examples.train), plain_objective(recipe), {}
    model = build(recipe, examples, data_root)
    if recipe["supervision"] is not None:
        asked = Supervision(**recipe["supervision"])
        maps = {head: maps_of(head, asked.maps, recipe, examples, checkpoint, data_root) for head in asked.heads}
        side = {f"surrogate_{head}": found.attention.to(table.device) for head, found in maps.items()}
        table = replace(table, side={**table.side, **side})
        objective = supervised(objective, recipe, {head: found.attention.shape[1] for head, found in maps.items()})
    history = fitted(model, objective, recipe, table, examples, checkpoint)
    if recipe["supervision"] is None:
        _keep(model, _beside(recipe, checkpoint, "weights"))
    selection, scores = select(history, first=0), [row.pop("scores") for row in history]
    return {
        "test": scores[selection["best_by_valid"]["epoch"] - 1],
        "selection": selection,
        "surrogates": {head: summary(found) for head, found in maps.items()},
        "shown": shown(model, examples),
        "parameters": {"model": sum(p.numel() for p in model.parameters())},
        "history": history,
    }


def supervised(objective: Objective, recipe: Mapping, width: Mapping[str, int]) -> AttentionSupervision:
    """The objective with the loss of the recipe on each of its heads, whose maps have so many regions or words."""
    asked, sizes = Supervision(**recipe["supervision"]), recipe["model"]
    hidden = sizes["wide"] if recipe["task"] == "text" else sizes["hidden"]
    more = {"bandwidth": recipe["bandwidth"], "given": hidden if asked.given else 0}
    with torch.random.fork_rng():
        torch.manual_seed(recipe["seed"])
        losses = {head: AttentionLoss(asked.loss, width=n, **more) for head, n in width.items()}
    return AttentionSupervision(objective, losses, recipe["weights"])


def fitted(
    model: nn.Module, objective: Objective, recipe: Mapping, table: Table, examples: Examples, checkpoint: Path | None
) -> list[dict]:
    """The history of `model` trained on `table`."""
    names = ("epochs", "batch_size", "lr", "seed")
    config = FitConfig(
        **{name: recipe[name] for name in names}, optimizer="adam", clip=NO_CLIP, bf16=table.device.type == "cuda"
    )
    label = f"{recipe['variant']}, seed {recipe['seed']}"
    return fit(model, objective, table, config, evaluate=Watched(examples), checkpoint=checkpoint, label=label)


def maps_of(
    head: str, kind: str, recipe: Mapping, examples: Examples, checkpoint: Path, data_root: Path | None
) -> Surrogates:
    """Maps over the regions or words of each training example: what probing the run's baseline finds, or a control's."""
    table = examples.train
    if kind in ("random", "relevant"):
        relevant = kind == "relevant"
        maps = torch.from_numpy(examples.human["train"]) if relevant else random_maps(head, recipe, examples)
        unknown = torch.full((len(table),), float("nan"))
        return Surrogates(maps, unknown, unknown, torch.zeros(len(table), dtype=torch.long))
    model = baseline(recipe, examples, checkpoint, data_root)
    store = _beside(recipe, checkpoint, f"{head}-{kind}-{key_of(recipe['masks'])}")
    with FileLock(f"{store}.lock"):
        probe = probe_of(head, model, table, recipe, examples, masked=kind != "own")
        return surrogates(probe, weighted=kind == "weighted", store=store, label=f"{recipe['task']}, {kind} maps")


def probe_of(
    head: str, model: nn.Module, table: Table, recipe: Mapping, examples: Examples, *, masked: bool = True
) -> Probe:
    """The baseline on a table under all masks of a recipe, or under the one that masks nothing."""
    if head == "word_attention":
        return word_probe(model, table, pair_masks if masked else lambda n: torch.ones(1, n))
    masks = masks_of(recipe, examples)
    return region_probe(model, table, masks if masked else masks[-1:])


def masks_of(recipe: Mapping, examples: Examples, *, n: int | None = None) -> Float[Tensor, "m o"]:
    """The random masks of a recipe's seed, `n` of them: over a grid of cells, or over objects one by one."""
    asked, (width, height) = recipe["masks"]["attention"], grid_of(recipe, examples)
    rng = torch.Generator().manual_seed(recipe["seed"])
    scale = asked["scale"] if height > 1 else 1  # objects have no neighbours
    return region_masks(n or asked["n"], width, height, scale=scale, generator=rng)


def grid_of(recipe: Mapping, examples: Examples) -> tuple[int, int]:
    """Regions along each side: of the network's map, of a feature file without boxes, else objects in one row."""
    if recipe["task"] == "image":
        side = examples.train.inputs[0].shape[-1] // 2 ** recipe["model"]["halvings"]
        return side, side
    features = examples.task.features
    side = math.isqrt(features.n_regions)
    return (side, side) if features.boxes is None and side**2 == features.n_regions else (features.n_regions, 1)


def baseline(recipe: Mapping, examples: Examples, checkpoint: Path, data_root: Path | None) -> nn.Module:
    """The trained baseline that a recipe supervises: read, or trained where no run left it."""
    plain = baseline_of(recipe)
    weights = _beside(recipe, checkpoint, "weights")
    model = build(plain, examples, data_root)
    with FileLock(f"{weights}.lock"):
        if weights.exists():
            model.load_state_dict(torch.load(weights, map_location=examples.train.device, weights_only=True))
        else:
            table = training_table(plain, examples.train)
            fitted(model, plain_objective(plain), plain, table, examples, weights.with_suffix(".checkpoint"))
            _keep(model, weights)
    return model


def baseline_of(recipe: Mapping) -> dict:
    """The recipe of the run whose maps supervise this one."""
    plain = {k: v for k, v in recipe.items() if k not in (*SUPERVISED, "probed")}
    return plain | {"kind": "train", "variant": f"{recipe['task']} baseline", "supervision": None}


def _beside(recipe: Mapping, checkpoint: Path, what: str) -> Path:
    """A file that runs with the same baseline share; it goes the way of stages."""
    name = "".join([key_of(baseline_of(recipe)), *checkpoint.suffixes, f".{what}.stage"])
    return checkpoint.with_name(name)


def _keep(model: nn.Module, path: Path) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        torch.save(model.state_dict(), partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def random_maps(head: str, recipe: Mapping, examples: Examples) -> Float[Tensor, "n o"]:
    """Maps drawn evenly from all there are, over an example's words or over all regions."""
    rng, table = torch.Generator().manual_seed(recipe["seed"]), examples.train
    if head == "word_attention":
        there = table.inputs[-1].ne(0).float().cpu()
    else:
        there = torch.ones(len(table), math.prod(grid_of(recipe, examples)))
    maps = torch.empty_like(there).exponential_(generator=rng) * there
    return maps / maps.sum(1, keepdim=True)


def summary(found: Surrogates) -> dict:
    """Mean probability of the ground truth without and with the mask kept, and how often a mask was kept."""
    known = bool(found.score.isfinite().all())
    return {
        "plain": float(found.plain.mean()) if known else None,
        "score": float(found.score.mean()) if known else None,
        "masked": float((found.score > found.plain).float().mean()) if known else None,
        "entropy": float(torch.special.entr(found.attention).sum(1).mean()),
    }


class Watched:
    """What is measured after every epoch: accuracy on held-out and on test examples, and maps where people's are known.

    `scores`, of the test split: "overall", of a VQA set also by answer type, and under "human" the mean rank
    correlation (Spearman), earth mover's distance and share of attention on the relevant regions.
    """

    def __init__(self, examples: Examples):
        self.examples = examples

    def __call__(self, model: nn.Module) -> dict:
        examples = self.examples
        if examples.task is None:
            valid, test = (100 * float(predict(model, t, _right).mean()) for t in (examples.valid, examples.test))
            return {"valid": valid, "test": test, "scores": {"overall": test}}
        valid = 100 * float(predict(model, examples.valid, soft_score).mean())
        scores = self._official(predict(model, examples.test, best_answer).tolist())
        if examples.human is not None:
            scores["human"] = self._human(model)
        return {"valid": valid, "test": scores["overall"], "scores": scores}

    def _official(self, chosen: list[int]) -> dict:
        questions, answers = self.examples.task.test_questions, self.examples.task.vocabulary.answers
        said = dict(zip(questions.question_id.tolist(), (answers[i] for i in chosen), strict=True))
        found = vqa_accuracy(said, questions.annotations)
        by_type = {kind: found.per_answer_type[kind] for kind in ANSWER_TYPES if kind in found.per_answer_type}
        return {"overall": found.overall, **by_type}

    def _human(self, model: nn.Module) -> dict:
        rows = torch.arange(min(JUDGED, len(self.examples.test)))
        maps = predict(model, self.examples.test.subset(rows), _attention).numpy()
        return against_human(maps, self.examples.human["test"][: len(maps)], self.examples.boxes["test"][: len(maps)])


def against_human(
    maps: Float[np.ndarray, "n o"], human: Float[np.ndarray, "n o"], boxes: Float[np.ndarray, "n o 4"]
) -> dict:
    """Table 3's two measures between maps over boxes, and the attention that the human map's regions get."""
    return {
        "rank_correlation": float(np.nanmean(rank_correlation(maps, human))),
        "emd": float(earth_movers_distance(maps, human, box_distance(boxes)).mean()),
        "relevant": 100 * float((maps * (human > 0)).sum(1).mean()),
    }


@torch.no_grad()
def shown(model: nn.Module, examples: Examples, n: int = SHOWN) -> list[dict]:
    """Where the model looks and what it says on `n` test examples, the same ones for every model, evenly spaced."""
    table = examples.test
    rows = torch.linspace(0, len(table) - 1, n, device=table.device).long()
    out = model.eval()(*table.batch(rows).inputs)
    return [described(int(row), i, out, table, examples) for i, row in enumerate(rows)]


def described(row: int, i: int, out: Output, table: Table, examples: Examples) -> dict:
    """Row `row` of a split, whose answer is the `i`-th of `out`: its words, its truth, what is said and looked at."""
    found: dict = {"row": row}
    for head in HEADS:
        looked = getattr(out, head, None)
        found[head] = None if looked is None else [round(x, 4) for x in looked[i].tolist()]
    if words := spelt(table.inputs[-1][row], examples):
        found |= {"words": words, "word_attention": found["word_attention"][: len(words)]}
    said, names = int(out.logits[i].argmax()), examples.classes
    if examples.task is None:
        return found | {"truth": names[int(table.target[row])], "predicted": names[said]}
    questions = examples.task.test_questions
    ids = {"question_id": int(questions.question_id[row]), "image_id": int(questions.image_id[row])}
    answer = {"truth": questions.modal_answer[row], "predicted": examples.task.vocabulary.answers[said]}
    return found | ids | {"question": questions.text[row]} | answer


def spelt(ids: Int[Tensor, " t"], examples: Examples) -> list[str]:
    """A text's words, "?" for one that train lacks; none for images."""
    return [examples.words[k - 2] if k > 1 else "?" for k in ids.tolist() if k] if examples.words else []


def _right(out: Output, batch: Batch) -> Float[Tensor, " b"]:
    return out.logits.argmax(-1).eq(batch.target).float()


def _attention(out: Output, batch: Batch) -> Float[Tensor, "b o"]:
    return out.attention
