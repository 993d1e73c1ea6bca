"""The graph: missing records, live runs -> executed notebooks, ledger -> book.

    snakemake book --cores 2
    snakemake book --cores 2 --config profile=smoke out=/tmp/b runs=/tmp/r
    snakemake book --profile profiles/slurm
    snakemake records_loss_rescaling --profile profiles/slurm --config minutes=10

`profile` is a preset of params/, `out` holds _build/, `runs` the records, `data_root` the downloaded benchmarks. A
page's records are made in `shards`, a job each, by `workers` processes each, one a GPU if the job has GPUs; without
`shards` in jobs of about so many `minutes`, by what recorded runs took; records_PAGE makes them alone. A job runs
again when its notebook, the records, the code or these settings changed; live runs also when the machine kind did.
What a job makes and may go on from are records; its output is the list of them, since a failed job's outputs go.
"""

import hashlib
import sys
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

from vqabook.evidence.fingerprint import code_hash
from vqabook.evidence.record import machine
from vqabook.evidence.runs import find_work
from vqabook.papers import page_of, paper_of


def folder(name, default):
    """A folder of the configuration. Braces would be wildcards of the paths below."""
    path = str(Path(str(config.get(name, default))).expanduser())
    if set("{}") & set(path):
        raise ValueError(f"{name} is a folder without braces in its name, got {path}; give another, or a link to it")
    return path


PROFILE = config.get("profile", "small")
RUNS = folder("runs", "data/runs")
BUILD = f"{folder('out', 'book')}/_build"
WORKERS = int(config.get("workers", 2))
# The recorded profile misses next to nothing: its pages are looked through side by side, by one process each.
RECORDERS = 1 if PROFILE == "small" and not {"runs", "workers"} & config.keys() else WORKERS
SETTINGS = ["--profile", PROFILE]  # without a folder of their own, runs that are recorded evidence are not made again
if "runs" in config:
    SETTINGS += ["--runs", RUNS]
if "data_root" in config:
    SETTINGS += ["--data-root", folder("data_root", None)]

# notebooks/02_loss_rescaling.ipynb tells the page loss_rescaling, 02_1_loss_rescaling_tables.ipynb is evidence of it:
# the page's runs are trained once. A notebook whose name is no paper's page (None) needs no runs.
NOTEBOOKS = {path.stem: page_of(path.stem) for path in sorted(Path("notebooks").glob("[0-9]*_*.ipynb"))}
CHAPTERS = {name[:2]: [other for other in NOTEBOOKS if other[:2] == name[:2]] for name in NOTEBOOKS}
TRAINED = sorted(set(NOTEBOOKS.values()) - {None})
PAGES = expand(f"{BUILD}/pages/{{page}}.ipynb", page=NOTEBOOKS)
RELEASE = str(max(Path("book/releases").glob("*.json"), key=lambda path: [*map(int, path.stem.split("."))]))
PROSE = [str(path) for path in sorted(Path("book").glob("*.*"))]
TEXTS = [path for path in PROSE if path.endswith(".md")]
TOLD = [f"{BUILD}/told/{Path(path).name}" for path in TEXTS]
THEME = [str(path) for folder in ("_static", "_templates") for path in sorted(Path("book", folder).glob("*.*"))]

# MathJax comes with a package of the environment: formulas render offline, the build needs no network and no Node.
MATHJAX = str(distribution("sphinx-mathjax-offline").locate_file("sphinx-mathjax-offline/static/mathjax"))

# The pages and the ledger depend on all of the code and the evidence, the records only on numeric code.
SOURCES = [*sorted(Path("vqabook").rglob("*.py")), *sorted(Path("book/evidence").rglob("*.json")), Path("vqabook/fetch/manifest.toml")]
CODE = hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES)).hexdigest()
NUMERIC = code_hash()
COMPLETE = f"{RUNS}/.complete/{PROFILE}"
LIVE = f"{COMPLETE}/live"


@cache
def count_shards(page):
    """`shards` if they are given; else as many as last `minutes`, which is told before the first is submitted."""
    if "shards" in config or "minutes" not in config:
        return int(config.get("shards", 1))
    if not (minutes := float(config["minutes"])) > 0:
        raise ValueError(f"minutes of a job are above 0, got {minutes}; 10 is usual")
    paper, where = paper_of(page), {name: config.get(name) for name in ("runs", "data_root")}
    setting = paper.setting_of(profile=PROFILE, **where)
    work = find_work(paper.name, paper.asked(setting, page), setting.runs)
    shards = work.count_jobs(minutes, RECORDERS)
    if work.names and workflow.is_main_process:
        print(f"{page}: {work.tell(shards, RECORDERS)}", file=sys.stderr)
    return shards


def records_of(*pages):
    """What lists the records of these pages: a file a shard. It is asked once a job needs them."""
    return lambda wildcards: [
        f"{COMPLETE}/{page}.{k + 1}-of-{n}" for page in pages for n in [count_shards(page)] for k in range(n)
    ]


wildcard_constraints:
    trained="[a-z_]+",
    shard="[0-9]+",
    shards="[0-9]+",


localrules:
    ledger,
    changes,
    contradictions,
    texts,
    book,


rule book:
    """The HTML, from a source folder put together afresh: the prose, the executed notebooks, the ledger."""
    input:
        pages=PAGES,
        ledger=f"{BUILD}/_generated/ledger.json",
        lists=[f"{BUILD}/_generated/changes.html", f"{BUILD}/_generated/contradictions.html"],
        told=TOLD,
        prose=PROSE,
        theme=THEME,
    output:
        f"{BUILD}/html/index.html",
    log:
        f"{BUILD}/book.log",
    message:
        "build the book"
    shell:
        """
        if grep --files-with-matches '"output_type": "error"' {input.pages:q}; then
            echo "These notebooks hold an error; a book is built only from notebooks that ran to their end." >&2
            exit 1
        fi
        source={BUILD:q}/source
        fonts="$source/_extra/mathjax/output/chtml/fonts"
        rm -rf "$source" {BUILD:q}/.doctrees # of an older build: an equation that moved to another page would count twice
        mkdir -p "$fonts" "$source/pages"
        cp -p {input.prose:q} "$source"
        cp -p {input.told:q} "$source"
        cp -p {input.pages:q} "$source/pages"
        cp -pR book/_static book/_templates {BUILD:q}/_generated "$source"
        cp -p {MATHJAX:q}/tex-mml-chtml.js "$source/_extra/mathjax"
        cp -pR {MATHJAX:q}/output/chtml/fonts/woff-v2 "$fonts"
        jupyter-book build --quiet -W -n --keep-going --path-output {BUILD:q}/.. "$source" > {log:q}
        cp {BUILD:q}/_generated/{{ledger.json,ledger.csv,datatables.js,live.json}} {BUILD:q}/html
        """


rule ledger:
    """Every claim with its verdict, the live runs and the latest recheck, for people and for machines."""
    input:
        runs=records_of(*TRAINED),
        live=LIVE,
        pages=PAGES,
    output:
        f"{BUILD}/_generated/ledger.json",
        f"{BUILD}/_generated/ledger.csv",
        f"{BUILD}/_generated/ledger.html",
        f"{BUILD}/_generated/datatables.js",
        f"{BUILD}/_generated/live.json",
        f"{BUILD}/_generated/live.html",
        f"{BUILD}/_generated/headlines.html",
        f"{BUILD}/_generated/printed_measured.html",
        f"{BUILD}/_generated/strength.html",
        f"{BUILD}/_generated/levels.html",
        f"{BUILD}/_generated/recheck.html",
        f"{BUILD}/_generated/survived.html",
    params:
        code=CODE,
    message:
        "write the ledger"
    shell:
        "exec vqabook ledger {SETTINGS:q} --pages {BUILD:q}/pages --out {BUILD:q}/_generated"


rule texts:
    """The prose with its numbers."""
    input:
        TEXTS,
    output:
        TOLD,
    params:
        code=CODE,
    message:
        "fill in what the prose tells of claims"
    shell:
        "exec vqabook tell {input:q} --out {BUILD:q}/told --profile {PROFILE}"


rule changes:
    """What changed since the last release."""
    input:
        ledger=f"{BUILD}/_generated/ledger.json",
        release=RELEASE,
    output:
        f"{BUILD}/_generated/changes.html",
    params:
        code=CODE,
    message:
        "compare with the last release"
    shell:
        "exec vqabook changes {input.release:q} {input.ledger:q} --out {output:q}"


rule contradictions:
    """What the papers contradict."""
    output:
        f"{BUILD}/_generated/contradictions.html",
    params:
        code=CODE,
    message:
        "list what the papers contradict"
    shell:
        "exec vqabook contradictions --out {output:q}"


for chapter, names in CHAPTERS.items():

    rule:
        """A chapter's executed notebooks: what they import is imported once. When a cell fails, the command keeps the
        notebook with the error and says where."""
        name:
            f"chapter_{chapter}"
        input:
            notebooks=expand("notebooks/{page}.ipynb", page=names),
            runs=records_of(*sorted({NOTEBOOKS[name] for name in names} & set(TRAINED))),
            live=LIVE,
        output:
            expand(f"{BUILD}/pages/{{page}}.ipynb", page=names),
        params:
            code=CODE,
            settings=SETTINGS,
        message:
            f"execute the notebooks of chapter {chapter}"
        shell:
            "exec vqabook execute {input.notebooks:q} --out {BUILD:q}/pages {params.settings:q}"


for page in TRAINED:

    rule:
        """A page's records alone, as many jobs as `records` has for it: no notebook, no book."""
        name:
            f"records_{page}"
        localrule: True
        input:
            records_of(page),


rule live:
    """The live runs of all papers, by this code on this machine kind."""
    output:
        LIVE,
    params:
        settings=SETTINGS,
        code=NUMERIC,
        machine=machine(),
    threads: WORKERS
    message:
        "train the live comparisons"
    shell:
        "exec vqabook live {params.settings:q} --workers {threads} --done {output:q}"


rule records:
    """A shard of one page's training records. Its workers share them by file locks: each takes the next free one."""
    output:
        f"{COMPLETE}/{{trained}}.{{shard}}-of-{{shards}}",
    params:
        settings=SETTINGS,
        code=NUMERIC,
    threads: RECORDERS
    message:
        "train what is missing for {wildcards.trained}, profile {PROFILE}, shard {wildcards.shard} of {wildcards.shards}"
    shell:
        "exec vqabook run {wildcards.trained} {params.settings:q} --shard {wildcards.shard}/{wildcards.shards}"
        " --workers {threads} --done {output:q}"
