"""What Guo et al. 2022 (loss re-scaling) print, as comparisons: all claims of pages 01 and 02, and the tables' rows."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from vqabook.papers.loss_rescaling import printed
from vqabook.papers.loss_rescaling.printed import ACCURACY, CLARK, CP1, CP2, KAPPA, TABLE_V, V2, number, value
from vqabook.papers.loss_rescaling.setting import IN_TURN, UNIFORM
from vqabook.report.claims import LONGER, Claim, Side, mark_headlines

TITLE = "Loss re-scaling (Guo et al. 2022)"
BACKBONES = {"": "UpDn", "lm": "LM", "lmh": "LMH", "css": "CSS", "css_lmh": "CSS+LMH", "lxmert": "LXMERT"}
OTHERS = tuple(BACKBONES)[1:]  # all but UpDn
LOSSES = {"bce": "Sigm-BCE", "ce": "Soft-CE"}
MODELS = ("lxmert", "san", "question_only", "shuffled")  # other backbones are ways to train UpDn
BLIND, UNSEEING = "question_only bce baseline", ("question_only", "shuffled")
TEN = "VQA v2, all ten votes"  # the set that some controls are run on alone
METRICS = {"Y/N": "yes/no", "Num.": "number", "Other": "other", "All": "overall"}
DENIED = {("", "ce"), ("css", "bce"), ("css", "ce")}  # Table V prints a loss from the mask; the text claims no gain
IMAGE_SETS = {"cifar10": "Imbalanced CIFAR-10", "faces": "LFW, seven people", "digits": "Long-tailed digits"}
READ_ON = (  # image set, its rows with mistakes
    ("cifar10", "held_out"), ("cifar10", "train"), ("faces", "held_out"), ("digits", "held_out"),
)  # fmt: skip
UNTESTED = (  # where, what the text says, why no claim of ours tests it
    ("Sec. VI-A", "mask and re-scaling are best over most answer categories",
     "of the rows compared with we train question-only, SAN and RUBi; the others are quoted"),
    ("Sec. VI-A", "two-branch methods outperform their contemporaries", "AdvReg, GVQA, HINT and VGQE are quoted"),
    ("Sec. VI-A", "the gap between VQA v2 val and VQA-CP v2 test measures the bias that is learned",
     "a difference of differences: a table of the page, without a verdict"),
    ("Fig. 7", "UpDn prefers little dropout of its mask, LM, CSS and LMH more",
     "a table of the page with verdicts of its own: not all presets run it"),
    ("Sec. IV-B, Fig. 5", "very few validation answers are outside their type's training answers",
     "a count of the data, without seeds: page 01.1 has it for every set"),
    ("Sec. I, Sec. IV-C", "re-scaling has no parameters and costs no time at test",
     "it holds by construction: the weights are part of the loss alone; page 02.3 counts parameters"),
    ("Sec. VI-D, Fig. 9", "attention moves to what the question asks for", "a few examples of the authors' choice"),
)  # fmt: skip


def run_of(backbone: str, loss: str, module: str) -> str:
    """The variant of a run; UpDn (the backbone "") stands without a name."""
    return f"{backbone} {loss} {module}".strip()


def full_of(backbone: str) -> str:
    """The module of Guo's whole method: both, and re-scaling alone for LXMERT (Sec. V-C)."""
    return "re-scaling" if backbone == "lxmert" else "both"


ROWS = {  # rows of Tables II to IV -> their runs
    row: {"variant": run_of(backbone, "bce", module)}
    for backbone, title in BACKBONES.items()
    for row, module in ((f"{title} ‡", "baseline"), (f"{title} + {full_of(backbone)}", full_of(backbone)))
}
BACKBONE_OF = {
    f"{title} + {full_of(name)}": f"{title} ‡" for name, title in BACKBONES.items()
}  # what † compares a row with


def compare(
    name: str,
    statement: str,
    where: str,
    runs: Sequence[str],
    numbers: Sequence[float | None] = (None, None),
    *,
    metric: str = "overall",
    prior: str = "changing",
    data: str = CP2,
    unit: str = "points",
) -> Claim:
    """A claim that the first of two runs beats the second on test; `numbers`: what is printed of both."""
    wheres = ({"variant": run, "prior": prior} for run in runs)
    more, less = (Side(runs_of, f"test.{metric}", number) for runs_of, number in zip(wheres, numbers, strict=True))
    needs: tuple[str, ...] = ("question types",) if any("re-scaling" in run for run in runs) else ()
    if prior == "changing":
        needs += ("changed priors",)
        needs += ("ten votes",) if any(map(masks, runs)) else ()
    seeing = dict.fromkeys(plain_run(run) for run in runs if not run.startswith(UNSEEING))
    return Claim(
        name, statement, where, more, less, "02_loss_rescaling", TITLE, data, unit, needs=needs,
        models=tuple({"variant": run, "prior": prior} for run in seeing), blind={"variant": BLIND, "prior": prior},
    )  # fmt: skip


def masks(run: str) -> bool:
    """Whether a run has the answer mask: on its own, or with re-scaling ("both")."""
    return "mask (" in run or "both" in run.split()


def plain_run(run: str) -> str:
    """The run of the same model and loss that only learns.

    A run against the prior is meant to lose on validation, whose prior it leaves: what its model can see is not read
    from it.
    """
    words = run.split()
    model = words[0] if words[0] in MODELS else ""
    return run_of(model, next(word for word in words if word in LOSSES), "baseline")


def cells(backbone: str, data: str, kind: str = "All", *, table: dict = ACCURACY) -> tuple[float, float]:
    """(backbone with Guo's method, backbone) as Tables II to IV print them."""
    title = BACKBONES[backbone]
    return number(table[data][f"{title} + {full_of(backbone)}"][kind]), number(table[data][f"{title} ‡"][kind])


def _in_table_v(rows: Iterable[tuple[str, ...]]) -> Iterator[Claim]:
    """Claims of rows "name, statement, more, less, where" with the numbers of Table V, whatever is changed of a run."""
    for name, statement, *runs, where in rows:
        yield compare(name, statement, where, runs, [TABLE_V.get(run.split(" @ ")[0]) for run in runs])


def _slug(*words: str) -> str:
    return "-".join(filter(None, words)).replace(" ", "-").replace("(", "").replace(")", "").replace("_", "-")


def _diagnosis() -> Iterator[Claim]:
    """Sec. III: both assumptions, for each loss (the paper shows UpDn, whose loss is Sigm-BCE)."""
    late = "history.-1."
    rows = (  # name, statement, where, more, less, unit
        ("1", "late in training, hard mistakes cost more than easy ones", "Assumption 1, Table I, Fig. 2",
         f"{late}mistakes.hard_paired", f"{late}mistakes.easy_paired", "loss"),
        ("2", "late in training, the question encoder's gradient is larger than the classifier's",
         "Assumption 2, Fig. 3", f"{late}grad_question", f"{late}grad_classifier", "gradient norm"),
        ("2-growth", "the question encoder's gradient norm grows over training", "Sec. III-A, Fig. 3",
         f"{late}grad_question", "history.1.grad_question", "gradient norm"),
        ("2-decay", "the classifier's gradient norm falls over training", "Sec. III-A, Fig. 3",
         "history.1.grad_classifier", f"{late}grad_classifier", "gradient norm"),
    )  # fmt: skip
    for loss, title in LOSSES.items():
        for name, statement, where, *metrics, unit in rows:
            more, less = (Side({"variant": f"{loss} baseline", "prior": "changing"}, metric) for metric in metrics)
            name, statement = f"assumption-{name}-{loss}", f"{title}: {statement}"
            yield _of_page_01(name, statement, where, more, less, unit)
        more, less = (_excess(f"{loss} baseline", at) for at in (late, "history.0."))
        statement = f"{title}: what hard mistakes cost beyond easy ones grows from the first epoch to the last"
        yield _of_page_01(f"assumption-1-growth-{loss}", statement, "Sec. III-A, early and late", more, less, "loss")


def _excess(variant: str, at: str) -> Side:
    """What hard mistakes cost beyond easy ones, at a moment of training."""
    runs = {"variant": variant, "prior": "changing"}
    return Side(runs, f"{at}mistakes.hard_paired", over=Side(runs, f"{at}mistakes.easy_paired"))


def _of_page_01(name: str, statement: str, where: str, more: Side, less: Side, unit: str) -> Claim:
    needs = ("changed priors",)
    return Claim(
        name, statement, where, more, less, "01_class_imbalance", TITLE, "VQA-CP v2 train", unit, needs
    )  # fmt: skip


def _other_tasks() -> Iterator[Claim]:
    """Table I's reading of Sec. III-B, and that of the text on Fig. 4 against its control. Fig. 4 has no numbers."""
    rows = (  # name, statement, where, more, less: the division and the metric of its mistakes
        ("table-i", "frequent classes taken for sparse ones cost more than the reverse",
         "Sec. III-B, hard as in Table I", ("imbalanced", "hard_paired"), ("imbalanced", "easy_paired")),
        ("fig-4", "sparse classes taken for frequent ones cost more than with balanced classes",
         "Sec. III-B, hard as in the text on Fig. 4; control: balanced",
         ("imbalanced", "sparse_excess"), ("balanced", "sparse_excess")),
    )  # fmt: skip
    for dataset, part in READ_ON:
        title, which = IMAGE_SETS[dataset], {"held_out": "held-out rows", "train": "training rows"}[part]
        for name, statement, where, *pair in rows:
            runs = (({"part": "vision", "variant": f"{dataset} {division}"}, metric) for division, metric in pair)
            more, less = (Side(runs_of, f"{part}.mistakes.{metric}") for runs_of, metric in runs)
            name, statement = _slug("vision", dataset, name, part), f"{title}, {which}: {statement}"
            yield Claim(name, statement, where, more, less, "01_class_imbalance", TITLE, title, "loss")


def _updn() -> Iterator[Claim]:
    """Table III (VQA-CP v1, of which our real data is a part), UpDn against UpDn + both; and kappa, Table IV."""
    runs = _ends("")
    statement, where = "Mask and re-scaling cost accuracy when priors stay the same", f"Table II, UpDn, {V2}"
    yield compare("table-ii-cost", statement, where, runs[::-1], cells("", V2)[::-1], prior="same", data=V2)
    for kind, metric in METRICS.items():
        statement = "Mask and re-scaling raise accuracy" + ("" if kind == "All" else f" on {metric} questions")
        numbers = cells("", CP1, kind)
        yield compare(f"table-iii-{metric}", statement, "Table III, UpDn", runs, numbers, metric=metric, data=CP1)
    yield _kappa("", "Mask and re-scaling raise")


def _kappa(backbone: str, raises: str) -> Claim:
    name, where = _slug("table-iv-kappa", backbone), f"Table IV, {BACKBONES[backbone]}, VQA-CP v1, All"
    statement, numbers = f"{raises} the agreement between labels and predictions", cells(backbone, CP1, table=KAPPA)
    how = {"metric": "kappa.overall", "data": CP1, "unit": "kappa x 100"}
    return compare(name, statement, where, _ends(backbone), numbers, **how)


def _ends(backbone: str) -> list[str]:
    """The runs that Tables II to IV compare."""
    return [run_of(backbone, "bce", module) for module in (full_of(backbone), "baseline")]


def _table_v(backbone: str, loss: str) -> Iterator[Claim]:
    """A column of Table V: each module against what it extends. Sec. VI-B says that each gains."""
    title, mask = BACKBONES[backbone], "mask (softplus-G)"
    pairs = (
        ("re-scaling", "baseline"), ("both", "baseline"), ("both", "re-scaling"), (mask, "baseline"),
        (mask, "mask (sigmoid)"), ("both", mask),
    )  # fmt: skip
    for more, less in pairs:
        runs = [run_of(backbone, loss, module) for module in (more, less)]
        denied = (backbone, loss) in DENIED and (more, less) == (mask, "baseline")
        denied |= (backbone, more, less) == ("css_lmh", "both", mask)  # printed equal
        if denied or not TABLE_V.keys() >= set(runs):
            continue
        where = f"Table V, {LOSSES[loss]}, {title}"
        if backbone and (loss, more, less) == ("bce", full_of(backbone), "baseline"):
            v1 = cells(backbone, CP1)
            where += f"; Table II, All; Table III, All ({v1[0] - v1[1]:+.2f})"
        name = _slug("table-v", backbone, loss, f"{more}-over-{less}")
        statement = (f"{title}, " if backbone else "") + f"{LOSSES[loss]}: {more} beats {less}"
        yield compare(name, statement, where, runs, [TABLE_V[run] for run in runs])


SEC_VI_B, FIG_8 = "Table V, Sec. VI-B", "Fig. 8, Sec. VI-C"
UPDN_RELEASED, POSITIVE = "Table V, UpDn, not by the equations", "weights on the positive term of Sigm-BCE alone"
AS_RELEASED = (  # by what the released code computes, and with weights from the first epoch on
    ("bce-both-release", "As released, Sigm-BCE: both beats baseline", "bce both @ release", "bce baseline",
     UPDN_RELEASED),
    ("bce-re-scaling-release", "As released, Sigm-BCE: re-scaling beats baseline", "bce re-scaling @ release",
     "bce baseline", UPDN_RELEASED),
    ("ce-re-scaling-from-the-start", "Weighted from the first epoch, Soft-CE: re-scaling beats baseline",
     "ce re-scaling @ from the start", "ce baseline", UPDN_RELEASED),
    ("bce-both-positive-term", f"UpDn, {POSITIVE}: both beats baseline", "bce both @ positive term only",
     "bce baseline", UPDN_RELEASED),
    *((f"{backbone}-bce-re-scaling-positive-term", f"{BACKBONES[backbone]}, {POSITIVE}: re-scaling beats baseline",
       f"{backbone} bce re-scaling @ positive term only", f"{backbone} bce baseline",
       f"Table V, {BACKBONES[backbone]}, not by the equations")
      for backbone in ("css", "lxmert")),  # LM, LMH: the release weighs both terms, as Eq. 11
    ("ce-over-bce", "With mask and re-scaling, Soft-CE beats Sigm-BCE", "ce both", "bce both", "Table V, UpDn"),
)  # fmt: skip
OVER_BASELINES = (  # Soft-CE against Sigm-BCE with re-scaling and against strong baselines; the focal loss
    ("ce-over-bce-css", "CSS: with mask and re-scaling, Soft-CE beats Sigm-BCE", "css ce both", "css bce both",
     f"{SEC_VI_B}, CSS"),
    ("ce-over-bce-lxmert", "LXMERT: with re-scaling, Soft-CE beats Sigm-BCE", "lxmert ce re-scaling",
     "lxmert bce re-scaling", f"{SEC_VI_B}, LXMERT"),
    ("ce-over-lmh", "UpDn with Soft-CE, mask and re-scaling beats LMH", "ce both", "lmh bce baseline", SEC_VI_B),
    ("ce-over-css-lmh", "UpDn with Soft-CE, mask and re-scaling beats CSS+LMH", "ce both", "css_lmh bce baseline",
     SEC_VI_B),
    ("fig-8-re-scaling", "Re-scaling beats the focal loss", "bce re-scaling", "focal bce baseline", FIG_8),
    ("fig-8-both", "Mask and re-scaling beat the focal loss", "bce both", "focal bce baseline", FIG_8),
)  # fmt: skip


def _order() -> Iterator[Claim]:
    """Backbones and comparison rows against each other (Tables II and III), and what debiasing costs on VQA v2."""
    pairs = (  # more, less, their rows of Tables II and III, a remark
        ("lm bce baseline", "bce baseline", "LM ‡", "UpDn ‡", ""),
        ("lmh bce baseline", "lm bce baseline", "LMH ‡", "LM ‡", ""),
        ("css_lmh bce baseline", "lmh bce baseline", "CSS+LMH ‡", "LMH ‡", ""),
        ("css bce baseline", "bce baseline", "CSS ‡", "UpDn ‡", "; by CSS's authors +1.42"),
        ("rubi ce baseline", "bce baseline", "Rubi", "UpDn ‡", "; RUBi trains with Soft-CE"),
        ("bce baseline", "san bce baseline", "UpDn ‡", "SAN", ""),
        ("san bce baseline", "question_only bce baseline", "SAN", "Question-only", ""),
    )
    for *runs, row, other, remark in pairs:
        numbers = [value(ACCURACY[CP2][name]["All"]) for name in (row, other)]
        more, less = (name.removesuffix(" ‡").replace("Rubi", "RUBi") for name in (row, other))
        statement = f"{more} beats {less} when priors change"
        yield compare(_slug("order", more, less), statement, f"Table II, Sec. VI-A{remark}", runs, numbers)
    for backbone in ("lm", "lmh", "css_lmh"):
        both, as_printed = ("bce baseline", f"{backbone} bce baseline"), (cells("", V2)[1], cells(backbone, V2)[1])
        name, statement = _slug("order-same", backbone), f"UpDn beats {BACKBONES[backbone]} when priors stay the same"
        yield compare(name, statement, f"Table II, {V2}", both, as_printed, prior="same", data=V2)


def _by_answer_type(backbone: str) -> Iterator[Claim]:
    """Tables II and III by answer type, the cost on VQA v2 (Table II), and kappa (Table IV); not UpDn, not All."""
    title, runs = BACKBONES[backbone], _ends(backbone)
    raises, costs = "mask and re-scaling raise", "mask and re-scaling cost"
    if backbone == "lxmert":
        raises, costs = "re-scaling raises", "re-scaling costs"
    for kind in ("Y/N", "Num.", "Other"):
        v1, v2, metric = cells(backbone, CP1, kind), cells(backbone, CP2, kind), METRICS[kind]
        if v1[0] > v1[1]:  # others are printed as losses, and the text claims a gain for most answer types only
            name, statement = _slug("table-iii", backbone, metric), f"{title}: {raises} accuracy on {metric} questions"
            where = f"Table III, {title}; Table II ({v2[0] - v2[1]:+.2f})"
            yield compare(name.replace("/", "-"), statement, where, runs, v1, metric=metric, data=CP1)
    numbers, where = cells(backbone, V2)[::-1], f"Table II, {title}, {V2}"
    if backbone == "css_lmh":
        where += f"; from the original CSS+LMH: {number(ACCURACY[V2]['CSS+LMH']['All']) - numbers[1]:+.2f}"
    name, statement = _slug("table-ii-cost", backbone), f"{title}: {costs} accuracy when priors stay the same"
    yield compare(name, statement, where, runs[::-1], numbers, prior="same", data=V2)
    kappa = cells(backbone, CP1, table=KAPPA)
    if kappa[0] > kappa[1]:  # the text claims most cases
        yield _kappa(backbone, f"{title}: {raises}")


def _learned_mixin() -> Iterator[Claim]:
    """A conjecture of ours, that LM's printed row owes to a gate never trained; and the order of Clark et al. 2019."""
    rows = (  # backbone, answer type, name and statement of it, what Clark et al. have
        ("lm", "All", "", "", CLARK["lm bce baseline"]),
        ("lm", "Num.", "-number", " on number questions", printed.CLARK_LM_NUMBER),
        ("lmh", "All", "", "", CLARK["lmh bce baseline"]),
    )
    for backbone, kind, of, on, theirs in rows:
        runs = (f"{backbone} bce baseline @ frozen gate", f"{backbone} bce baseline")
        statement = f"{BACKBONES[backbone]}: a gate left as initialised beats the trained one{on}"
        where = "Our conjecture: Table II, ‡, against Clark et al. 2019"
        numbers = (cells(backbone, CP2, kind)[1], theirs)
        yield compare(f"frozen-gate-{backbone}{of}", statement, where, runs, numbers, metric=METRICS[kind])
    for name, more, less, statement in (
        ("reweight", "reweight bce baseline", "bce baseline", "Re-weighting beats UpDn"),
        ("bias-product", "bias_product bce baseline", "reweight bce baseline", "Bias product beats re-weighting"),
        ("lm", "lm bce baseline", "bias_product bce baseline", "LM beats bias product"),
    ):
        where, numbers = "Clark et al. 2019, release", (CLARK[more], CLARK[less])
        yield compare(f"clark-{name}", statement, where, (more, less), numbers)


def _controls() -> Iterator[Claim]:
    """Ours: whether a gain is one of sight. One that sees nothing has none to gain; what it loses, weights take."""
    for name, title in (("question-only", "A model without an image"), ("shuffled", "UpDn shown other images")):
        runs = [f"{name.replace('-', '_')} ce {module}" for module in ("re-scaling", "baseline")]
        yield compare(f"control-{name}", f"{title}, Soft-CE: re-scaling beats baseline", "Ours: control, blind", runs)
    for name, title, of in (("in-turn", "UpDn", ""), ("in-turn-blind", "A model without an image", "question_only ")):
        runs = [f"{of}ce {module} @ {IN_TURN}" for module in ("re-scaling", "baseline")]
        statement = f"{title}, Soft-CE, test of rare answers: re-scaling beats baseline"
        yield compare(f"control-{name}", statement, "Ours: control, division of the questions", runs, data=TEN)
    statement = "A model without an image, Sigm-BCE: mask and re-scaling of the positive term beat baseline"
    runs = ["blind bce both @ positive term only", BLIND]
    yield compare("control-positive-blind", statement, "Ours: control, blind", runs, data=TEN)
    runs = [f"ce {module}{LONGER}" for module in ("re-scaling", "baseline")]
    statement = "UpDn, Soft-CE, trained twice as long: re-scaling beats baseline"
    yield compare("control-longer", statement, "Ours: control, length of training", runs, data=TEN)
    for loss, title in LOSSES.items():
        rescaled, baseline = f"{loss} re-scaling", f"{loss} baseline"
        name, statement = f"control-same-{loss}", f"{title}: re-scaling costs accuracy when priors stay the same"
        yield compare(name, statement, "Ours: control, same priors", (baseline, rescaled), prior="same", data="")
        name, statement = f"control-valid-{loss}", f"{title}: re-scaling costs accuracy on validation questions"
        claim = compare(name, statement, "Ours: control, priors of training", (baseline, rescaled), data="")
        yield replace(claim, more=replace(claim.more, metric="valid"), less=replace(claim.less, metric="valid"))
        runs = [f"{run} @ {UNIFORM}" for run in (rescaled, baseline)]
        name, statement = f"control-uniform-{loss}", f"{title}: re-scaling gains where all answers are equally frequent"
        yield compare(name, statement, "Ours: control, uniform answers", runs, prior="same", data="")


def dropout(rates: Sequence[float]) -> tuple[Claim, ...]:
    """Fig. 7, without against the largest of `rates`: UpDn prefers little dropout of its mask, LM, CSS and LMH more."""
    claims = []
    for backbone in ("", "lm", "css", "lmh") if rates else ():
        runs = [run_of(backbone, "bce", module) for module in ("both", f"both @ mask dropout {max(rates)}")]
        statement = f"{BACKBONES[backbone]}: {'much' if backbone else 'no'} dropout of the mask is better"
        name, where = _slug("fig-7", backbone or "updn"), f"Fig. 7, {max(rates)} against 0"
        claims.append(compare(name, statement, where, runs[::-1] if backbone else runs))
    return tuple(claims)


HEADLINES = (
    "assumption-1-bce",
    *(f"table-v-bce-{module}-over-baseline" for module in ("both", "re-scaling")),
    "table-v-ce-both-over-baseline",
    *(f"table-v-{backbone}-bce-both-over-baseline" for backbone in ("css", "lmh")),
)
CLAIMS = mark_headlines(
    (
        *_diagnosis(),
        *_other_tasks(),
        *_updn(),
        *(claim for loss in LOSSES for claim in _table_v("", loss)),
        *_in_table_v(AS_RELEASED),
        *(claim for backbone in OTHERS for loss in LOSSES for claim in _table_v(backbone, loss)),
        *_in_table_v(OVER_BASELINES),
        *_order(),
        *(claim for backbone in OTHERS for claim in _by_answer_type(backbone)),
        *_learned_mixin(),
        *_controls(),
    ),
    HEADLINES,
)
