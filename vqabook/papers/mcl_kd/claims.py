"""What Mun et al. 2018 (MCL-KD) print, as comparisons: Tables 1, 2 and 4, Figs. 3 and 4; and ours."""

from dataclasses import replace

from vqabook.metrics.owners import find_confidence
from vqabook.papers.mcl_kd.setting import NETWORKS, RULES, TASK_OF
from vqabook.report.claims import Claim, Side, mark_headlines

TITLE = "Specialised ensembles (Mun et al. 2018)"
PAGE = "05_mcl_kd"

DATA = {"reasoning": "CLEVR", "vqa": "VQA v2", "image": "CIFAR-100"}
TABLE = {"mlp": "Table 1", "san": "Table 1", "updn": "Table 2", "resnet": "Table 4", "vgg": "Table 4"}
# top-1, oracle of every row; "single" is one base model, "base" all of them: the independent ensemble
PRINTED: dict[str, dict[str, tuple[float, float | None]]] = {
    "mlp": {
        "single": (58.40, None), "base": (60.10, 80.73),
        "mcl k1": (41.31, 98.92), "cmcl k1": (59.12, 63.76), "mcl_kd k1": (60.22, 80.75),
        "mcl k2": (48.94, 97.57), "cmcl k2": (60.27, 76.00), "mcl_kd k2": (60.38, 81.20),
        "mcl k3": (58.63, 95.67), "cmcl k3": (60.49, 82.67), "mcl_kd k3": (60.89, 81.86),
    },
    "san": {
        "single": (82.30, None), "base": (85.23, 94.93),
        "mcl k1": (42.19, 98.67), "cmcl k1": (83.99, 91.55), "mcl_kd k1": (85.98, 95.38),
        "mcl k2": (58.39, 98.62), "cmcl k2": (84.83, 96.64), "mcl_kd k2": (87.02, 95.78),
        "mcl k3": (83.73, 98.62), "cmcl k3": (86.18, 96.26), "mcl_kd k3": (88.16, 96.12),
    },
    "updn": {
        "single": (63.42, None), "base": (65.27, 76.23),
        "mcl k3": (64.94, 78.15), "cmcl k3": (64.99, 73.34), "mcl_kd k3": (65.67, 76.95),
    },
    "resnet": {
        "single": (53.98, None), "base": (64.60, 79.95),
        "mcl k1": (56.40, 70.40), "mcl k2": (57.19, 78.28), "mcl k3": (61.28, 80.03),
        "cmcl k1": (48.67, 62.56), "cmcl k2": (55.16, 71.69), "cmcl k3": (58.13, 75.01),
        "cmcl + fs k1": (56.30, 70.39), "cmcl + fs k2": (61.20, 77.24), "cmcl + fs k3": (63.78, 79.84),
        "mcl_kd k1": (65.27, 80.74), "mcl_kd k2": (65.31, 80.79), "mcl_kd k3": (65.60, 80.91),
        "mcl_kd + fs k1": (66.72, 81.07), "mcl_kd + fs k2": (66.63, 81.86), "mcl_kd + fs k3": (66.56, 81.33),
    },
    "vgg": {
        "single": (61.62, None), "base": (68.43, 81.07),
        "mcl k1": (51.94, 78.64), "mcl k2": (62.41, 82.77), "mcl k3": (67.30, 83.91),
        "cmcl k1": (57.27, 62.16), "cmcl k2": (64.37, 74.41), "cmcl k3": (67.44, 78.90),
        "cmcl + fs k1": (60.85, 66.05), "cmcl + fs k2": (66.34, 75.59), "cmcl + fs k3": (67.94, 80.36),
        "mcl_kd k1": (68.75, 81.87), "mcl_kd k2": (68.77, 81.72), "mcl_kd k3": (68.80, 82.00),
        "mcl_kd + fs k1": (69.70, 82.48), "mcl_kd + fs k2": (69.33, 82.09), "mcl_kd + fs k3": (68.92, 82.11),
    },
}  # fmt: skip
CONTRADICTIONS = (  # where, what the paper prints there
    ("Eq. 5 and its β", "β is 50 for CLEVR and 5,000 for VQA, where Eq. 5 sums over the answers; the released code "
     "averages over them, and on the scale of the equation both are nearly the same, 1.8 and 1.6."),
    ("Tables 1 and 2", "members of MCL-KD start from trained models and train on; neither text nor release says that "
     "the independent ensemble does."),
)  # fmt: skip
STUDIED = ("san", "resnet")  # networks with claims on what is asked for alone
KS = {network: (3,) if network == "updn" else (1, 2, 3) for network in NETWORKS}
METRICS = ("overall", "oracle")
SHARP = {network: 3 if TASK_OF[network] == "image" else min(ks) for network, ks in KS.items()}  # k of MCL's best oracle


def _runs(network: str, row: str) -> dict[str, object]:
    return {"variant": f"{network} {row}", "prior": "none" if TASK_OF[network] == "image" else "same"}


def _side(network: str, row: str, metric: str) -> Side:
    if row == "single":
        return Side(_runs(network, "base"), "test.single", PRINTED[network]["single"][0])
    if metric not in METRICS:
        return Side(_runs(network, row), metric if "." in metric else f"specialised.{metric}")
    return Side(_runs(network, row), f"test.{metric}", PRINTED[network].get(row, (None, None))[METRICS.index(metric)])


def _claim(network: str, more: str, less: str, metric: str, statement: str, where: str, unit: str = "points") -> Claim:
    name = f"mcl-{network}-{more}-over-{less}-{metric}".translate({32: "-", 95: "-", 46: "-"})
    name = name.replace("-@", "").replace("-+", "")
    first, second = (_side(network, row, metric) for row in (more, less))
    title = f"{NETWORKS[network]}: {statement}"
    needs = ("question types",) if "chance" in metric and TASK_OF[network] != "image" else ()
    return Claim(
        name, title, where, first, second, PAGE, TITLE, DATA[TASK_OF[network]], unit, needs=needs, selects=True,
        starts=(_runs(network, "base"),), guess={"variant": f"{TASK_OF[network]} unread"},
    )  # fmt: skip


def title_of(row: str) -> str:
    """A row's name as the tables have it: "mcl_kd + fs k2" is "MCL-KD + FS (k = 2)", "base" is IE."""
    row, _, ours = row.partition(" @ ")
    rule, _, k = row.partition(" k")
    titles = RULES | {"fs": "FS", "ie": "IE", "base": "IE", "single": "one of its models"}
    title = " ".join(
        [*(titles.get(word, word) for word in rule.split()), *([f"(k = {k})"] if k else []), *ours.split()]
    )
    return f"{title} (ours)" if ours else title


def _of(network: str) -> list[Claim]:
    """The tables' comparisons for one network, each as it came out in print."""
    ks, printed = KS[network], PRINTED[network]
    claims = [_as_printed(network, ("base", "single"), "overall")]
    if len(ks) > 1:
        claims += [_as_printed(network, (f"{rule} k{max(ks)}", f"{rule} k{min(ks)}"), "overall") for rule in RULES]
    # that MCL has the best oracle is one claim; Sec. 4.2: "often worse than those of IE"
    worse = [k for k in ks if (printed[f"mcl k{k}"][1] or 0.0) < (printed["base"][1] or 0.0)]
    claims += [_as_printed(network, (f"mcl k{k}", "base"), "oracle") for k in (SHARP[network], *worse)]
    for k in ks:
        kd, cmcl, mcl = (f"{rule} k{k}" for rule in ("mcl_kd", "cmcl", "mcl"))
        pairs = [(kd, "base"), (kd, cmcl), (kd, mcl), ("base", mcl), (cmcl, mcl), ("base", cmcl)]
        if TASK_OF[network] == "image":
            pairs += [(f"{rule} + fs k{k}", row) for rule in ("cmcl", "mcl_kd") for row in (f"{rule} k{k}", "base")]
        claims += [_as_printed(network, pair, "overall") for pair in pairs]
        claims += [_as_printed(network, (row, "base"), "oracle") for row in (kd, cmcl)]
    return claims


def _as_printed(network: str, pair: tuple[str, str], metric: str) -> Claim:
    """The better row in print beats the other."""
    more, less = sorted(pair, key=lambda row: PRINTED[network][row][METRICS.index(metric)] or 0.0, reverse=True)
    text = f"{title_of(more)} beats {title_of(less)}{' in oracle accuracy' if metric == 'oracle' else ''}"
    return _claim(network, more, less, metric, text, TABLE[network])


def _across() -> list[Claim]:
    """What the text of Sec. 4.1 says beyond the tables' rows."""
    claims = []
    for k in KS["san"]:
        more = _claim("san", f"mcl_kd k{k}", "base", "overall", f"MCL-KD gains more than with the MLP, at k = {k}",
                      "Table 1, Sec. 4.1")  # fmt: skip
        less = _claim("mlp", f"mcl_kd k{k}", "base", "overall", "", "")
        gains = [replace(claim.more, over=claim.less) for claim in (more, less)]
        name = f"mcl-san-gain-over-mlp-gain-k{k}"
        claims.append(replace(more, name=name, more=gains[0], less=gains[1], starts=more.starts + less.starts))
    sure = _claim("san", "mcl k1", "mcl_kd k1", "confidence", "members of MCL that are wrong are surer than MCL-KD's",
                  "Fig. 4, k = 1")  # fmt: skip
    first, second = (replace(side, metric=find_confidence) for side in (sure.more, sure.less))
    return [*claims, replace(sure, more=first, less=second)]


def _ours(network: str) -> list[Claim]:
    """What the paper leaves open: as many epochs for all, specialists by chance, and who owns which family."""
    images = TASK_OF[network] == "image"
    rows: list[tuple[str, ...]] = [
        ("ie @ as long", "base", "overall", "IE trained as long as the others beats IE", "Ours")
    ]
    groups = "classes" if images else "question families"
    for k in KS[network]:
        mine, figure = f"mcl_kd k{k}", "Fig. 3" if network == "san" and k == 1 else "Ours, Fig. 3"
        rows += [
            (mine, "ie @ as long", "overall", f"MCL-KD beats IE trained as long at k = {k}", "Ours"),
            (mine, f"{mine} @ by chance", "overall",
             f"specialists that are chosen beat specialists by chance at k = {k}", "Ours"),
            (mine, f"{mine} @ by chance", "oracle",
             f"specialists that are chosen beat specialists by chance in oracle accuracy at k = {k}", "Ours"),
            (mine, "ie @ as long", "beyond_chance",
             f"members of MCL-KD own {groups} more than those of IE do, at k = {k}", figure, "nats"),
            (f"cmcl k{k} @ exact", f"cmcl k{k}", "overall",
             f"CMCL: the exact divergence beats random labels at k = {k}", "Ours, Eq. 3"),
        ]  # fmt: skip
    if images:
        mine = f"mcl_kd + fs k{KS[network][0]}"
        rows += [
            ("ie + fs @ as long", "ie @ as long", "overall",
             "feature sharing alone helps, without specialists", "Ours"),
            (f"{mine} @ settled", mine, "overall",
             "features shared by their mean at test time beat those drawn", "Ours"),
        ]  # fmt: skip
    return [_claim(network, *row) for row in rows] + (_list_more(network) if network in STUDIED else [])


def _list_more(network: str) -> list[Claim]:
    """What is read off records that have it, and rows that are asked for alone: the same owners, compute, routers."""
    last = f"mcl_kd k{max(KS[network])}"
    rows: list[tuple[str, ...]] = [
        ("mcl_kd k1", "ie @ as long", "by_task.beyond_chance",
         "the same by the task's loss alone, one definition of an owner for both, at k = 1", "Ours, Fig. 3", "nats"),
        ("mcl k1", "mcl_kd k1", "measures.sure_of_wrong",
         "MCL's members that answer wrongly, and are not the best on a question, are surer than MCL-KD's",
         "Ours, Fig. 4"),
        ("mcl k1", "mcl_kd k1", "measures.ece", "MCL's probabilities are further from its accuracy than MCL-KD's",
         "Ours"),
        ("mcl_kd k1 @ beta x 0.1", "mcl_kd k1", "overall",
         "MCL-KD with a tenth of β, which holds members back less, beats MCL-KD, at k = 1", "Ours, control"),
        (last, "ie @ distilled", "overall", "specialists beat distillation of all members on all examples", "Ours"),
        ("ie @ as long", "one member @ wide", "overall",
         "several members beat one that is as many times as wide, trained as long", "Ours"),
        ("ie @ as long", "one member @ long", "overall",
         "several members beat one that is trained as many times as long", "Ours"),
    ]  # fmt: skip
    text = "the surest member of MCL-KD answers better than all of IE trained as long, at k = 1"
    router = _claim(network, "mcl_kd k1", "ie @ as long", "measures.router", text, "Ours")
    return [replace(router, less=_side(network, "ie @ as long", "overall")), *(_claim(network, *row) for row in rows)]


HEADLINES = (
    *(f"mcl-{network}-mcl-kd-k3-over-base-overall" for network in ("mlp", "san", "updn", "resnet")),
    *(f"mcl-san-mcl-kd-k3-over-{rule}-k3-overall" for rule in ("mcl", "cmcl")),
)
CLAIMS = mark_headlines(
    (*(claim for network in NETWORKS for claim in (*_of(network), *_ours(network))), *_across()), HEADLINES
)
