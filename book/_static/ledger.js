/* The ledger's filter: a list of papers and a switch per verdict above every <table class="ledger">.
 * A claim's row carries data-paper, data-place (the paper's table or section) and data-verdict (holds, fails, smaller,
 * no-difference, undecided, conditions-not-met, not-run; several are separated by spaces). A heading row carries
 * data-paper, and data-place if it heads a place, and shows while a claim under it passes the filter. Claims are folded
 * under their place until its button, or any use of the filter, unfolds them. Without this script all show. */

document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("table.ledger").forEach(addFilter));

function addFilter(table) {
  const rows = [...table.querySelectorAll("tr[data-paper]")];
  const claims = rows.filter((row) => row.dataset.verdict);
  const verdictsOf = (row) => row.dataset.verdict.split(/\s+/);

  const paper = element("select", { ariaLabel: "Paper" });
  const papers = unique(claims.map((row) => row.dataset.paper));
  paper.append(new Option("all papers", ""), ...papers.map((name) => new Option(name)));
  const switches = ["holds", "fails", "smaller", "no-difference", "undecided", "conditions-not-met", "not-run"]
    .filter((verdict) => claims.some((row) => verdictsOf(row).includes(verdict)))
    .map((verdict) => verdictSwitch(verdict, claims.filter((row) => verdictsOf(row).includes(verdict)).length));
  const count = element("output", {});

  const places = rows.filter((row) => row.dataset.place && !row.dataset.verdict);
  const placeOf = (row) => `${row.dataset.paper}\n${row.dataset.place}`;
  const unfolded = new Set();
  const all = element("button", { type: "button", className: "unfold" });
  const folds = new Map(places.map((row) => [placeOf(row), foldButton(row)]));

  const show = () => {
    const on = switches.filter((button) => button.ariaPressed === "true").map((button) => button.value);
    const passes = (row) =>
      (!paper.value || row.dataset.paper === paper.value) && verdictsOf(row).some((verdict) => on.includes(verdict));
    const passing = claims.filter(passes);
    for (const row of claims) row.hidden = !passes(row) || (folds.has(placeOf(row)) && !unfolded.has(placeOf(row)));
    for (const row of rows.filter((row) => !row.dataset.verdict)) {
      const key = row.dataset.place ? placeOf : (some) => some.dataset.paper;
      row.hidden = !passing.some((claim) => key(claim) === key(row));
    }
    for (const [place, button] of folds) button.ariaExpanded = String(unfolded.has(place));
    all.textContent = unfolded.size < folds.size ? "unfold all" : "fold all";
    all.hidden = !folds.size;
    count.value = `${passing.length} of ${claims.length} claims`;
  };
  const unfold = () => folds.forEach((_, place) => unfolded.add(place));

  for (const [place, button] of folds) {
    button.addEventListener("click", () => {
      if (!unfolded.delete(place)) unfolded.add(place);
      show();
    });
  }

  const bar = element("div", { className: "ledger-filter" });
  bar.append(paper, ...switches, all, count);
  bar.addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (button === all && unfolded.size === folds.size) unfolded.clear();
    else if (button) unfold();
    if (switches.includes(button)) button.ariaPressed = String(button.ariaPressed !== "true");
    show();
  });
  paper.addEventListener("change", () => {
    unfold();
    show();
  });
  table.before(bar);
  show();
}

function verdictSwitch(verdict, count) {
  const button = element("button", { type: "button", value: verdict, ariaPressed: "true" });
  const textContent = `${verdict.replaceAll("-", " ")} ${count}`;
  button.append(element("span", { className: `verdict-${verdict}`, textContent }));
  return button;
}

function foldButton(row) {
  const heading = row.querySelector("th");
  const button = element("button", { type: "button", className: "fold", textContent: heading.textContent });
  heading.replaceChildren(button);
  return button;
}

function element(tag, properties) {
  return Object.assign(document.createElement(tag), properties);
}

function unique(names) {
  return [...new Set(names)];
}
