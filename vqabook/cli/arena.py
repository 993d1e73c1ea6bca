"""`vqabook arena`: which loss for my data."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from vqabook.cli.team import Team
from vqabook.files import need_writable, tell_damage

Data = Annotated[
    list[Path],
    typer.Argument(
        help="an .npz with features and labels; two .npy, or a folder with them; a .csv, .tsv or .parquet; the .h5 of "
        "`vqabook data features`; or a folder of images by class"
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
    decay: Annotated[float, typer.Option(min=0.0, help="weight decay of all rules")] = 3e-3,
    trials: Annotated[
        int,
        typer.Option(min=1, max=20, help="values of each rule's own knob, picked on validation rows; 1: the paper's"),
    ] = 1,
    workers: Annotated[int | None, typer.Option(min=1, help="processes; default: one a core, a division each")] = None,
    report: Annotated[bool, typer.Option(help="without it records are made, and no report")] = True,
    skip_bad: Annotated[bool, typer.Option(help="leave out images that do not decode")] = False,
):
    """Tell which loss to use on DATA: rules for long tails compared as linear classifiers of your features.

    Writes report.html, report.md and report.json. Interrupted, the same command goes on; a loss that is added later is
    trained alone. `vqabook arena mine.npz --loss mine.py:my_loss --test-prior '{"cat": 0.9, "dog": 0.1}'`
    """
    from vqabook.arena import own_loss

    own = [own_loss.load(word) for word in loss or ()]  # before minutes of reading
    team = Team.of(workers or min(os.cpu_count() or 1, seeds))
    import torch

    from vqabook.arena.contest import Contest, Protocol
    from vqabook.arena.examples import check
    from vqabook.arena.readers import read

    if report:  # what draws it is asked for before minutes of training
        from vqabook.arena.report import Report, write

    torch.set_num_threads(1)  # steps are small: cores are better used by processes
    how: dict[str, Any] = {"prior": read_prior(test_prior), "bounds": read_bounds(bounds)}
    protocol = Protocol(tuple(range(seeds)), steps=steps, trials=trials, decay=decay, **how)
    folder = out or Path(f"arena-{data[0].resolve().stem}")
    contest = Contest(check(read(data, folder, label=label, skip_bad=skip_bad)), protocol, own)
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
