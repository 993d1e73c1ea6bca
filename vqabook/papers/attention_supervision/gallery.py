"""Examples for the pictures of Figs. 3, 8 and 9, chosen by stated rules from what records keep.

A record keeps twelve examples: a probe's lie evenly between the largest and the smallest gain by a mask, a run's evenly
in the test split. In the embedded world it is known which regions a question is about; elsewhere the first ones show.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8

from vqabook.data.layout import DataSpec
from vqabook.data.seen import find_views, relevant_maps
from vqabook.papers.attention_supervision.examples import load_examples
from vqabook.papers.attention_supervision.recipes import RELEVANT

CPU = torch.device("cpu")
READ = {"own": "whole text", "best": "two words concealed"}  # a record's map -> what its row is called
WHITE = np.full((224, 224, 3), 255, np.uint8)  # where an image does not lie on this machine


def choose_masked(record: Mapping, *, data_root: Path | None) -> list[dict]:
    """Two training questions of a probe's record: the best mask looks at what the first is about, not so the second.

    Of each kind the one whose answer gains most. Keys: those that the record keeps of an example (`own` and `best` are
    maps, `plain` and `score` the truth's probability without and with the mask), and `truth`, `image`, `boxes`,
    `relevant`.
    """
    data, kept = record["recipe"]["data"], record["result"]["attention"]["examples"]
    examples = load_examples("vqa", data, record["recipe"]["seed"], data_root, CPU)
    questions = examples.vqa.train_questions
    relevant = [None if examples.human is None else examples.human["train"][one["row"]] for one in kept]
    aims = [None if there is None else aims_at(one["best"], there) for one, there in zip(kept, relevant, strict=True)]
    chosen = [aims.index(aim) for aim in (True, False) if aim in aims] or list(range(min(2, len(kept))))
    ids = [questions.image_id[kept[i]["row"]].item() for i in chosen]
    views = find_views(data, ids, len(kept[0]["own"]), data_root=data_root)
    return [
        kept[i]
        | {"truth": questions.modal_answer[kept[i]["row"]], "relevant": relevant[i]}
        | {"image": image_or_white(view.image), "boxes": view.boxes}
        for i, view in zip(chosen, views, strict=True)
    ]


def choose_looks(records: Mapping[str, Mapping], n: int, *, data_root: Path | None) -> list[dict]:
    """The first `n` test questions of some runs that are about one region: rows of `figures.looks`.

    `records`: a column's name -> a run of one seed; all keep the same questions. `relevant` is the region's map.
    """
    first = next(iter(records.values()))
    data, shown = first["recipe"]["data"], first["result"]["shown"]
    n_regions = len(shown[0]["attention"])
    relevant = find_relevant(data, [one["question_id"] for one in shown], n_regions, data_root)
    chosen = [i for i, there in enumerate(relevant) if there is None or np.count_nonzero(there) == 1][:n]
    views = find_views(data, [shown[i]["image_id"] for i in chosen], n_regions, data_root=data_root)
    rows = []
    for i, view in zip(chosen, views, strict=True):
        runs = {name: record["result"]["shown"][i] for name, record in records.items()}
        rows.append(
            {"question": shown[i]["question"], "truth": shown[i]["truth"], "relevant": relevant[i]}
            | {"image": view.image, "boxes": view.boxes}
            | {"methods": {name: (run["attention"], run["predicted"]) for name, run in runs.items()}}
        )
    return rows


def aims_at(attention: Sequence[float], relevant: Float[np.ndarray, " o"]) -> bool:
    """Whether more than half of the attention is on relevant regions."""
    return float(np.asarray(attention)[relevant > 0].sum()) > 0.5


def find_relevant(
    data: Mapping, question_ids: Sequence[int], n_regions: int, data_root: Path | None
) -> list[Float[np.ndarray, " o"] | None]:
    """For each question the map that is even over what it is about; None where nobody knows."""
    if data["human"] != RELEVANT:
        return [None] * len(question_ids)
    ids = np.asarray(question_ids)
    return list(relevant_maps(DataSpec.of(data), ids, n_regions=n_regions, data_root=data_root))


def image_or_white(image: UInt8[np.ndarray, "s s 3"] | None) -> UInt8[np.ndarray, "s s 3"]:
    """An image, or a white ground to draw its regions on."""
    return WHITE if image is None else image


def choose_images(record: Mapping, n: int, *, data_root: Path | None) -> list[dict]:
    """The `n` images of a probe's record whose class gains most by a mask: `image` and, as large, maps `own`, `best`.

    With the truth's probability without and with the mask, `plain` and `score`.
    """
    examples = load_examples("image", record["recipe"]["data"], record["recipe"]["seed"], data_root, CPU)
    kept = record["result"]["attention"]["examples"][:n]
    pixels = examples.train.batch(torch.tensor([one["row"] for one in kept])).inputs[0].numpy()
    return [
        one | {"image": to_rgb(image)} | {name: enlarge(one[name], image.shape[-1]) for name in ("own", "best")}
        for one, image in zip(kept, pixels, strict=True)
    ]


def to_rgb(image: Float[np.ndarray, "channels s s"]) -> UInt8[np.ndarray, "s s 3"]:
    """An image of one or three channels as it is looked at: its darkest value black, its brightest white."""
    stretched = 255 * (image - image.min()) / max(np.ptp(image), 1e-9)
    return np.broadcast_to(stretched.transpose(1, 2, 0), (*image.shape[1:], 3)).astype(np.uint8)


def enlarge(attention: Sequence[float], side: int) -> Float[np.ndarray, "s s"]:
    """A map over the cells of a square grid as pixels, `side` wide and high."""
    cells = round(len(attention) ** 0.5)
    return np.kron(np.reshape(attention, (cells, cells)), np.ones((side // cells,) * 2))


def list_readings(records: Mapping[str, Mapping], n: int) -> list[dict]:
    """The first `n` test texts that some runs keep: rows of `figures.readings`; `records`: row's name -> a run."""
    texts = zip(*(record["result"]["shown"][:n] for record in records.values()), strict=True)
    return [
        {"words": looks[0]["words"], "title": looks[0]["truth"]}
        | {"methods": {name: look["word_attention"] for name, look in zip(records, looks, strict=True)}}
        for looks in texts
    ]


def list_concealed(record: Mapping, n: int) -> list[dict]:
    """The `n` texts of a probe's record that gain most when two words are concealed: rows of `figures.readings`."""
    return [
        {"words": one["words"], "title": f"probability of the truth: {one['plain']:.2f}, then {one['score']:.2f}"}
        | {"methods": {title: one[name][: len(one["words"])] for name, title in READ.items()}}
        for one in record["result"]["word_attention"]["examples"][:n]
    ]
