"""The lines that take a rule out of the arena and into a loop of one's own; tests run each of them."""

from __future__ import annotations

from textwrap import dedent

from vqabook.arena.contest import TOLD
from vqabook.arena.heads import EVEN, GROUPS, RULES
from vqabook.arena.own_loss import OwnLoss
from vqabook.arena.trials import KNOBS
from vqabook.objectives.base import Objective

LOOP = """
    for step, (x, labels) in enumerate(batches):
        loss = rule.cost(model(x), labels, step / n_steps).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
"""
ANSWER = """
    answer = model(test_x).argmax(1)
"""
RULE = """
    import torch

    from vqabook.objectives.longtail import long_tail

    counts = torch.bincount(train_labels)  # rows of each class
    rule = long_tail("{rule}", counts{options})
"""
DRAWN = """
    import torch

    from vqabook.data.sampling import class_balanced_order
    from vqabook.objectives.longtail import long_tail

    rule = long_tail("softmax", torch.bincount(train_labels))
    # each epoch: a class evenly, then one of its rows evenly
    order = class_balanced_order(train_labels)
    batches = [(train_x[rows], train_labels[rows]) for rows in order.split(512)]
"""
COSINE = """
    # `model` returns cosines: unit features times unit class vectors
"""
AFTER = {
    "adjusted": """
    import torch

    from vqabook.losses import adjust, log_counts

    # train `model` with plain cross-entropy; at test:
    log_n = log_counts(torch.bincount(train_labels))
    answer = adjust(model(test_x), log_n).argmax(1)
""",
    "tau-normalised": """
    import torch
    from torch.nn import functional as F

    # train `model`, a linear classifier, with plain cross-entropy; at test:
    answer = F.linear(test_x, F.normalize(model.weight)).argmax(1)
""",
    "ncm": """
    import torch
    from torch.nn import functional as F

    # no training: the class whose mean is nearest by angle
    counts = torch.bincount(train_labels)
    means = torch.zeros(len(counts), train_x.shape[1])
    means.index_add_(0, train_labels, train_x).div_(counts[:, None])
    answer = F.linear(F.normalize(test_x), F.normalize(means)).argmax(1)
""",
}
OWN = """
    import torch

    from {module} import {name}  # {path}

    counts = torch.bincount(train_labels)
    {more}for step, (x, labels) in enumerate(batches):
        loss = {call}.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
"""
PRIOR = """
    # `prior`: shares of the classes at test
    answer = (model(test_x) + prior.log()).argmax(1)
"""


def write_code(row: str, value: float | None = None) -> str:
    """The lines of a row of the library, with `train_x`, `train_labels`, `test_x`, `model` and `optimizer` as given.

    `value`: of the rule's own knob, `trials.KNOBS`; None: as in its paper.
    """
    name, told = row.removesuffix(TOLD), row.endswith(TOLD)
    if name in AFTER:
        code = dedent(AFTER[name])
        if value is not None:
            code = code.replace("log_n).", f"log_n, tau={value:g}).")
            code = code.replace("F.normalize(model.weight)", f"model.weight / length**{value:g}")
            length = "length = model.weight.norm(dim=1, keepdim=True)\nanswer = F.linear(test_x, model"
            code = code.replace("answer = F.linear(test_x, model", length)
        if told:
            code = code.replace("adjust(model(test_x), log_n)", "(adjust(model(test_x), log_n) + prior.log())")
        return code.strip()
    if name == EVEN:
        return dedent(DRAWN + LOOP + ANSWER).strip()
    rule, tau = RULES[name]
    options = {"exponent": tau} if tau != 1 else {}
    options |= {KNOBS[name][0]: value} if value is not None and value != KNOBS[name][1] else {}
    head = RULE.format(rule=rule, options="".join(f", {option}={x:g}" for option, x in options.items()))
    cosine = COSINE if name in GROUPS["cosine"] else ""
    return dedent(head + cosine + LOOP + (PRIOR if told else ANSWER)).strip()


def write_own(loss: OwnLoss) -> str:
    """The lines of a loss of one's own."""
    if isinstance(loss.thing, type | Objective):
        made = "" if isinstance(loss.thing, Objective) else "(counts)" if loss.takes_counts else "()"
        more, call = f"rule = {loss.name}{made}\n    ", "rule.cost(model(x), labels, step / n_steps)"
    else:
        more, call = "", f"{loss.name}(model(x), labels, counts)"
    return dedent(OWN.format(module=loss.path.stem, name=loss.name, path=loss.row, more=more, call=call)).strip()
