"""The lines that take a rule out of the contest and into a loop of one's own; tests run each of them."""

from __future__ import annotations

from textwrap import dedent, indent

TITLES = {
    "bce baseline": "Sigm-BCE, no rule",
    "ce baseline": "Soft-CE, no rule",
    "bce re-scaling": "re-scaling, Sigm-BCE",
    "ce re-scaling": "re-scaling, Soft-CE",
    "bce mask (softplus-G)": "answer mask, Sigm-BCE",
    "ce mask (softplus-G)": "answer mask, Soft-CE",
    "bce both": "mask and re-scaling, Sigm-BCE",
    "ce both": "mask and re-scaling, Soft-CE",
    "bce re-scaling @ positive term only": "re-scaling, positive term alone",
    "bce both @ positive term only": "mask and re-scaling, positive term alone",
    "lm bce baseline": "learned mixin (LM)",
    "lmh bce baseline": "learned mixin with entropy (LMH)",
    "bias_product bce baseline": "bias product",
    "reweight bce baseline": "re-weighting",
    "focal bce baseline": "focal loss",
    "rubi ce baseline": "RUBi",
}
SOURCES = {  # of a rule, by a word of its row -> who has it
    "re-scaling": "Guo et al. 2022, Eqs. 7-8", "mask": "Guo et al. 2022, Sec. IV-B", "both": "Guo et al. 2022",
    "lm": "Clark et al. 2019", "lmh": "Clark et al. 2019", "bias_product": "Clark et al. 2019",
    "reweight": "Clark et al. 2019", "focal": "Lin et al. 2017", "rubi": "Cadene et al. 2019",
}  # fmt: skip
LOSS = {"bce": "sigmoid_bce", "ce": "soft_cross_entropy"}
COUNTS = """
    sizes = {"n_types": n_types, "n_answers": n_answers}
    counts = type_counts(train_types, train_answers, train_votes, **sizes)
"""
WEIGHTS = """
    weights = rescaling_weights(counts)  # of a type's answers
"""
MASK = """
    label = in_type(counts)  # answers that a question type has
    model = AnswerMask(model, width, n_answers, dropout=0.0)
    optimizer.add_param_group({"params": model.head.parameters()})
"""
BIAS = """
    sizes = {"n_types": n_types, "n_answers": n_answers}
    bias = bias_table(train_types, train_answers, train_scores, **sizes)
"""
SMOOTH = """
    smooth = torch.nn.Parameter(torch.tensor(-1.0))
    optimizer.add_param_group({"params": [smooth]})
"""
GATE = """
    gate = torch.nn.Linear(width, 1)
    optimizer.add_param_group({"params": gate.parameters()})
"""
BRANCH = """
    branch = QuestionBranch(width, n_answers)
    classify = torch.nn.Linear(n_answers, n_answers)
    own = [*branch.parameters(), *classify.parameters()]
    optimizer.add_param_group({"params": own})
"""
LATE = """
    # the last third of training has weights
    weight = weights[kind] if 3 * step >= 2 * n_steps else None
"""
MIXIN = """
    how = {"bias": bias[kind], "smooth": smooth.sigmoid()}
    how["gate"] = F.softplus(gate(out.hidden))
    loss = learned_mixin(out.logits, target, **how)
"""
LOOP = """
for step, (inputs, target, kind) in enumerate(batches):
    out = model(*inputs)
{step}
    optimizer.zero_grad()
    loss.mean().backward()
    optimizer.step()

answer = model(*test_inputs).logits.argmax(1)
"""
BIASED: dict[str, tuple[str, str, str]] = {  # rows that know the bias: imports from losses, what is made, a step
    "lm": ("bias_table, learned_mixin", BIAS + SMOOTH + GATE, MIXIN),
    "lmh": (
        "bias_entropy, bias_table, learned_mixin",
        BIAS + SMOOTH + GATE,
        MIXIN + "    loss = loss + 0.36 * bias_entropy(**how)\n",
    ),
    "bias_product": (
        "bias_product, bias_table",
        BIAS + SMOOTH,
        """
    how = {"bias": bias[kind], "smooth": smooth.sigmoid()}
    loss = bias_product(out.logits, target, **how)
""",
    ),
    "reweight": (
        "bias_reweight, bias_table",
        BIAS,
        """
    loss = bias_reweight(out.logits, target, bias=bias[kind])
""",
    ),
    "focal": ("focal", "", "\n    loss = focal(out.logits, target, gamma=2.0, alpha=0.25)\n"),
    "rubi": (
        "rubi",
        BRANCH,
        """
    mask = branch(out.question.detach()).logits
    asked = classify(mask)
    loss = rubi(out.logits, target, mask=mask, question_logits=asked)
""",
    ),
}


def write_code(row: str) -> str:
    """The lines of a row. Given are `model`, `optimizer`, `batches` and the training questions' columns.

    `model` returns an `Output`; `width` is that of its question encoding and its joint feature.
    """
    head, _, _ = row.partition(" @ ")
    backbone = head.split()[0]
    if backbone in BIASED:
        losses, made, step = BIASED[backbone]
    else:
        losses, made, step = _write_rescaling(head, positive=row != head)
    more = [f"from vqabook.losses import {losses}"] if len(losses) < 45 else _fold(losses)
    if "AnswerMask" in made:
        more.append("from vqabook.models.answer_mask import AnswerMask")
    if "QuestionBranch" in made:
        more.append("from vqabook.models.updn import QuestionBranch")
    first = ["import torch"] if "torch." in made else []
    first += ["from torch.nn import functional as F"] if "F." in step else []
    lines = ["\n".join(first), "\n".join(more), dedent(made.replace("\n\n", "\n")).strip()]
    loop = LOOP.format(step=indent(dedent(step).strip(), "    "))
    return "\n\n".join(part for part in lines if part) + "\n" + loop.rstrip()


def _fold(names: str) -> list[str]:
    """An import of many names, one a line."""
    return ["from vqabook.losses import (", *(f"    {name}," for name in names.split(", ")), ")"]


def _write_rescaling(head: str, *, positive: bool) -> tuple[str, str, str]:
    """Imports, what is made and a step of Guo's modules; without one, of the plain loss."""
    loss, module = LOSS[head.split()[0]], head.split(" ", 1)[1]
    weighs, masks = module in ("re-scaling", "both"), module in ("mask (softplus-G)", "both")
    names = [loss, *["rescaling_weights"] * weighs, *["in_type", "mask_loss"] * masks]
    names += ["type_counts"] * (weighs or masks)
    made = (COUNTS if weighs or masks else "") + (WEIGHTS if weighs else "") + (MASK if masks else "")
    more = ", weight=weight" * weighs + ", positive_only=True" * positive
    call = f"    loss = {loss}(out.logits, target{more})\n"
    learn = "    loss = loss + mask_loss(out.mask, label[kind])\n" if masks else ""
    return ", ".join(sorted(names)), made, (LATE if weighs else "\n") + call + learn
