"""What Guo et al. 2021 (loss re-scaling) print of six backbones, as comparisons: Tables II to V, Figs. 7 and 8."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vqabook.papers.loss_rescaling.printed import (
    ACCURACY,
    CLARK,
    CLARK_LM_NUMBER,
    CP1,
    CP2,
    KAPPA,
    TABLE_V,
    TITLE,
    V2,
    value,
)
from vqabook.report.claims import Claim, Side

TITLES = {"": "UpDn", "lm": "LM", "lmh": "LMH", "css": "CSS", "css_lmh": "CSS+LMH", "lxmert": "LXMERT"}
OTHERS = tuple(filter(None, TITLES))  # all but UpDn
LOSSES = {"bce": "Sigm-BCE", "ce": "Soft-CE"}
METRICS = {"Y/N": "yes/no", "Num.": "number", "Other": "other", "All": "overall"}
DENIED = {("", "ce"), ("css", "bce"), ("css", "ce")}  # Table V prints a loss from the mask; the text claims no gain
Printed = tuple[float | None, float | None]


def compare(
    name: str,
    statement: str,
    where: str,
    runs: Sequence[str],
    printed: Printed = (None, None),
    *,
    metric: str = "overall",
    prior: str = "changing",
    data: str = CP2,
    unit: str = "points",
) -> Claim:
    """A claim that the first of two runs beats the second on test; `printed`: the numbers of both."""
    more, less = (
        Side({"variant": run, "prior": prior}, f"test.{metric}", number)
        for run, number in zip(runs, printed, strict=True)
    )
    return Claim(name, statement, where, more, less, "02_loss_rescaling", TITLE, data, unit)


def run_of(backbone: str, loss: str, module: str) -> str:
    """The variant of a run; UpDn (the backbone "") stands without a name."""
    return f"{backbone} {loss} {module}".strip()


def ours(backbone: str) -> str:
    """The module that the tables call "+Ours": both, and re-scaling alone for LXMERT (Sec. V-C)."""
    return "re-scaling" if backbone == "lxmert" else "both"


def cells(backbone: str, data: str, kind: str = "All", *, table: dict = ACCURACY) -> Printed:
    """(backbone + ours, backbone) as Tables II to IV print them."""
    title = TITLES[backbone]
    return value(table[data][f"{title}+Ours"][kind]), value(table[data][f"{title} ‡"][kind])


def in_table_v(*runs: str) -> Printed:
    """What Table V prints of two runs; None where it has no number."""
    more, less = map(TABLE_V.get, runs)
    return more, less


def _slug(*words: str) -> str:
    return "-".join(filter(None, words)).replace(" ", "-").replace("(", "").replace(")", "").replace("_", "-")


def table_v(backbone: str, loss: str) -> Iterator[Claim]:
    """A column of Table V: each module against what it extends. Sec. VI-B says that each gains."""
    pairs = (
        ("re-scaling", "baseline"),
        ("both", "baseline"),
        ("both", "re-scaling"),
        ("mask (softplus-G)", "baseline"),
        ("mask (softplus-G)", "mask (sigmoid)"),
        ("both", "mask (softplus-G)"),
    )
    for more, less in pairs:
        runs = [run_of(backbone, loss, module) for module in (more, less)]
        denied = (backbone, loss) in DENIED and (more, less) == ("mask (softplus-G)", "baseline")
        denied |= (backbone, more, less) == ("css_lmh", "both", "mask (softplus-G)")  # printed equal
        if denied or None in in_table_v(*runs):
            continue
        where = f"Table V, {LOSSES[loss]}, {TITLES[backbone]}"
        if backbone and (loss, more, less) == ("bce", ours(backbone), "baseline"):
            v1 = cells(backbone, CP1)
            where += f"; Table II, All; Table III, All ({v1[0] - v1[1]:+.2f})"
        prefix = f"{TITLES[backbone]}, " if backbone else ""
        name = _slug("table-v", backbone, loss, f"{more}-over-{less}")
        yield compare(name, f"{prefix}{LOSSES[loss]}: {more} beats {less}", where, runs, in_table_v(*runs))


def by_answer_type(backbone: str) -> Iterator[Claim]:
    """Tables II and III by answer type, the cost on VQA v2 (Table II), and kappa (Table IV); not UpDn, not All."""
    title, runs = TITLES[backbone], [run_of(backbone, "bce", module) for module in (ours(backbone), "baseline")]
    what = "re-scaling raises" if backbone == "lxmert" else "mask and re-scaling raise"
    costs = what.replace("raises", "costs").replace("raise", "cost")
    for kind in ("Y/N", "Num.", "Other"):
        v1, v2, metric = cells(backbone, CP1, kind), cells(backbone, CP2, kind), METRICS[kind]
        if v1[0] > v1[1]:  # others are printed as losses, and the text claims a gain for most answer types only
            where = f"Table III, {title}; Table II ({v2[0] - v2[1]:+.2f})"
            statement = f"{title}: {what} accuracy on {metric} questions"
            name = _slug("table-iii", backbone, metric.replace("/", "-"))
            yield compare(name, statement, where, runs, v1, metric=metric, data=CP1)
    gained, base = cells(backbone, V2)
    where = f"Table II, {title}, {V2}"
    if backbone == "css_lmh":
        where += f"; from the original CSS+LMH: {value(ACCURACY[V2]['CSS+LMH']['All']) - gained:+.2f}"
    statement = f"{title}: {costs} accuracy when priors stay the same"
    name = _slug("table-ii-cost", backbone)
    yield compare(name, statement, where, runs[::-1], (base, gained), prior="same", data=V2)
    kappa = cells(backbone, CP1, table=KAPPA)
    if kappa[0] > kappa[1]:  # the text claims most cases
        statement = f"{title}: {what} the agreement between labels and predictions"
        how = {"metric": "kappa.overall", "data": CP1, "unit": "kappa x 100"}
        where = f"Table IV, {title}, VQA-CP v1, All"
        yield compare(_slug("table-iv-kappa", backbone), statement, where, runs, kappa, **how)


def order() -> Iterator[Claim]:
    """Backbones and comparison rows against each other (Tables II and III), and what debiasing costs on VQA v2."""
    updn, baseline = "bce baseline", "bce baseline"
    pairs = (  # more, less, their rows of Tables II and III, a remark
        (f"lm {baseline}", updn, "LM ‡", "UpDn ‡", ""),
        (f"lmh {baseline}", f"lm {baseline}", "LMH ‡", "LM ‡", ""),
        (f"css_lmh {baseline}", f"lmh {baseline}", "CSS+LMH ‡", "LMH ‡", ""),
        (f"css {baseline}", updn, "CSS ‡", "UpDn ‡", "; by CSS's authors +1.42"),
        ("rubi ce baseline", updn, "Rubi", "UpDn ‡", "; RUBi trains with Soft-CE"),
        (updn, f"san {baseline}", "UpDn ‡", "SAN", ""),
        (f"san {baseline}", f"question_only {baseline}", "SAN", "Question-only", ""),
    )
    for *runs, row, other, remark in pairs:
        printed = [value(ACCURACY[CP2][name]["All"]) for name in (row, other)]
        more, less = (name.removesuffix(" ‡").replace("Rubi", "RUBi") for name in (row, other))
        statement = f"{more} beats {less} when priors change"
        yield compare(_slug("order", more, less), statement, f"Table II, Sec. VI-A{remark}", runs, printed)
    for backbone in ("lm", "lmh", "css_lmh"):
        title = TITLES[backbone]
        printed = [value(ACCURACY[V2][row]["All"]) for row in ("UpDn ‡", f"{title} ‡")]
        statement, runs = f"UpDn beats {title} when priors stay the same", (updn, f"{backbone} {baseline}")
        name = _slug("order-same", backbone)
        yield compare(name, statement, f"Table II, {V2}", runs, printed, prior="same", data=V2)


def losses() -> Iterator[Claim]:
    """Soft-CE against Sigm-BCE with re-scaling and against strong baselines (Sec. VI-B); the focal loss (Fig. 8)."""
    table, figure = "Table V, Sec. VI-B", "Fig. 8, Sec. VI-C"
    rows = (  # name, statement, more, less, where
        ("ce-over-bce-css", "CSS: with mask and re-scaling, Soft-CE beats Sigm-BCE", "css ce both", "css bce both",
         f"{table}, CSS"),
        ("ce-over-bce-lxmert", "LXMERT: with re-scaling, Soft-CE beats Sigm-BCE", "lxmert ce re-scaling",
         "lxmert bce re-scaling", f"{table}, LXMERT"),
        ("ce-over-lmh", "UpDn with Soft-CE, mask and re-scaling beats LMH", "ce both", "lmh bce baseline", table),
        ("ce-over-css-lmh", "UpDn with Soft-CE, mask and re-scaling beats CSS+LMH", "ce both", "css_lmh bce baseline",
         table),
        ("fig-8-re-scaling", "Re-scaling beats the focal loss", "bce re-scaling", "focal bce baseline", figure),
        ("fig-8-both", "Mask and re-scaling beat the focal loss", "bce both", "focal bce baseline", figure),
    )  # fmt: skip
    for name, statement, *runs, where in rows:
        yield compare(name, statement, where, runs, in_table_v(*runs))


def learned_mixin() -> Iterator[Claim]:
    """A conjecture of ours, that LM's printed row owes to a gate never trained; and the order of Clark et al. 2019."""
    where = "Our conjecture: Table II, ‡, against Clark et al. 2019"
    for backbone, kind, theirs in (
        ("lm", "All", CLARK["lm bce baseline"]),
        ("lm", "Num.", CLARK_LM_NUMBER),
        ("lmh", "All", CLARK["lmh bce baseline"]),
    ):
        title, metric = TITLES[backbone], METRICS[kind]
        printed = (value(ACCURACY[CP2][f"{title} ‡"][kind]), theirs)
        runs = (f"{backbone} bce baseline @ frozen gate", f"{backbone} bce baseline")
        name, on = (
            (_slug("frozen-gate", backbone), "")
            if kind == "All"
            else (_slug("frozen-gate", backbone, metric), f" on {metric} questions")
        )
        statement = f"{title}: a gate left as initialised beats the trained one{on}"
        yield compare(name, statement, where, runs, printed, metric=metric)
    for name, more, less, statement in (
        ("clark-reweight", "reweight bce baseline", "bce baseline", "Re-weighting beats UpDn"),
        ("clark-bias-product", "bias_product bce baseline", "reweight bce baseline", "Bias product beats re-weighting"),
        ("clark-lm", "lm bce baseline", "bias_product bce baseline", "LM beats bias product"),
    ):
        yield compare(name, statement, "Clark et al. 2019, release", (more, less), (CLARK[more], CLARK[less]))


def dropout(rates: Sequence[float]) -> tuple[Claim, ...]:
    """Fig. 7, without against the largest of `rates`: UpDn prefers little dropout of its mask, LM, CSS and LMH more."""
    claims = []
    for backbone in ("", "lm", "css", "lmh") if rates else ():
        runs = [run_of(backbone, "bce", module) for module in ("both", f"both @ mask dropout {max(rates)}")]
        statement = f"{TITLES[backbone]}: {'much' if backbone else 'no'} dropout of the mask is better"
        name, where = _slug("fig-7", backbone or "updn"), f"Fig. 7, {max(rates)} against 0"
        claims.append(compare(name, statement, where, runs[::-1] if backbone else runs))
    return tuple(claims)


BACKBONE_CLAIMS = (
    *(claim for backbone in OTHERS for loss in LOSSES for claim in table_v(backbone, loss)),
    *losses(),
    *order(),
    *(claim for backbone in OTHERS for claim in by_answer_type(backbone)),
    *learned_mixin(),
)
