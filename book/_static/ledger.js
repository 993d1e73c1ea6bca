/* The ledger's filter: a list of papers and a switch per verdict above every <table class="ledger">.
 * A claim's row carries data-paper and data-verdict (holds, fails, unclear, not-run; several are separated by spaces).
 * A paper's heading row carries data-paper alone and shows while a claim of it does. Without this script all show. */

document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("table.ledger").forEach(addFilter));

function addFilter(table) {
  const rows = [...table.querySelectorAll("tr[data-paper]")];
  const claims = rows.filter((row) => row.dataset.verdict);
  const verdictsOf = (row) => row.dataset.verdict.split(/\s+/);

  const paper = element("select", { ariaLabel: "Paper" });
  const papers = unique(claims.map((row) => row.dataset.paper));
  paper.append(new Option("all papers", ""), ...papers.map((name) => new Option(name)));
  const switches = ["holds", "fails", "unclear", "not-run"]
    .filter((verdict) => claims.some((row) => verdictsOf(row).includes(verdict)))
    .map((verdict) => verdictSwitch(verdict, claims.filter((row) => verdictsOf(row).includes(verdict)).length));
  const count = element("output", {});

  const show = () => {
    const on = switches.filter((button) => button.ariaPressed === "true").map((button) => button.value);
    for (const row of claims) {
      const rightPaper = !paper.value || row.dataset.paper === paper.value;
      row.hidden = !(rightPaper && verdictsOf(row).some((verdict) => on.includes(verdict)));
    }
    const shown = claims.filter((row) => !row.hidden);
    for (const row of rows.filter((row) => !row.dataset.verdict)) {
      row.hidden = !shown.some((claim) => claim.dataset.paper === row.dataset.paper);
    }
    count.value = `${shown.length} of ${claims.length} claims`;
  };

  const bar = element("div", { className: "ledger-filter" });
  bar.append(paper, ...switches, count);
  bar.addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (button) button.ariaPressed = String(button.ariaPressed !== "true");
    show();
  });
  paper.addEventListener("change", show);
  table.before(bar);
  show();
}

function verdictSwitch(verdict, count) {
  const button = element("button", { type: "button", value: verdict, ariaPressed: "true" });
  const textContent = `${verdict.replace("-", " ")} ${count}`;
  button.append(element("span", { className: `verdict-${verdict}`, textContent }));
  return button;
}

function element(tag, properties) {
  return Object.assign(document.createElement(tag), properties);
}

function unique(names) {
  return [...new Set(names)];
}
