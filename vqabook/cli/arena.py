"""`vqabook arena`: which loss for my data."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from vqabook.cli import questions
from vqabook.cli.team import Team
from vqabook.files import need_writable, tell_damage

Data = Annotated[
    list[Path],
    typer.Argument(
        help="an .npz with features and labels; two .npy, or a folder with them; a .csv, .tsv or .parquet; the .h5 of "
        "`vqabook data features`; a folder of images by class; or a folder of questions in VQA's layout"
    ),
]


def arena(
    data: Data,
    out: Annotated[Path | None, typer.Option(help="folder of the report and its records; default: arena-NAME")] = None,
    label: Annotated[
        str | None, typer.Option(help="a table's column of labels; default: label, class, y, the last")
    ] = None,
    loss: Annotated[
        list[str] | None,
        typer.Option(help="a loss of your own, FILE.py:NAME: of (logits, target, counts), one value an example"),
    ] = None,
    test_prior: Annotated[
        str, typer.Option(help="what classes occur like at test: uniform, training, reversed, or JSON {class: share}")
    ] = "uniform",
    seeds: Annotated[int, typer.Option(min=1, help="divisions into train, validation and test; 3 for an interval")] = 5,
    steps: Annotated[int | None, typer.Option(min=1, help="of training; default: until softmax settles")] = None,
    bounds: Annotated[
        str | None, typer.Option(help="MANY,FEW: rows of a class above and below which it counts so; default: thirds")
    ] = None,
    decay: Annotated[
        float | None, typer.Option(min=0.0, help="weight decay of all rules; default: picked on validation rows")
    ] = None,
    trials: Annotated[
        int,
        typer.Option(min=1, max=20, help="values of each rule's own knob, picked on validation rows; 1: the paper's"),
    ] = 1,
    workers: Annotated[int | None, typer.Option(min=1, help="processes; default: one a core, a division each")] = None,
    report: Annotated[bool, typer.Option(help="without it records are made, and no report")] = True,
    skip_bad: Annotated[bool, typer.Option(help="leave out images that do not decode")] = False,
    most: Annotated[
        int | None, typer.Option("--questions", min=1, help="of a set of questions: so many at most; default: all")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="of a set of questions: of both stages; default: 7, of few questions more")
    ] = None,
):
    """Tell which loss to use on DATA: rules for long tails compared as linear classifiers of your features.

    Of questions about images: which rule against language priors, seen by UpDn and by a model without images, where
    answers' priors change and where they stay. Some 5,000 questions take six minutes on two cores.

    Writes report.html, report.md and report.json. Interrupted, the same command goes on; a loss that is added later is
    trained alone. `vqabook arena mine.npz --loss mine.py:my_loss --test-prior '{"cat": 0.9, "dog": 0.1}'`
    """
    from vqabook.data.layout import is_set

    given = {"--label": label, "--loss": loss, "--test-prior": test_prior != "uniform", "--steps": steps}
    given |= {"--bounds": bounds, "--decay": decay is not None, "--trials": trials > 1, "--skip-bad": skip_bad}
    if len(data) == 1 and is_set(data[0]):
        refuse(given, f"are of labelled features, and {data[0]} is a set of questions")
        questions.compare(data[0], out, seeds, workers, report=report, most=most, epochs=epochs)
        return
    refuse({"--questions": most, "--epochs": epochs}, f"are of sets of questions, and {data[0]} is none")
    how: dict[str, Any] = {"seeds": tuple(range(seeds)), "steps": steps, "trials": trials, "decay": decay}
    how |= {"prior": read_prior(test_prior), "bounds": read_bounds(bounds)}
    compare(data, out, loss or (), how, workers, report=report, label=label, skip_bad=skip_bad)


def refuse(given: Mapping[str, object], why: str) -> None:
    """ValueError for options that were given and say nothing of these data."""
    if named := [option for option, value in given.items() if value]:
        raise ValueError(f"{', '.join(named)} {why}; leave {'it' if len(named) == 1 else 'them'} out")


def compare(
    data: Sequence[Path],
    out: Path | None,
    losses: Sequence[str],
    how: Mapping[str, Any],
    workers: int | None,
    *,
    report: bool,
    label: str | None,
    skip_bad: bool,
) -> None:
    """Hold the contest of long-tail rules on labelled features, by the `Protocol` of `how`, and write its report."""
    from vqabook.arena import own_loss

    own = [own_loss.load(word) for word in losses]  # before minutes of reading
    team = Team.of(workers or min(os.cpu_count() or 1, len(how["seeds"])))
    import torch

    from vqabook.arena.contest import Contest, Protocol
    from vqabook.arena.examples import check
    from vqabook.arena.readers import read

    if report:  # what draws it is asked for before minutes of training
        from vqabook.arena.report import Report, write

    torch.set_num_threads(1)  # steps are small: cores are better used by processes
    folder = out or Path(f"arena-{data[0].resolve().stem}")
    contest = Contest(check(read(data, folder, label=label, skip_bad=skip_bad)), Protocol(**how), own)
    contest.check()
    need_writable(folder, "give another folder (--out)")
    with team.at_work("--no-report", quiet=True):
        records = contest.hold(folder / "records")
    if report:
        print(write(Report.of(contest, records), folder))
        print(f"The report: {folder / 'report.html'}, report.md, report.json")


def read_prior(text: str) -> str | dict[str, float]:
    """A name of a prior, JSON, or a file of JSON."""
    path = Path(text)
    if text.endswith(".json"):
        with tell_damage(path, "a prior is JSON {class: share}", OSError, ValueError, advice="correct it"):
            text = path.read_text("utf-8")
    if not text.lstrip().startswith("{"):
        return text
    try:
        return {str(name): float(share) for name, share in json.loads(text).items()}
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"a prior is JSON {{class: share}} with numbers, got {text[:60]} ({error}); correct it"
        ) from None


def read_bounds(text: str | None) -> tuple[int, int] | None:
    """`100,20` as (100, 20)."""
    if text is None:
        return None
    many, _, few = text.partition(",")
    if not (many.strip().isdecimal() and few.strip().isdecimal()):
        raise ValueError(f"bounds are two numbers of rows, MANY,FEW, as in 100,20; got {text!r}")
    return int(many), int(few)
