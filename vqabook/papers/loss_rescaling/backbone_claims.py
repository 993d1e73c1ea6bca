"""What Guo et al. 2021 (loss re-scaling) print of six backbones, as comparisons: Tables II to V, Figs. 7 and 8."""

from __future__ import annotations

from collections.abc import Sequence

from vqabook.papers.loss_rescaling.printed import (
    ACCURACY,
    CLARK,
    CLARK_LM_NUMBER,
    CP1,
    CP2,
    KAPPA,
    PAPER,
    TABLE_V,
    V2,
    value,
)
from vqabook.report.claims import Claim, Side

TITLES = {"": "UpDn", "lm": "LM", "lmh": "LMH", "css": "CSS", "css_lmh": "CSS+LMH", "lxmert": "LXMERT"}
OTHERS = tuple(filter(None, TITLES))  # all but UpDn
LOSSES = {"bce": "Sigm-BCE", "ce": "Soft-CE"}
METRICS = {"Y/N": "yes/no", "Num.": "number", "Other": "other", "All": "overall"}
DENIED = {("", "ce"), ("css", "bce"), ("css", "ce")}  # Table V prints a loss from the mask; the text claims no gain


def claim(
    name: str,
    statement: str,
    where: str,
    more: tuple,
    less: tuple,
    *,
    data: str = CP2,
    page: str = "02_loss_rescaling",
    unit: str = "points",
) -> Claim:
    """A claim between two (variant, prior, metric, printed value) sides."""
    sides = (Side({"variant": v, "prior": prior}, metric, printed) for v, prior, metric, printed in (more, less))
    return Claim(name, statement, where, *sides, page, PAPER, data, unit)


def run_of(backbone: str, loss: str, module: str) -> str:
    """The variant of a run; UpDn (the backbone "") stands without a name."""
    return f"{backbone} {loss} {module}".strip()


def ours(backbone: str) -> str:
    """The module that the tables call "+Ours": both, and re-scaling alone for LXMERT (Sec. V-C)."""
    return "re-scaling" if backbone == "lxmert" else "both"


def cells(backbone: str, data: str, kind: str = "All", *, table: dict = ACCURACY) -> tuple[float | None, float | None]:
    """(backbone + ours, backbone) as Tables II to IV print them."""
    title = TITLES[backbone]
    return value(table[data][f"{title}+Ours"][kind]), value(table[data][f"{title} ‡"][kind])


def _slug(*words: str) -> str:
    return "-".join(filter(None, words)).replace(" ", "-").replace("(", "").replace(")", "").replace("_", "-")


def table_v(backbone: str, loss: str) -> tuple[Claim, ...]:
    """A column of Table V: each module against what it extends. Sec. VI-B says that each gains."""
    pairs = (
        ("re-scaling", "baseline"),
        ("both", "baseline"),
        ("both", "re-scaling"),
        ("mask (softplus-G)", "baseline"),
        ("mask (softplus-G)", "mask (sigmoid)"),
        ("both", "mask (softplus-G)"),
    )
    title, found = TITLES[backbone], []
    for more, less in pairs:
        sides = [(run, "changing", "test.overall", TABLE_V.get(run)) for run in _runs(backbone, loss, more, less)]
        denied = (backbone, loss) in DENIED and (more, less) == ("mask (softplus-G)", "baseline")
        denied |= (backbone, more, less) == ("css_lmh", "both", "mask (softplus-G)")  # printed equal
        if denied or sides[0][-1] is None or sides[1][-1] is None:
            continue
        where = f"Table V, {LOSSES[loss]}, {title}"
        if backbone and (loss, more, less) == ("bce", ours(backbone), "baseline"):
            v1 = cells(backbone, CP1)
            where += f"; Table II, All; Table III, All ({v1[0] - v1[1]:+.2f})"
        prefix = f"{title}, " if backbone else ""
        name = _slug("table-v", backbone, loss, f"{more}-over-{less}")
        found.append(claim(name, f"{prefix}{LOSSES[loss]}: {more} beats {less}", where, *sides))
    return tuple(found)


def _runs(backbone: str, loss: str, *modules: str) -> list[str]:
    return [run_of(backbone, loss, module) for module in modules]


def _ends(backbone: str) -> list[str]:
    """The runs of backbone + ours and of the backbone, Sigm-BCE."""
    return _runs(backbone, "bce", ours(backbone), "baseline")


def by_answer_type(backbone: str) -> tuple[Claim, ...]:
    """Tables II and III by answer type, the cost on VQA v2 (Table II), and kappa (Table IV); not UpDn, not All."""
    title, (more, less) = TITLES[backbone], _ends(backbone)
    what = "re-scaling raises" if backbone == "lxmert" else "mask and re-scaling raise"
    costs = what.replace("raises", "costs").replace("raise", "cost")
    found = []
    for kind in ("Y/N", "Num.", "Other"):
        v1, v2, metric = cells(backbone, CP1, kind), cells(backbone, CP2, kind), METRICS[kind]
        if v1[0] <= v1[1]:  # printed as a loss, and the text claims a gain for most answer types only
            continue
        sides = [(run, "changing", f"test.{metric}", p) for run, p in zip((more, less), v1, strict=True)]
        where = f"Table III, {title}; Table II ({v2[0] - v2[1]:+.2f})"
        statement = f"{title}: {what} accuracy on {metric} questions"
        found.append(claim(_slug("table-iii", backbone, metric.replace("/", "-")), statement, where, *sides, data=CP1))
    gained, base = cells(backbone, V2)
    where = f"Table II, {title}, {V2}"
    if backbone == "css_lmh":
        where += f"; from the original CSS+LMH: {value(ACCURACY[V2]['CSS+LMH']['All']) - gained:+.2f}"
    sides = ((less, "same", "test.overall", base), (more, "same", "test.overall", gained))
    statement = f"{title}: {costs} accuracy when priors stay the same"
    found.append(claim(_slug("table-ii-cost", backbone), statement, where, *sides, data=V2))
    agreed = cells(backbone, CP1, table=KAPPA)
    sides = [(run, "changing", "test.kappa.overall", p) for run, p in zip((more, less), agreed, strict=True)]
    statement = f"{title}: {what} the agreement between labels and predictions"
    where = f"Table IV, {title}, VQA-CP v1, All"
    if agreed[0] > agreed[1]:  # the text claims most cases
        name = _slug("table-iv-kappa", backbone)
        found.append(claim(name, statement, where, *sides, data=CP1, unit="kappa x 100"))
    return tuple(found)


def order() -> tuple[Claim, ...]:
    """Backbones and comparison rows against each other (Tables II and III), and what debiasing costs on VQA v2."""
    updn, ask = "bce baseline", "bce baseline"
    pairs = (  # more, less, their rows of Tables II and III, a remark
        (f"lm {ask}", updn, "LM ‡", "UpDn ‡", ""),
        (f"lmh {ask}", f"lm {ask}", "LMH ‡", "LM ‡", ""),
        (f"css_lmh {ask}", f"lmh {ask}", "CSS+LMH ‡", "LMH ‡", ""),
        (f"css {ask}", updn, "CSS ‡", "UpDn ‡", "; by CSS's authors +1.42"),
        ("rubi ce baseline", updn, "Rubi", "UpDn ‡", "; RUBi trains with Soft-CE"),
        (updn, f"san {ask}", "UpDn ‡", "SAN", ""),
        (f"san {ask}", f"question_only {ask}", "SAN", "Question-only", ""),
    )
    found = []
    for more, less, row, other, remark in pairs:
        printed = [value(ACCURACY[CP2][name]["All"]) for name in (row, other)]
        sides = [(run, "changing", "test.overall", p) for run, p in zip((more, less), printed, strict=True)]
        names = [name.removesuffix(" ‡").replace("Rubi", "RUBi") for name in (row, other)]
        where = f"Table II, Sec. VI-A{remark}"
        found.append(claim(_slug("order", *names), f"{names[0]} beats {names[1]} when priors change", where, *sides))
    for backbone in ("lm", "lmh", "css_lmh"):
        sides = [
            (run, "same", "test.overall", value(ACCURACY[V2][row]["All"]))
            for run, row in ((updn, "UpDn ‡"), (f"{backbone} {ask}", f"{TITLES[backbone]} ‡"))
        ]
        statement = f"UpDn beats {TITLES[backbone]} when priors stay the same"
        found.append(claim(_slug("order-same", backbone), statement, f"Table II, {V2}", *sides, data=V2))
    return tuple(found)


def losses_compared() -> tuple[Claim, ...]:
    """Soft-CE against Sigm-BCE with re-scaling and against strong baselines (Sec. VI-B); the focal loss (Fig. 8)."""
    table = "Table V, Sec. VI-B"
    rows = (  # name, statement, more, less, where
        ("ce-over-bce-css", "CSS: with mask and re-scaling, Soft-CE beats Sigm-BCE", "css ce both", "css bce both",
         f"{table}, CSS"),
        ("ce-over-bce-lxmert", "LXMERT: with re-scaling, Soft-CE beats Sigm-BCE", "lxmert ce re-scaling",
         "lxmert bce re-scaling", f"{table}, LXMERT"),
        ("ce-over-lmh", "UpDn with Soft-CE, mask and re-scaling beats LMH", "ce both", "lmh bce baseline", table),
        ("ce-over-css-lmh", "UpDn with Soft-CE, mask and re-scaling beats CSS+LMH", "ce both", "css_lmh bce baseline",
         table),
        ("fig-8-re-scaling", "Re-scaling beats the focal loss", "bce re-scaling", "focal bce baseline",
         "Fig. 8, Sec. VI-C"),
        ("fig-8-both", "Mask and re-scaling beat the focal loss", "bce both", "focal bce baseline",
         "Fig. 8, Sec. VI-C"),
    )  # fmt: skip
    return tuple(
        claim(
            name,
            statement,
            where,
            *((run, "changing", "test.overall", TABLE_V.get(run)) for run in (more, less)),
        )
        for name, statement, more, less, where in rows
    )


def learned_mixin() -> tuple[Claim, ...]:
    """A conjecture of ours, that LM's printed row owes to a gate never trained; and the order of Clark et al. 2019."""
    frozen, found = "bce baseline @ frozen gate", []
    where = "Our conjecture: Table II, ‡, against Clark et al. 2019"
    for backbone, kind, theirs in (
        ("lm", "All", CLARK["lm bce baseline"]),
        ("lm", "Num.", CLARK_LM_NUMBER),
        ("lmh", "All", CLARK["lmh bce baseline"]),
    ):
        title, metric = TITLES[backbone], f"test.{METRICS[kind]}"
        guo = value(ACCURACY[CP2][f"{title} ‡"][kind])
        sides = (
            (f"{backbone} {frozen}", "changing", metric, guo),
            (f"{backbone} bce baseline", "changing", metric, theirs),
        )
        on = "" if kind == "All" else f" on {METRICS[kind]} questions"
        name = _slug("frozen-gate", backbone, "" if kind == "All" else METRICS[kind])
        found.append(claim(name, f"{title}: a gate left as initialised beats the trained one{on}", where, *sides))
    for name, more, less, statement in (
        ("clark-reweight", "reweight bce baseline", "bce baseline", "Re-weighting beats UpDn"),
        ("clark-bias-product", "bias_product bce baseline", "reweight bce baseline", "Bias product beats re-weighting"),
        ("clark-lm", "lm bce baseline", "bias_product bce baseline", "LM beats bias product"),
    ):
        sides = [(run, "changing", "test.overall", CLARK[run]) for run in (more, less)]
        found.append(claim(name, statement, "Clark et al. 2019, release", *sides))
    return tuple(found)


def dropout(rates: Sequence[float]) -> tuple[Claim, ...]:
    """Fig. 7, without against the largest of `rates`: UpDn prefers little dropout of its mask, LM, CSS and LMH more."""
    found = []
    for backbone in ("", "lm", "css", "lmh") if rates else ():
        none, much = (run_of(backbone, "bce", module) for module in ("both", f"both @ mask dropout {max(rates)}"))
        more, less = (much, none) if backbone else (none, much)
        statement = f"{TITLES[backbone]}: {'much' if backbone else 'no'} dropout of the mask is better"
        sides = ((run, "changing", "test.overall", None) for run in (more, less))
        found.append(claim(_slug("fig-7", backbone or "updn"), statement, f"Fig. 7, {max(rates)} against 0", *sides))
    return tuple(found)


BACKBONE_CLAIMS = (
    *(found for backbone in OTHERS for loss in LOSSES for found in table_v(backbone, loss)),
    *losses_compared(),
    *order(),
    *(found for backbone in OTHERS for found in by_answer_type(backbone)),
    *learned_mixin(),
)
