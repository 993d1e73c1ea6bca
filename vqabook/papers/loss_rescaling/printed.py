"""Tables II to V of Guo et al. 2022 (loss re-scaling, arXiv:2010.16010), cell by cell as printed.

A cell is a string: "68.42†" (two-sided t-test against the backbone, p < 0.01), "–" (not available); `value` reads its
number. A row's ‡ says that Guo et al. trained it themselves; what they call
"+Ours" is named by its parts here, "+ both".
"""

from vqabook.metrics.mistakes import implied_chance

TYPES = ("Y/N", "Num.", "Other", "All")
CP2, V2, CP1 = "VQA-CP v2 test", "VQA v2 val", "VQA-CP v1 test"


def value(cell: str) -> float | None:
    """The number of a printed cell; None where the paper prints a dash."""
    return None if cell == "–" else number(cell)


def number(cell: str) -> float:
    """The number of a printed cell that is no dash. Raises ValueError for one that is."""
    return float(cell.rstrip("†"))


def _read(text: str) -> dict[str, list[list[str]]]:
    """Row -> blocks of cells, of lines "row | block | ..."."""
    lines = [line.split(" | ") for line in text.strip().splitlines()]
    return {row.strip(): [block.split() for block in blocks] for row, *blocks in lines}


def _by_type(data: tuple[str, ...], text: str) -> dict[str, dict[str, dict[str, str]]]:
    """Data set -> row -> answer type -> cell; a block a data set, the last ones may be missing."""
    rows = _read(text).items()
    return {
        name: {row: dict(zip(TYPES, blocks[i], strict=True)) for row, blocks in rows if i < len(blocks)}
        for i, name in enumerate(data)
    }


# Tables II, III. The text that we have marks the second UpDn row of Table II with †; Table III and the caption say ‡.
ACCURACY = _by_type((CP2, V2, CP1), """
Question-only | 35.09  11.63  07.11  15.95  | 67.95  30.97  27.20  43.01  | 35.72  11.07  08.34  20.16
SAN           | 38.35  11.14  21.74  24.96  | 70.06  39.28  47.84  52.41  | 35.34  11.34  24.70  26.88
NMN           | 38.94  11.92  25.72  27.47  | 73.38  33.23  39.93  51.62  | 38.85  11.23  27.88  29.64
MCB           | 41.01  11.96  40.57  36.33  | 77.91  37.47  51.76  59.71  | 37.96  11.80  39.90  34.39
HAN           | 52.25  13.79  20.33  28.65  | –      –      –      –
UpDn          | 42.27  11.93  46.05  39.74  | 81.18  42.14  55.66  63.48
UpDn ‡        | 42.31  11.84  44.35  38.80  | 80.59  40.51  53.69  62.07  | 43.76  12.49  42.57  38.02
LXMERT ‡      | 46.70  27.14  61.20  51.78  | 88.34  56.64  65.78  73.06  | 54.08  25.05  62.72  52.82
AdvReg        | 65.49  15.48  35.48  41.17  | 79.84  42.35  55.16  62.75  | 74.16  12.44  25.32  43.43
Rubi          | 68.65  20.28  43.18  47.11  | –      –      –      61.16
LM ‡          | 73.65  41.44  42.82  51.68  | 80.37  40.62  53.53  61.92  | 75.01  28.86  42.22  53.59
LMH ‡         | 70.29  44.10  44.86  52.15  | 74.18  38.43  53.05  59.07  | 76.61  29.05  43.38  54.76
CSS           | 43.96  12.78  47.48  41.16  | –      –      –      –
CSS+LMH       | 84.37  49.42  48.21  58.95  | 73.25  39.77  55.11  59.91  | 85.60  40.57  44.62  60.95
CSS ‡         | 40.88  12.32  45.23  38.95  | 80.28  41.90  53.81  62.20  | 43.15  12.79  43.88  38.36
CSS+LMH ‡     | 77.73  50.92  45.30  55.61  | 42.16  35.05  52.01  46.08  | 83.55  29.79  43.59  57.86
GVQA          | 57.99  13.68  22.14  31.30  | 72.03  –      –      48.24  | 64.72  11.87  24.86  39.23
HINT          | 67.27  10.61  45.88  46.73  | 81.18  42.99  55.56  63.38
SCR           | 72.36  10.93  48.02  49.45  | 78.8   41.6   54.5   62.2
VGQE          | 66.35  27.08  46.77  50.11  | –      –      –      63.18
UpDn + both | 68.42† 21.71† 42.88† 47.09† | 64.22† 39.61† 53.09† 55.50† | 44.25† 18.04† 43.03† 39.34†
LM + both | 73.74† 45.14† 44.59† 53.17† | 76.28† 36.61† 52.71  59.45† | 75.51† 26.93† 43.67† 54.07†
LMH + both | 72.82  48.00† 44.46† 53.26† | 68.21† 36.37† 52.29† 56.81† | 78.26† 29.80† 42.76  55.32
CSS + both | 68.45† 40.79† 44.18  50.73† | 77.73† 41.39† 53.76† 61.14  | 74.39† 37.02† 36.22† 52.20†
CSS+LMH + both | 83.95  47.81† 44.59† 56.55† | 70.52† 33.56† 50.83† 55.96† | 84.56† 32.89† 43.86  58.91†
LXMERT + re-scaling | 79.77† 59.06† 61.41  66.40† | 85.32† 52.07† 62.60† 69.76† | 86.82† 45.03† 62.03† 69.47†
""")  # fmt: skip

# Table IV, Cohen's kappa x 100; its backbones are the ‡ rows of Tables II and III.
KAPPA = _by_type((CP2, CP1, V2), """
UpDn ‡       | 47.86   6.81   0.80   4.96 | 43.01   4.40   0.53   8.57 | 49.96   14.13   0.72   8.14
UpDn + both | 55.61  11.89   0.78   5.66 | 63.90  38.68   0.75  14.24 | 51.46   15.34   0.81   9.25
LM ‡         | 50.51  24.79   0.92   6.06 | 53.52  17.48   0.59  11.34 | 49.49   13.28   0.73   8.19
LM + both | 50.61  24.87   0.92   6.98 | 56.35  13.60   0.58  11.34 | 48.85   10.56   0.68   5.91
LMH ‡        | 50.97  24.99   0.85   5.42 | 55.55  16.70   0.60  11.03 | 49.88   11.59   0.67   7.56
LMH + both | 53.27  26.03   0.76   5.74 | 54.70  19.10   0.59  11.21 | 49.60    9.89   0.65   6.15
CSS ‡        | 47.67   7.02   0.81   4.90 | 41.66   4.54   0.57   8.57 | 50.19   14.27   0.74   8.26
CSS + both | 51.79  20.98   0.78   5.19 | 66.42  29.16   0.67  13.44 | 51.21   14.37   0.76   8.97
CSS+LMH ‡    | 50.58  28.62   0.81   5.19 | 59.89  16.18   0.61  11.00 | 45.91   10.52   0.65   4.76
CSS+LMH + both | 51.97  29.21   0.82   6.23 | 61.33  19.60   0.59  11.93 | 49.75   10.03   0.64   7.64
LXMERT ‡     | 46.32   8.83   0.83   4.78 | 43.22   6.28   0.59   8.51 | 50.03   13.17   0.69   7.99
LXMERT + re-scaling | 49.95  22.51   0.85   5.43 | 56.14  17.94   0.63  11.25 | 50.02   11.47   0.62   7.88
""")  # fmt: skip

# VQA-CP v2 test, a column a backbone; the variant of UpDn has none in front.
_TABLE_V = _read("""
bce baseline          | 38.80  51.68  52.15  38.95  55.61  51.78
bce mask (sigmoid)    | 40.94  51.71  51.56  38.76  56.12  –
bce mask (softplus-G) | 41.69  52.76  52.70  38.72  56.55  –
bce re-scaling        | 40.84  51.96  52.68  47.55  50.76  66.40
bce both              | 47.09  53.17  53.26  50.73  56.55  –
ce baseline           | 40.49  –      –      35.23  –      58.07
ce mask (sigmoid)     | 39.32  –      –      35.21  –      –
ce mask (softplus-G)  | 40.30  –      –      34.80  –      –
ce re-scaling         | 55.93  –      –      52.05  –      69.37
ce both               | 57.02  –      –      53.50  –      –
""")  # fmt: skip
TABLE_V = {
    f"{backbone}{run}": float(cell)
    for run, (cells,) in _TABLE_V.items()
    for backbone, cell in zip(("", "lm ", "lmh ", "css ", "css_lmh ", "lxmert "), cells, strict=True)
    if cell != "–"
}

# Clark et al. 2019, the authors' release on VQA-CP v2 test, means of eight runs: what Guo et al.'s ‡ rows re-train.
CLARK = {
    "bce baseline": 39.34, "reweight bce baseline": 39.92, "bias_product bce baseline": 40.04,
    "lm bce baseline": 48.78, "lmh bce baseline": 52.01,
}  # fmt: skip
CLARK_LM_NUMBER = 14.61


def audit_kappa(*, kind: str | None = None) -> dict[tuple[str, str, str], tuple[float, float, float]]:
    """(data set, row, answer type) of Table IV -> kappa x 100, accuracy, and the chance in percent that fits both.

    Accuracy stands for agreement: at a yes/no question whoever agrees with most annotators scores 1. `kind`: one type.
    """
    cells = [(data, row, t) for data in KAPPA for row in KAPPA[data] for t in (TYPES if kind is None else (kind,))]
    both = {(d, row, t): [number(table[d][row][t]) for table in (KAPPA, ACCURACY)] for d, row, t in cells}
    return {cell: (k, acc, 100 * implied_chance(k / 100, acc / 100)) for cell, (k, acc) in both.items()}


def _tell_kappa(kind: str) -> str:
    """Kappa of an answer type on all three data sets, and the chance that it takes."""
    kappa, _, chance = zip(*audit_kappa(kind=kind).values(), strict=True)
    return f"{min(kappa):.2f} to {max(kappa):.2f} for {kind} takes {min(chance):.0f} to {max(chance):.0f} %"


_IMPOSSIBLE = [
    f"{kappa:.2f} over {accuracy:.2f} ({row}, {kind}, {data.rsplit(' ', 1)[0]})"
    for (data, row, kind), (kappa, accuracy, chance) in audit_kappa().items()
    if chance < 0
]
CONTRADICTIONS = (  # where, what the paper prints there
    ("Table I and Figs. 2 and 4", "the table calls a frequent answer taken for a sparse one a hard mistake, the text "
     "on the figures a sparse one taken for the most frequent; book and claims follow the table."),
    ("Table V, CSS+LMH", "mask alone and mask with re-scaling print the same 56.55, re-scaling alone 50.76, which is "
     "4.85 below the baseline's 55.61, though the text says that re-scaling alone gains by a large margin."),
    ("Tables III and IV, UpDn, VQA-CP v1, Num.", "kappa rises from 4.40 to 38.68 and accuracy from 12.49 to 18.04; "
     "for Y/N, kappa rises from 43.01 to 63.90 and accuracy from 43.76 to 44.25."),
    ("Tables II to IV, κ above accuracy", "κ is at most the share of questions on which two raters agree, and who "
     f"gives the most frequent answer to a yes/no question scores 1; yet in {len(_IMPOSSIBLE)} cells κ × 100 exceeds "
     f"the printed accuracy: {', '.join(_IMPOSSIBLE)}."),
    ("Table IV, Other and All", "at the printed accuracies, prediction and label would have to agree by chance as "
     f"often as they do, among hundreds of answers: κ × 100 of {_tell_kappa('Other')}, of {_tell_kappa('All')}."),
    ("Tables II and V, UpDn", "the best UpDn, 57.02 with Soft-CE, stands in Table V alone; Table II has 47.09."),
    ("Table II, CSS+LMH on VQA v2", "the authors' own run has 46.08, the original 59.91; mask and re-scaling "
     "gain 9.88 on the one and lose 3.95 on the other."),
    ("Table II, LMH + both on VQA v2", "its three answer types, weighted as those of the other rows, give 56.2 instead "
     "of the printed 56.81."),
    ("Table V, CSS", "softplus-G is below the sigmoid for both losses (38.72 and 38.76, 34.80 and 35.21), though the "
     "text says that it surpasses it."),
    ("Table II, LM", "Num. is 41.44; Clark et al. give 14.61 for the same method."),
    ("Eqs. 6 and 8", "print max where only min bounds the mask by 1 and the weights by 100."),
)  # fmt: skip
