"""The graph: missing records, live runs -> executed notebooks, ledger -> book.

    snakemake book --cores 2
    snakemake book --cores 2 --config profile=smoke out=/tmp/b runs=/tmp/r
    snakemake book --profile profiles/slurm

`profile` is a preset of params/, `out` holds _build/, `runs` the records, `data_root` the downloaded benchmarks, and
`workers` is how many processes train one paper's records. A job runs again when its notebook, the records, the code or
these settings changed; live runs also when the machine kind did.
"""

import hashlib
from importlib.metadata import distribution
from pathlib import Path

from vqabook.evidence.fingerprint import code_hash
from vqabook.evidence.record import machine
from vqabook.papers import PAGES as PAPER_PAGES

PROFILE = config.get("profile", "small")
RUNS = config.get("runs", "data/runs")
BUILD = f"{config.get('out', 'book')}/_build"
SETTINGS = f"--profile {PROFILE}"  # without a folder of their own, runs that are recorded evidence are not made again
if "runs" in config:
    SETTINGS += f" --runs {RUNS}"
if "data_root" in config:
    SETTINGS += f" --data-root {config['data_root']}"

# notebooks/02_loss_rescaling.ipynb is the page loss_rescaling; one whose name is no paper's page needs no runs.
NOTEBOOKS = {path.stem: path.stem.partition("_")[2] for path in sorted(Path("notebooks").glob("[0-9]*_*.ipynb"))}
TRAINED = [page for page in NOTEBOOKS.values() if page in PAPER_PAGES]
PAGES = expand(f"{BUILD}/pages/{{page}}.ipynb", page=NOTEBOOKS)
PROSE = [str(path) for path in sorted(Path("book").glob("*.*"))]
THEME = [str(path) for folder in ("_static", "_templates") for path in sorted(Path("book", folder).glob("*.*"))]

# MathJax comes with a package of the environment: formulas render offline, the build needs no network and no Node.
MATHJAX = str(distribution("sphinx-mathjax-offline").locate_file("sphinx-mathjax-offline/static/mathjax"))

# The pages and the ledger depend on all of the code and the evidence, the records only on numeric code.
SOURCES = [*sorted(Path("vqabook").rglob("*.py")), *sorted(Path("book/evidence").rglob("*.json")), Path("vqabook/fetch/manifest.toml")]
CODE = hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES)).hexdigest()
NUMERIC = code_hash()
LIVE = f"{RUNS}/.complete/{PROFILE}-live"


wildcard_constraints:
    paper="[a-z_]+",
    page="[0-9]+_[a-z_]+",


localrules:
    ledger,
    book,


rule book:
    """The HTML, from a source folder put together afresh: the prose, the executed notebooks, the ledger."""
    input:
        pages=PAGES,
        ledger=f"{BUILD}/_generated/ledger.json",
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
        if grep --files-with-matches '"output_type": "error"' {input.pages}; then
            echo "These notebooks hold an error; a book is built only from notebooks that ran to their end." >&2
            exit 1
        fi
        source={BUILD}/source
        fonts=$source/_extra/mathjax/output/chtml/fonts
        rm -rf $source
        mkdir -p $fonts $source/pages
        cp -p {input.prose} $source
        cp -p {input.pages} $source/pages
        cp -pR book/_static book/_templates {BUILD}/_generated $source
        cp -p {MATHJAX:q}/tex-mml-chtml.js $source/_extra/mathjax
        cp -pR {MATHJAX:q}/output/chtml/fonts/woff-v2 $fonts
        jupyter-book build --quiet -W -n --keep-going --path-output {BUILD}/.. $source > {log}
        cp {input.ledger} {BUILD}/_generated/live.json {BUILD}/html
        """


rule ledger:
    """Every claim with its verdict, the live runs and the latest recheck, for people and for machines."""
    input:
        runs=expand(f"{RUNS}/.complete/{PROFILE}-{{paper}}", paper=TRAINED),
        live=LIVE,
    output:
        f"{BUILD}/_generated/ledger.json",
        f"{BUILD}/_generated/ledger.html",
        f"{BUILD}/_generated/live.json",
        f"{BUILD}/_generated/live.html",
        f"{BUILD}/_generated/recheck.html",
    params:
        code=CODE,
    message:
        "write the ledger"
    shell:
        "vqabook ledger {SETTINGS} --out {BUILD}/_generated"


rule page:
    """One executed notebook. When a cell fails, the command keeps the notebook with the error and says where."""
    input:
        notebook="notebooks/{page}.ipynb",
        runs=lambda wildcards: expand(
            f"{RUNS}/.complete/{PROFILE}-{{paper}}", paper={NOTEBOOKS[wildcards.page]} & set(TRAINED)
        ),
        live=LIVE,
    output:
        f"{BUILD}/pages/{{page}}.ipynb",
    params:
        code=CODE,
        settings=SETTINGS,
    message:
        "execute {input.notebook}"
    shell:
        "vqabook execute {input.notebook} {output} {params.settings}"


rule live:
    """The live runs of all papers, by this code on this machine kind."""
    output:
        LIVE,
    params:
        settings=SETTINGS,
        code=NUMERIC,
        machine=machine(),
    threads: int(config.get("workers", 2))
    message:
        "train the live comparisons"
    shell:
        """
        seq {threads} | xargs -P {threads} -I@ vqabook live {params.settings}
        echo {params.code} > {output}
        """


rule runs:
    """Every training record of one paper. Workers share the work by file locks: each takes the next free record."""
    output:
        f"{RUNS}/.complete/{PROFILE}-{{paper}}",
    params:
        settings=SETTINGS,
        code=NUMERIC,
    threads: int(config.get("workers", 2))
    message:
        "train what is missing for {wildcards.paper}, profile {PROFILE}"
    shell:
        """
        seq {threads} | xargs -P {threads} -I@ vqabook run {wildcards.paper} {params.settings}
        echo {params.code} > {output}
        """
