"""What the project survives: kills, stops, two graphs at once, odd folders and locales, full disks; minutes, not in CI.

    python tests/campaign.py --kills 100 --stops 40

Every trial ends with numbers: those of runs that were disturbed are compared, digit by digit, with those of runs that
were not. The outcome is printed as a table. With --record each row is written for the book's protocol page as soon as
it is done, in place of an older one of its name: what was found outlives a campaign that is killed itself.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import itertools
import json
import os
import pkgutil
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import torch

import vqabook
from vqabook.__main__ import main as main_of_vqabook
from vqabook.evidence.recheck import CHECKOUT, difference
from vqabook.evidence.record import key_of, provenance, read_record, read_records, write_json
from vqabook.papers import paper_of
from vqabook.report.survived import OUTCOME, as_table, read_survived
from vqabook.training.fit import FitConfig

PAGES = ("class_imbalance", "soft_cross_entropy", "mcl_kd", "balanced_activation")
IN_TIME = 5.5  # seconds to the end after a signal; 5 are promised


@dataclass
class Row:
    """A line of the outcome: what was done how often, and how often it ended as it should."""

    what: str
    tried: int = 0
    survived: int = 0
    compared: int = 0  # records whose digits were compared with undisturbed ones
    different: int = 0
    slowest: float | None = None  # seconds to the end after a signal
    faults: list[str] = field(default_factory=list)
    made: dict = field(default_factory=dict)  # by which commit, when, where, in how many seconds

    def count(self, fault: str | None) -> None:
        """One more try, with what went wrong."""
        self.tried += 1
        self.survived += fault is None
        if fault is not None:
            self.faults.append(fault)

    def compare(self, references: Mapping[str, Mapping], folder: Path) -> None:
        """Count the records of a folder that differ from the undisturbed ones."""
        for record in read_records(folder):
            reference = references.get(key_of(record["recipe"]))
            if reference is not None:
                self.compared += 1
                moved = difference(reference["result"], record["result"])
                self.different += moved is not None
                if moved is not None:
                    self.faults.append(f"{key_of(record['recipe'])}: {moved}")


class Forked:
    """The command line in a process of its own, forked from this one: all is imported, so that a signal meets work."""

    def __init__(self, words: list[str], cache: Path, log: Path, *, often: bool):
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log, self.returncode = log, None
        self.pid = os.fork()
        if self.pid == 0:
            self._live(words, cache, often=often)

    def _live(self, words: list[str], cache: Path, *, often: bool) -> None:
        """What the child does; it never returns."""
        status = 70
        try:
            os.dup2(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
            sys.stderr = open(2, "w", encoding="utf-8", buffering=1)  # noqa: SIM115  pytest has its own
            sys.argv[1:], os.environ["XDG_CACHE_HOME"] = words, str(cache)
            if often:
                init = inspect.unwrap(FitConfig.__init__)  # tests wrap it
                init.__defaults__ = tuple(0.0 if value == 20.0 else value for value in init.__defaults__ or ())
            main_of_vqabook()
            status = 0
        except SystemExit as end:
            status = end.code or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def poll(self) -> int | None:
        """The exit status once it has ended; negative: the signal that ended it."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self) -> str:
        """What it said until its end."""
        while self.poll() is None:
            time.sleep(0.01)
        return self.log.read_text("utf-8", "replace")


@dataclass(frozen=True)
class Task:
    """Some smoke runs of a page, and their records when nobody disturbs."""

    folder: Path
    page: str
    recipes: tuple[dict, ...]

    @property
    def asked(self) -> Path:
        """The list of recipes, as a file."""
        path = self.folder / f"{self.page}.json"
        if not path.exists():
            write_json(path, list(self.recipes))
        return path

    def words(self, out: Path) -> list[str]:
        """The command that makes these runs."""
        return ["make", "--recipes", str(self.asked), "--out", str(out)]

    def start(self, out: Path, *, often: bool = True) -> Forked:
        """`vqabook make` of these runs."""
        return Forked(self.words(out), self.folder / "cache", out.with_name(f"{out.name}.txt"), often=often)

    def references(self) -> dict[str, dict]:
        """The undisturbed records by key; made once."""
        out = self.folder / "undisturbed" / self.page
        if len(read_records(out)) < len(self.recipes):
            process = self.start(out, often=False)
            told = process.wait()
            if process.returncode:
                raise RuntimeError(f"undisturbed runs of {self.page} end well, these said: {told}")
        return {key_of(record["recipe"]): record for record in read_records(out)}


def import_all() -> None:
    """What any run needs, before the first fork."""
    torch.set_num_threads(1)
    for module in pkgutil.walk_packages(vqabook.__path__, "vqabook."):
        if "detection" not in module.name:
            importlib.import_module(module.name)


def choose_tasks(folder: Path, pages: tuple[str, ...] = PAGES, n: int = 2) -> list[Task]:
    """`n` trained smoke runs a page, from the first to the last kind that it lists."""
    tasks = []
    for page in pages:
        paper = paper_of(page)
        trained = [r for r in paper.asked(paper.setting_of(profile="smoke"), page) if r["kind"] == "train"]
        chosen = [trained[i * (len(trained) - 1) // max(n - 1, 1)] for i in range(n)]
        tasks.append(Task(folder, page, tuple({key_of(recipe): recipe for recipe in chosen}.values())))
    return tasks


def disturb(task: Task, signals: tuple[int, ...], n: int, row: Row, rng: random.Random) -> None:
    """Send `n` signals, each to a process at work; whenever the runs are all done, compare them and begin anew."""
    references = task.references()
    span = sum(record["provenance"]["seconds"] for record in references.values())
    sent, rounds = 0, itertools.count()
    while sent < n:
        out = task.folder / f"{row.what} {task.page} {next(rounds)}"
        while True:
            process = task.start(out)
            number = signals[sent % len(signals)] if sent < n and wait_for_work(process, out) else None
            if number is not None:
                time.sleep(rng.uniform(0, span))
            if number is None or process.poll() is not None:  # it was quicker: all runs are done
                told, span = process.wait(), span / 2
                break
            sent += 1
            row.count(_send(process, number, row))
        if process.returncode:
            row.faults.append(f"{task.page} does not go on: {told.strip()[-300:]}")
            row.survived -= 1
        row.compare(references, out)
        left = [path.name for path in out.glob("*") if path.suffix in (".checkpoint", ".best", ".partial")]
        row.faults += [f"{task.page} leaves {name}" for name in left]


def wait_for_work(process: Forked, out: Path) -> bool:
    """Whether a process comes to a run that it has to make: it has locked its record."""
    before = time.time()
    while process.poll() is None:
        if any(path.stat().st_mtime >= before - 1 for path in out.glob("*.lock")):
            return True
        time.sleep(0.02)
    return False


def _send(process: Forked, number: int, row: Row) -> str | None:
    """Send a signal; what is wrong with how the process ends."""
    os.kill(process.pid, number)
    began = time.monotonic()
    told = process.wait()
    seconds = time.monotonic() - began
    if number == signal.SIGKILL:
        return None
    row.slowest = max(row.slowest or 0.0, seconds)
    sentences = [line for line in told.splitlines() if line.startswith("vqabook: stopped by ")]
    if process.returncode not in (0, 128 + number) or len(sentences) != (process.returncode > 0) or "Trace" in told:
        return f"{signal.Signals(number).name} ends with {process.returncode}: {told.strip()[-300:]}"
    return None if seconds < IN_TIME else f"{signal.Signals(number).name} ends after {seconds:.1f} s"


def try_graphs(folder: Path, row: Row, *, target: str = "book") -> None:
    """Two graphs at once into one folder of runs: one in a folder with a space and accents, in C, without git."""
    runs = folder / "rüns of both"
    plain, odd = (copy_checkout(folder / name) for name in ("plain", "chéckout 2 数"))
    strange = {"LC_ALL": "C", "LANG": "C", "PATH": str(list_programs_but(folder / "programs", "git"))}
    started = [
        start_graph(code, runs, folder / f"bóok {i}", more, target)
        for i, (code, more) in enumerate(((plain, {}), (odd, strange)))
    ]
    for process, log in started:
        status = process.wait()
        row.count(None if status == 0 else f"a graph ends with {status}: {log.read_text('utf-8', 'replace')[-1500:]}")
    made = {key_of(record["recipe"]): record for record in read_records(runs)}
    again = folder / "again"
    for page in PAGES[:2]:  # of what both made together, some is made again alone
        task = Task(again, page, tuple(record["recipe"] for record in made.values() if fits(record, page))[:2])
        if task.recipes:
            row.compare(made, _make(task))


def fits(record: Mapping, page: str) -> bool:
    """Whether a record is a trained run of a page's paper."""
    return record["recipe"]["kind"] == "train" and record["recipe"]["paper"] == paper_of(page).name


def _make(task: Task) -> Path:
    task.folder.mkdir(parents=True, exist_ok=True)
    task.references()
    return task.folder / "undisturbed" / task.page


def start_graph(
    code: Path, runs: Path, out: Path, more: Mapping[str, str], target: str
) -> tuple[subprocess.Popen, Path]:
    """A graph in a copy of the checkout, and its log."""
    out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "snakemake", target, "--cores", "1", "--nolock", "--quiet", "host", "progress"]
    command += ["--config", "profile=smoke", "workers=1", f"out={out}", f"runs={runs}"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{more.get('PATH', os.environ['PATH'])}"
    own = {"PYTHONPATH": str(code), "OMP_NUM_THREADS": "1", **more, "PATH": path}
    log = out / "log.txt"
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=code, env=os.environ | own, stdout=file, stderr=subprocess.STDOUT)
    return process, log


def copy_checkout(folder: Path) -> Path:
    """The tracked files, without a repository."""
    folder.mkdir(parents=True)
    names = subprocess.run(("git", "ls-files", "-z"), cwd=CHECKOUT, capture_output=True, check=True).stdout
    for name in filter(None, names.decode("utf-8").split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, folder / name)
    return folder


def list_programs_but(folder: Path, left_out: str) -> Path:
    """A folder with links to every program on PATH but one."""
    folder.mkdir(parents=True)
    for place in os.environ["PATH"].split(os.pathsep):
        for program in Path(place).glob("*"):
            link = folder / program.name
            if program.name != left_out and not link.is_symlink():
                link.symlink_to(program)
    return folder


def try_environment(task: Task, row: Row, environment: Mapping[str, str]) -> None:
    """The runs in another environment: they end well, with the same numbers."""
    out = task.folder / f"{row.what} {task.page}"
    own = {"PYTHONPATH": str(CHECKOUT), "XDG_CACHE_HOME": str(task.folder / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "vqabook", *task.words(out)]
    done = subprocess.run(command, env=os.environ | own | environment, stderr=subprocess.PIPE)
    row.count(None if done.returncode == 0 else f"{task.page}: {done.stderr.decode('utf-8', 'replace')[-300:]}")
    row.compare(task.references(), out)


def try_full_disk(task: Task, row: Row) -> None:
    """Records go to a disk that fills up: one sentence, nothing half written; with room, the same command goes on."""
    with mounted(task.folder / f"small disk {task.page}", "40k") as out:
        process = task.start(out)
        told = process.wait().strip()
        damaged = [path.name for path in out.glob("*.json") if read_record(path) is None]
        lines = [line for line in told.splitlines() if line.startswith("vqabook:")]
        clear = process.returncode == 1 and len(lines) == 1 and "full" in lines[0] and "Traceback" not in told
        row.count(None if clear and not damaged else f"{task.page} ends with {process.returncode}: {told[-300:]}")
        subprocess.run(("mount", "-o", "remount,size=50m", str(out)), check=True)
        again = task.start(out)
        told = again.wait()
        row.count(None if again.returncode == 0 else f"{task.page} does not go on: {told.strip()[-300:]}")
        row.compare(task.references(), out)


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    """A disk in memory."""
    folder.mkdir(parents=True)
    subprocess.run(("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)), check=True)
    try:
        yield folder
    finally:
        subprocess.run(("umount", str(folder)), check=True)


def may_mount(folder: Path) -> bool:
    """Whether this user may make a disk in memory here."""
    try:
        with mounted(folder, "40k"):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def fill(folder: Path) -> Path:
    """Leave no byte of a disk."""
    try:
        with (folder / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 4096)
    except OSError:
        return folder


def conduct(folder: Path, *, kills: int, stops: int, graphs: str | None, tell: Callable[[Row], None]) -> list[Row]:
    """All trials; each row is told when it is done."""
    import_all()
    rng, tasks, rows = random.Random(0), choose_tasks(folder), []

    @contextmanager
    def row(what: str) -> Iterator[Row]:
        started, clock, new = datetime.now(UTC), time.monotonic(), Row(what)
        yield new
        stamp = provenance("", started, round(time.monotonic() - clock, 1))
        new.made = {key: stamp[key] for key in ("commit", "dirty", "started", "seconds", "machine")}
        if new.tried:
            rows.append(new)
            tell(new)

    with row("killed (SIGKILL) at a random moment") as one:
        for i, task in enumerate(tasks):
            disturb(task, (signal.SIGKILL,), (kills + i) // len(tasks), one, rng)
    for number, name in ((signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "Ctrl-C")):
        with row(f"stopped ({name}) at a random moment") as one:
            for i, task in enumerate(tasks):
                disturb(task, (number,), (stops // 2 + i) // len(tasks), one, rng)
    with row("run in the C locale, without git") as one:
        programs = list_programs_but(folder / "no git", "git")
        try_environment(tasks[0], one, {"LC_ALL": "C", "LANG": "C", "PATH": str(programs)})
    if may_mount(folder / "may mount"):
        with row("run with a full TMPDIR") as one, mounted(folder / "full", "64k") as full:
            for task in tasks[:2]:
                try_environment(task, one, {"TMPDIR": str(fill(full))})
        with row("run on a disk that fills up, and again with room") as one:
            for task in tasks:
                try_full_disk(task, one)
    if graphs:
        with row(f"two graphs at once ({graphs}), one runs folder; one with accents, in C, without git") as one:
            try_graphs(folder / "graphs", one, target=graphs)
    return rows


def keep(row: Row) -> None:
    """Write a row for the protocol page, in place of an older one of its name."""
    rows = {old["what"]: old for old in (read_survived() or {"rows": []})["rows"]}
    write_json(OUTCOME, {"rows": list((rows | {row.what: vars(row)}).values())})


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="over four pages")
    parser.add_argument("--stops", type=int, default=40, help="half by SIGTERM, half by Ctrl-C")
    parser.add_argument("--graphs", default="book", help="what both graphs make; empty: none")
    parser.add_argument("--folder", type=Path, help="keep the work there; default: temporary")
    parser.add_argument("--record", action="store_true", help="write the outcome for the book's protocol page")
    options = parser.parse_args()

    def tell(row: Row) -> None:
        print(json.dumps(vars(row), ensure_ascii=False), flush=True)
        if options.record:
            keep(row)

    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        rows = conduct(folder, kills=options.kills, stops=options.stops, graphs=options.graphs, tell=tell)
    print("\n".join("  ".join(cells) for cells in as_table({"rows": [vars(row) for row in rows]})))
    sys.exit(any(row.faults for row in rows))


if __name__ == "__main__":
    main()
