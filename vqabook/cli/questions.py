"""`vqabook arena` on a set of questions: which rule against language priors."""

import os
from pathlib import Path

from vqabook.cli.team import Team
from vqabook.files import need_writable

EPOCHS = (2, 200)  # fewest and most, of both stages
LATE = 2 / 7  # of them have weights
ENOUGH = 35_000  # questions that are read in all, so that a small set has as many steps as one of 5,000


def compare(
    data: Path, out: Path | None, seeds: int, workers: int | None, *, report: bool, most: int | None, epochs: int | None
) -> None:
    """Hold the contest on the questions at `data`, `most` of them, and write its report into `out`.

    Its runs are chapter 02's, by the sizes of `CONTEST_SIZES`. `epochs`: of both stages, two sevenths with weights.
    """
    team = Team.of(workers or min(os.cpu_count() or 1, 2 * seeds))
    if epochs is not None and not EPOCHS[0] <= epochs <= EPOCHS[1]:
        raise ValueError(f"--epochs are {EPOCHS[0]} to {EPOCHS[1]}, two sevenths of them with weights, got {epochs}")
    import torch

    from vqabook.arena.questions.sample import take
    from vqabook.evidence import runs
    from vqabook.papers import paper_of
    from vqabook.papers.loss_rescaling.recipes import list_contest
    from vqabook.papers.loss_rescaling.setting import CONTEST_SIZES, NAME
    from vqabook.producer import Producer

    if report:  # what draws it is asked for before minutes of training
        from vqabook.arena.questions.report import Report, write

    torch.set_num_threads(1)
    folder = out or Path(f"arena-{data.resolve().name}")
    asked = take(data, folder, range(seeds), most)
    need_writable(folder, "give another folder (--out)")
    fewest = max(1, min(9, -(-asked.n // 1000)))  # of an answer in training: UpDn's 9 from 8,000 questions on
    sizes = CONTEST_SIZES | {"min_answer_count": fewest}
    length = epochs or max(7, min(35, ENOUGH // asked.n))
    late = max(1, round(LATE * length))
    sizes |= {"epochs": length - late, "rescale_epochs": late}
    values = {"profile": "small", "dataset": str(asked.folder), "seeds": tuple(range(seeds))}
    recipes = [recipe.asked() for recipe in list_contest(paper_of(NAME).setting_of(**values, **sizes))]
    with team.at_work("--no-report", quiet=True):
        records = runs.make(recipes, Producer(None), folder / "records")
    if report:
        for left in (folder / "records").glob("*.stage"):  # none goes on from them now
            left.unlink(missing_ok=True)
        print(write(Report.of(asked, records), folder))
        print(f"The report: {folder / 'report.html'}, report.md, report.json")
