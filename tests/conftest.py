"""Shapes in signatures are checked at run time by every test; the small data sets that the tests share.

Our modules are imported under jaxtyping's hook, which makes beartype check every function and dataclass of theirs: the
first calls in each test.
"""

from __future__ import annotations

import errno
import functools
import gc
import gzip
import importlib
import importlib.util
import json
import os
import pkgutil
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

import h5py

# Before vqabook imports Sphinx: else it imports autodoc, for which beartype looks in the stack of all that it checks.
import hypothesis.database  # noqa: F401
import jaxtyping
import matplotlib.pyplot
import numpy as np
import pytest
import torch

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parents[1]
HAS_TORCHVISION = importlib.util.find_spec("torchvision") is not None  # `make test-detection` has
FIRST = ("tests/test_book", "tests/test_slurm", "tests/test_types", "tests/test_evidence")
FIRST += ("tests/papers/loss_rescaling/test_controls",)
LAST = ("tests/test_notebooks", "notebooks/")  # they show the smoke runs that the book was built from
CHECKED = 50  # calls of a function in a test; to check all of them takes a third of the tests' time
CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"  # an int is a float


def _halve(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _put_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "something").touch()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "0 bytes": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(b"\x80garbage\n\0" * 99),
    "half a file": _halve,
    "a pickle of something else": lambda path: torch.save(["something else"], path),
    "a JSON of something else": lambda path: path.write_text('{"something": ["else"]}'),
    "a folder in its place": _put_folder,
}


@pytest.fixture(params=DAMAGES)
def damage(request) -> Callable[[Path], object]:
    """What may become of a file that the project left for itself."""
    return DAMAGES[request.param]


class Checks:
    """`jaxtyping.jaxtyped`, but a function's check is made when it is first called, and left out of its later calls."""

    def __init__(self) -> None:
        self.test, self.whole = 0, jaxtyping.jaxtyped

    def __call__(self, thing: Any = None, *, typechecker: Callable) -> Any:
        if thing is None:
            return functools.partial(self, typechecker=typechecker)
        if not isinstance(thing, FunctionType):  # methods of a class and fields come back as functions
            return self.whole(thing, typechecker=typechecker)
        checked: Callable | None = None
        calls = test = 0

        @functools.wraps(thing)
        def check(*args, **more):
            nonlocal checked, calls, test
            if (calls >= CHECKED and test == self.test) or torch.compiler.is_compiling():
                return thing(*args, **more)
            if test != self.test:
                calls, test = 0, self.test
            calls += 1
            if checked is None:
                checked = self.whole(thing, typechecker=typechecker)
            return checked(*args, **more)

        return check


CHECKS = Checks()


def _import_checked() -> None:
    """Import all of vqabook with its annotations checked."""
    with pytest.MonkeyPatch.context() as patch, jaxtyping.install_import_hook("vqabook", CHECKER):
        for module in (jaxtyping, jaxtyping._decorator):
            patch.setattr(module, "jaxtyped", CHECKS)
        package = importlib.import_module("vqabook")
        for module in pkgutil.walk_packages(package.__path__, "vqabook."):
            if HAS_TORCHVISION or "detection" not in module.name:
                importlib.import_module(module.name)


def is_running(process: int) -> bool:
    """Whether there is a process of this number, whosever."""
    try:
        os.kill(process, 0)
    except OSError as error:
        return error.errno == errno.EPERM
    return True


def make_runs_folder(temporary: Path) -> Path:
    """A folder for these tests, named by their process; those of tests that were killed, which left theirs, go."""
    for left in temporary.glob("vqabook-runs-*"):
        owner = left.name.removeprefix("vqabook-runs-").partition("-")[0]
        if not (owner.isdecimal() and is_running(int(owner))):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"vqabook-runs-{os.getpid()}-", dir=temporary))


def pytest_configure(config: pytest.Config) -> None:
    """Runs at smoke size are made once for all tests, notebooks and the book; the user's own are not touched."""
    if not hasattr(config, "workerinput"):  # the workers of pytest-xdist inherit it
        os.environ["TQDM_DISABLE"] = "1"  # the notebooks' outputs are compared
        os.environ["VQABOOK_RUNS"] = str(make_runs_folder(Path(tempfile.gettempdir())))
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        gc.disable()  # what is imported and collected is no garbage; to look for some took a seventh of the time
        _import_checked()


def pytest_collection_finish() -> None:
    """Garbage is looked for again, among what tests make."""
    gc.freeze()
    gc.enable()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Each test checks anew."""
    CHECKS.test += 1


def pytest_unconfigure(config: pytest.Config) -> None:
    """The runs go with the tests."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop("VQABOOK_RUNS"), ignore_errors=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes minutes starts first, so that no worker waits for another's last module; what shows runs, last."""
    items.sort(key=lambda item: item.nodeid.startswith(LAST) - item.nodeid.startswith(FIRST))


matplotlib.pyplot.switch_backend("agg")
torch.set_num_threads(1)


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Annotations are not checked, as outside these tests: what is refused is refused by the library itself."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """A real file or folder by its name below VQABOOK_DATA; the one place that knows where it lies and when to skip."""
    root = Path(os.environ.get("VQABOOK_DATA") or ROOT.parent / "shared" / "data")

    def find(name: str) -> Path:
        if not (root / name).exists():
            pytest.skip(f"set VQABOOK_DATA to the folder of the real data sets; {root} has no {name}")
        return root / name

    return find


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of the session's own, in place of the user's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    from playwright.sync_api import sync_playwright

    # The first is the browser without its window: a fifth less work a page.
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    if chromium is None:
        pytest.skip("no Chromium on the PATH (Debian: apt-get install chromium-headless-shell)")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=quiet)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh tab; after the test it must have seen no error, no failed request and nothing from the network."""
    page = browser.new_page()
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("requestfailed", lambda request: trouble.append(f"failed: {request.url}"))
    local = ("file:", "data:", "blob:")
    page.on("request", lambda r: None if r.url.startswith(local) else trouble.append(f"remote: {r.url}"))
    yield page
    page.close()
    assert trouble == []


@pytest.fixture
def hat_folder(tmp_path: Path, cache: Path) -> Path:
    """VQA-HAT in its official layout: two training maps, and three people's of one validation question."""
    from PIL import Image

    rng, folder = np.random.default_rng(0), tmp_path / "vqa_hat"
    sizes = {f"vqahat_train/{question}_1.png": (48, 64) for question in (4870250, 4870251)}
    sizes |= {f"vqahat_val/3506232_{annotator}.png": (70, 42) for annotator in (1, 2, 3)}
    for name, size in sizes.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(folder / name)
    return folder


@pytest.fixture(scope="session")
def ask() -> Callable[..., dict]:
    """Factory of one question with its ten answers, as a dict that `write_split` takes."""

    def make(
        answers: str | Sequence[str] = "red",
        *,
        image_id: int = 1,
        question: str = "What color is the bus?",
        question_type: str = "what color is the",
        answer_type: str = "other",
    ) -> dict:
        ten = [answers] * 10 if isinstance(answers, str) else list(answers)
        return {
            "image_id": image_id,
            "question": question,
            "question_type": question_type,
            "answer_type": answer_type,
            "multiple_choice_answer": max(ten, key=ten.count),
            "answers": [{"answer": answer, "answer_id": i} for i, answer in enumerate(ten, start=1)],
        }

    return make


@pytest.fixture(scope="session")
def write_split() -> Callable[..., tuple[Path, Path]]:
    """Writer of the official question and annotation files: VQA v2's dicts or VQA-CP's lists, plain or gzipped."""

    def write(folder: Path, rows: Sequence[dict], *, layout: str = "v2", gz: bool = False) -> tuple[Path, Path]:
        asked = [{"question_id": i, **{k: r[k] for k in ("image_id", "question")}} for i, r in enumerate(rows)]
        answered = [{"question_id": i, **{k: v for k, v in r.items() if k != "question"}} for i, r in enumerate(rows)]
        paths = folder / "questions.json", folder / "annotations.json"
        for path, entries in zip(paths, (asked, answered), strict=True):
            text = json.dumps({"info": {}, path.stem: entries} if layout == "v2" else entries)
            if gz:
                path.with_name(path.name + ".gz").write_bytes(gzip.compress(text.encode()))
            else:
                path.write_text(text)
        return paths

    return write


@pytest.fixture(scope="session")
def write_features() -> Callable[..., Path]:
    """Writer of a feature file; `None` leaves a data set out."""

    def write(path: Path, features: np.ndarray, image_ids: Sequence[int] | None, *, chunked=False, **more) -> Path:
        with h5py.File(path, "w") as file:
            options = {"chunks": (1, *features.shape[1:]), "compression": "gzip"} if chunked else {}
            file.create_dataset("features", data=features, **options)
            for name, values in {"image_ids": image_ids, **more}.items():
                if values is not None:
                    file[name] = values
        return path

    return write


@pytest.fixture(scope="session")
def write_own(ask, write_features) -> Callable[..., Path]:
    """Writer of a folder of one's own questions like VizWiz: ids are texts, some answers of a type that VQA lacks."""
    asked = {  # question type -> answer type, answers
        "what color": ("other", ("red", "blue")),
        "how many": ("number", ("1", "2")),
        "is this": ("yes/no", ("yes", "no")),
        "can you": ("unanswerable", ("unanswerable", "unsuitable")),
    }

    def write(folder: Path, *, pattern: str = "{split}_{part}.json", gz: bool = False, **sizes: int) -> Path:
        folder.mkdir(exist_ok=True)
        sizes = sizes or {"train": 160, "val": 80}
        for split, n in sizes.items():
            files: dict[str, list[dict]] = {"questions": [], "annotations": []}
            for i in range(n):
                kind, (answer_type, answers) = list(asked.items())[i % 4]
                ids = {"question_id": f"{split} {i}", "image_id": f"{split}_{i}.jpg"}
                answered = ask(answers[i // 4 % 2], question_type=kind, answer_type=answer_type) | ids
                files["questions"].append(ids | {"question": f"{kind} thing{i % 3}?"})
                files["annotations"].append({k: v for k, v in answered.items() if k != "question"})
            for part, rows in files.items():
                text = json.dumps({part: rows}).encode()
                path = folder / (pattern.format(split=split, part=part) + ".gz" * gz)
                path.write_bytes(gzip.compress(text) if gz else text)
        images = [f"{split}_{i}.jpg" for split, n in sizes.items() for i in range(n)]
        features = np.random.default_rng(0).random((len(images), 4, 8), dtype=np.float32)
        write_features(folder / "features.h5", features, images)
        return folder

    return write


@pytest.fixture(scope="session")
def toy_table() -> Callable:
    """Factory of a small learnable Table: a point [3], its answers' soft scores [4], its question type."""
    from vqabook.core import Table

    def make(n: int = 64, *, seed: int = 0) -> Table:
        rng = torch.Generator().manual_seed(seed)
        x, kind = torch.randn(n, 3, generator=rng), torch.randint(0, 2, (n,), generator=rng)
        best = (x @ torch.randn(3, 4, generator=rng)).argmax(1)
        target = torch.nn.functional.one_hot(best, 4) * 0.9
        return Table((x,), target, n_classes=4, side={"question_type": kind})

    return make
