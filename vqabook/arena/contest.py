"""The contest: for each division of the rows all rules are trained and judged, and leave one record.

A rule's classifier shares rows and their order with softmax', and no parameter. Validation rows choose nothing, unless
there are trials. A run that was killed goes on; a loss of one's own that is added later is trained alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqabook.arena.divide import BATCH, SHARES, Division, divide, group_by_rows, read_prior
from vqabook.arena.examples import Examples
from vqabook.arena.heads import (
    EVEN,
    GROUPS,
    MINE,
    NO_PROBABILITIES,
    PLAIN,
    Answers,
    average_classes,
    balance,
    classify,
    judge,
    list_rules,
)
from vqabook.arena.own_loss import RETURN, OwnLoss, call
from vqabook.arena.trials import group_tries, list_tries, pick, try_after
from vqabook.core import Table
from vqabook.data.sampling import DrawEvenly
from vqabook.evidence import runs
from vqabook.metrics.classes import average_precision, f1_above, find_threshold, groups_of, macro_f1
from vqabook.metrics.priors import priors_of
from vqabook.models.side_by_side import Heads
from vqabook.objectives.side_by_side import AllRules
from vqabook.training.fit import NO_CLIP, FitConfig, Schedule, fit

LIBRARY = "rules"  # the record of a division that has all rules of the library
PILOT = "steps"  # the record that says how long to train
ROUNDS = 20  # in which steps are taken: a rule that weighs late starts in the seventeenth
FIRST, LAST = 200, 6400  # steps that are tried, each twice the one before
SETTLED = 0.02  # of softmax' training cost: doubled steps that save less are not needed; nor is less decay
DECAYS = (3e-3, 3e-4, 3e-5)  # that are tried, as long as validation rows cost softmax less by the next
SEEN = 20_000  # training rows that the cost is taken of
AT_ONCE = 16 << 20  # logits of test rows that are held together
MOST_TRIALS = 20
TOLD = ", told the prior"


@dataclass(frozen=True)
class Protocol:
    """How all rules are trained and judged alike. The batch is that of the book's heads, page 06.4.

    `steps` None: doubled until softmax saves less than 2 % of its training cost by it. `decay` None: that of `DECAYS`
    by which validation rows cost softmax least. `lr` None: `find_rate`. `prior`: what classes occur like where it
    counts, a name or class -> share. `bounds`: rows in the data above which a class is one of many, and below which of
    few; None: by thirds of all rows.
    """

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    steps: int | None = None
    prior: str | Mapping[str, float] = "uniform"
    shares: tuple[float, float, float] = SHARES
    bounds: tuple[int, int] | None = None
    trials: int = 1  # of each rule's own value; validation rows pick, where there are several
    batch_size: int = 512
    lr: float | None = None
    decay: float | None = None  # of class vectors, in the loss

    def __post_init__(self):
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"divisions have different seeds, one or more, got {list(self.seeds)}; name each once")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps are 1 or more, got {self.steps}; leave them out to have them found")
        if not 1 <= self.trials <= MOST_TRIALS:
            raise ValueError(f"a rule has 1 to {MOST_TRIALS} trials, got {self.trials}; 5 span what papers try")
        if self.bounds is not None and not self.bounds[0] >= self.bounds[1] >= 0:
            raise ValueError(f"bounds are rows of a class, MANY then FEW, the larger first, got {list(self.bounds)}")


@dataclass(frozen=True)
class Training:
    """What the protocol says or the pilot found: `decay` is of class vectors, in the loss."""

    steps: int
    decay: float


@dataclass(frozen=True)
class Contest:
    """What competes on which rows; `produce` makes a record."""

    examples: Examples
    protocol: Protocol
    own: Sequence[OwnLoss] = ()

    def check(self) -> None:
        """ValueError for a prior or steps that these classes do not have, before anything is trained."""
        counts = torch.from_numpy(self.examples.counts)
        read_prior(self.protocol.prior, self.examples.classes, counts)
        if len({loss.row for loss in self.own}) < len(self.own):
            raise ValueError(
                f"losses of your own have different names, got {[loss.row for loss in self.own]}; rename one"
            )

    def hold(self, folder: Path) -> list[dict]:
        """All records, made in `folder` where they are missing: how to train, then each seed and variant."""
        pilot = runs.make([self._asked(PILOT, self.protocol.seeds[0])], self.produce, folder)[0]
        found = {name: pilot["result"][name] for name in ("steps", "decay")}
        variants = [LIBRARY, *(loss.row for loss in self.own)]
        asked = [self._asked(variant, seed, **found) for seed in self.protocol.seeds for variant in variants]
        return [pilot, *runs.make(asked, self.produce, folder)]

    def _asked(self, variant: str, seed: int, **found: float) -> dict[str, Any]:
        """The recipe of a record: it names the record, so that other data or options give another."""
        p, own = self.protocol, {loss.row: loss.digest for loss in self.own}
        how: dict[str, Any] = {"shares": list(p.shares), "batch_size": p.batch_size, "lr": p.lr}
        how |= {"steps": p.steps, "decay": p.decay} | found
        if variant != PILOT:
            prior = p.prior if isinstance(p.prior, str) else dict(sorted(p.prior.items()))
            how |= {"trials": p.trials} if p.trials > 1 else {}
            how |= {"prior": prior, "bounds": p.bounds and list(p.bounds), "loss": own.get(variant)}
        data = {"dataset": self.examples.name, "digest": self.examples.digest}
        return {"paper": "arena", "variant": variant, "seed": seed, "data": data, **how}

    def produce(self, recipe: Mapping, checkpoint: Path) -> dict:
        """The result that a recipe asks for."""
        division = divide(self.examples, recipe["seed"], self.protocol.shares)
        if recipe["variant"] == PILOT:
            return find_training(division, self.protocol, recipe["seed"])
        loss = next((loss for loss in self.own if loss.row == recipe["variant"]), None)
        seed, label = recipe["seed"], f"seed {recipe['seed']}, {recipe['variant']}"
        how = Training(recipe["steps"], recipe["decay"])
        heads, seconds = learn(division, self.protocol, how, seed, loss, checkpoint=checkpoint, label=label)
        rows = judge_all(heads, division, self.examples, self.protocol)
        for name, row in rows.items():
            row["seconds"] = seconds.get(name, seconds.get(PLAIN, 0.0))
        return {"rows": rows, "sizes": {part: len(x) for part, x in division.x.items()}, "width": division.width}


def learn(
    division: Division,
    protocol: Protocol,
    how: Training,
    seed: int,
    loss: OwnLoss | None = None,
    *,
    checkpoint: Path,
    label: str,
) -> tuple[Heads, dict[str, float]]:
    """Classifiers of all rules of the library, or of a loss of one's own alone; seconds of each loss in all steps."""
    groups: Mapping[str, Sequence[str]] = group_tries(protocol.trials)
    rules: Mapping[str, Any] = list_tries(division.counts, protocol.trials)
    if loss is not None:
        groups, rules = {"plain": [loss.row]}, {loss.row: loss.rule(division.counts)}
    heads = start(division, groups, seed)
    run = partial(train, heads, rules, division, protocol, how, seed, checkpoint=checkpoint, label=label)
    run() if loss is None else call(f"{loss.row} trains a classifier", run, RETURN)
    return heads, {name: round(how.steps * time_loss(rule, division, seed), 3) for name, rule in rules.items()}


def start(division: Division, groups: Mapping[str, Sequence[str]], seed: int) -> Heads:
    """Classifiers at their first weights; one that is trained alone starts where softmax does beside all others."""
    size = division.width, len(division.counts)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        heads = Heads(*size, groups)
        if sum(map(len, groups.values())) == 1:
            torch.manual_seed(seed)
            softmax = Heads(*size, GROUPS).weight["plain"][GROUPS["plain"].index(PLAIN)]
            heads.weight["plain"].data.copy_(softmax[None])
    return heads


def train(
    heads: Heads,
    rules: Mapping[str, Any],
    division: Division,
    protocol: Protocol,
    how: Training,
    seed: int,
    *,
    checkpoint: Path | None = None,
    label: str,
) -> None:
    """Train heads in place, each by its rule: in rounds, whatever the number of rows."""
    labels, n = division.labels["train"], len(division.labels["train"])
    batch = max(16, min(protocol.batch_size, n // 4))
    rounds = min(ROUNDS, how.steps)
    per_round = batch * math.ceil(how.steps / rounds)
    lookup = DrawEvenly(division.x["train"], labels.argsort(stable=True), division.counts)
    table = Table((torch.arange(n),), labels, len(division.counts), lookup=lookup)
    config = FitConfig(
        epochs=rounds,
        batch_size=batch,
        optimizer="adam",
        lr=find_rate(division.width) if protocol.lr is None else protocol.lr,
        schedule=Schedule(cosine=True),
        clip=NO_CLIP,
        seed=seed,
    )
    objective = AllRules(rules, how.decay, even=EVEN)
    fit(heads, objective, table, config, checkpoint=checkpoint, keep=True, order=draw_round(n, per_round), label=label)


def find_rate(width: int) -> float:
    """Adam's step size: each weight moves by it, and a logit by √d times as much; 0.25 / √d, at most 0.1.

    On four made sets, 10 to 512 wide, softmax settles in 200 to 800 steps by it, and in 200 to 3,200 at 0.01.
    """
    return min(0.1, 0.25 / math.sqrt(width))


def draw_round(n: int, wanted: int) -> Callable[[torch.Generator], Int[Tensor, " wanted"]]:
    """What draws the rows of a round: one order of all rows after another, as far as is wanted."""

    def draw(generator: torch.Generator) -> Int[Tensor, " wanted"]:
        orders = [torch.randperm(n, generator=generator) for _ in range(-(-wanted // n))]
        return torch.cat(orders)[:wanted]

    return draw


def find_training(division: Division, protocol: Protocol, seed: int) -> dict:
    """Steps and decay of all rules, by what softmax needs: the protocol's, or found. Test rows are not seen.

    Decay falls as long as validation rows cost softmax less by it, by `SETTLED` at least; each has the steps it needs.
    """
    if protocol.steps is not None and protocol.decay is not None:
        return {"steps": protocol.steps, "decay": protocol.decay, "costs": {}, "settled": None, "valid": {}}
    found: dict[str, Any] = {}
    valid: dict[str, float] = {}
    for decay in DECAYS if protocol.decay is None else (protocol.decay,):
        heads, steps = find_steps(division, protocol, decay, seed)
        cost = cost_of(heads, division, "valid")
        worse = bool(valid) and cost > (1 - SETTLED) * min(valid.values())
        valid[f"{decay:g}"] = cost
        if worse:
            break
        found = {**steps, "decay": decay}
    return found | {"valid": valid}


def find_steps(division: Division, protocol: Protocol, decay: float, seed: int) -> tuple[Heads, dict]:
    """Softmax as it was trained longest, and how long to train: the protocol's steps, or found.

    Steps double until its training cost, decay included, falls by less than `SETTLED`. The fewer of the last two are
    taken; at the end of what is tried it has not settled.
    """
    costs: dict[int, float] = {}
    rules, steps, settled = {PLAIN: list_rules(division.counts)[PLAIN]}, protocol.steps or FIRST, False
    while not settled and (not costs or (protocol.steps is None and steps <= LAST)):
        heads, label = start(division, {"plain": [PLAIN]}, seed), f"{PLAIN}, decay {decay:g}, {steps} steps"
        train(heads, rules, division, protocol, Training(steps, decay), seed, label=label)
        costs[steps] = cost_of(heads, division, "train", decay)
        settled = steps // 2 in costs and costs[steps] > (1 - SETTLED) * costs[steps // 2]
        steps *= 2
    taken = max(costs) // (2 if settled else 1)
    told = {str(k): v for k, v in costs.items()}
    return heads, {"steps": taken, "costs": told, "settled": settled if protocol.steps is None else None}


@torch.no_grad()
def cost_of(heads: Heads, division: Division, part: str, decay: float = 0.0) -> float:
    """Softmax' mean cross-entropy of a part's rows, and half the decay times its squared class vectors."""
    x, labels, total = division.x[part], division.labels[part], 0.0
    places = torch.arange(0, len(x), max(1, len(x) // SEEN))
    for some in places.split(BATCH):
        total += float(nn.functional.cross_entropy(heads.logits(x[some])[PLAIN], labels[some], reduction="sum"))
    return total / len(places) + decay / 2 * float(heads.squares())


def time_loss(rule: Any, division: Division, seed: int, *, times: int = 5) -> float:
    """Seconds of a batch's loss and its gradient alone, the quickest of some: what is shared is not a rule's."""
    generator = torch.Generator().manual_seed(seed)
    target = division.labels["train"][:512]
    logits = torch.randn(len(target), len(division.counts), generator=generator).requires_grad_()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        rule.cost(logits, target, 0.9).mean().backward()
        taken.append(time.perf_counter() - began)
    return min(taken)


@torch.no_grad()
def judge_all(heads: Heads, division: Division, examples: Examples, protocol: Protocol) -> dict[str, dict]:
    """All that is measured of each row on the test rows; of several trials, of the one that validation rows pick."""
    counts, truth = division.counts, division.labels["test"]
    wanted = read_prior(protocol.prior, examples.classes, counts)
    answers = answer_part(heads, division, "test", wanted, protocol)
    picked: dict[str, tuple[str, float | None]] = {name: (name, None) for name in answers}
    held: Mapping[str, Answers] = {}
    if protocol.trials > 1 or len(counts) == 2:
        held = answer_part(heads, division, "valid", wanted, protocol)
    if protocol.trials > 1:
        picked = pick(held, division.labels["valid"], wanted, protocol.trials)
    whole = torch.from_numpy(examples.counts)
    groups = group_by_rows(whole) if protocol.bounds is None else groups_of(whole, *protocol.bounds)
    priors = priors_of(counts) | {"wanted": wanted}
    rows = {}
    for row, (name, value) in picked.items():
        rows[row] = measure(row, answers[name], truth, priors, groups) | ({} if value is None else {"picked": value})
        if len(counts) == 2:
            threshold = find_threshold(held[name].lead, division.labels["valid"] == 1)
            rows[row]["f1"] = f1_above(threshold, answers[name].lead, truth == 1, priors["training"])
    return rows


def answer_part(
    heads: Heads, division: Division, part: str, wanted: Float[Tensor, " c"], protocol: Protocol
) -> dict[str, Answers]:
    """What each row answers to the rows of a part, which are read and classified batch by batch."""
    counts, truth, shown = division.counts, division.labels[part], division.x["train"]
    means = average_classes(((batch, division.labels["train"][at]) for at, batch in shown.batches()), counts)
    n = sum(map(len, heads.groups.values())) + 2 * protocol.trials + 4
    parts: dict[str, list[Answers]] = {}
    for at, batch in division.x[part].batches(min(BATCH, max(1, AT_ONCE // (len(counts) * n)))):
        logits = classify(heads, batch, counts, means)
        if PLAIN in logits:
            logits |= tell_prior(logits, counts, wanted, protocol.prior)
            logits |= try_after(heads, batch, logits[PLAIN], counts, protocol.trials)
        for name, some in logits.items():
            parts.setdefault(name, []).append(Answers.of(some, truth[at]))
    return {name: Answers.join(some) for name, some in parts.items()}


def tell_prior(
    logits: Mapping[str, Float[Tensor, "m c"]],
    counts: Int[Tensor, " c"],
    wanted: Float[Tensor, " c"],
    prior: str | Mapping[str, float],
) -> dict[str, Float[Tensor, "m c"]]:
    """Balanced scores with the log of the wanted prior: rows of their own where it is not the one they are made for."""
    if prior == "uniform":
        return {}
    told = {name: (scores + wanted.log()).float() for name, scores in balance(logits, counts).items()}
    rows = {MINE: told[MINE]} if prior == "training" else {"adjusted": told[PLAIN], MINE: told[MINE]}
    return {f"{name}{TOLD}": scores for name, scores in rows.items()}


def measure(
    name: str, answers: Answers, truth: Int[Tensor, " n"], priors: Mapping[str, Tensor], groups: Mapping[str, Tensor]
) -> dict:
    """A row's numbers: `judge`'s, macro-F1 by the wanted prior, and of two classes average precision of the rarer.

    That one also where classes are as frequent as in training.
    """
    probable = not name.startswith(NO_PROBABILITIES)
    found = judge(answers, truth, priors, groups, {"wanted": "", "training": "_training"} if probable else {})
    found["macro_f1"] = macro_f1(answers.picked, truth, priors["wanted"])
    if len(priors["wanted"]) == 2:
        for name_of, end in (("wanted", ""), ("training", "_training")):
            found[f"average_precision{end}"] = average_precision(answers.lead, truth == 1, priors[name_of])
    return found
