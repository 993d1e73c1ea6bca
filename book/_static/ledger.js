/* The ledger: search, filters, addresses, and all of it in the URL, over the rows of <table class="ledger">. DataTables,
 * which the page loads, sorts them and puts them on pages. The table says in data-kinds which verdicts there are, in
 * their order; a row carries its address as id, and what it is filtered by as data-paper, data-whose, data-headline,
 * data-needs, data-embedded and data-real. Without this script all rows show. */

document.addEventListener("DOMContentLoaded", async () => {
  const table = document.querySelector("table.ledger");
  if (table && window.DataTables) new Ledger(table, await window.DataTables);
});

class Ledger {
  static pageLength = 50;
  static effects = { printed: 1, embedded: 2, real: 3 }; // what is sorted by -> its column
  static filters = {
    // a name in the URL -> its label, and a row's values
    paper: ["Paper", ({ paper }) => [paper]],
    claims: ["Whose claims", ({ whose, headline }) => [whose, headline]],
    needs: ["Condition", ({ needs }) => (needs ? needs.split("; ") : ["none"])],
    embedded: ["Embedded world", ({ embedded }) => [embedded]],
    real: ["Real data", ({ real }) => [real]],
  };

  constructor(element, DataTable) {
    this.rows = [...element.tBodies[0].rows];
    this.words = new Map(this.rows.map((row) => [row, textOf([...row.cells].slice(0, -1))]));
    this.values = new Map(this.rows.map((row) => [row, valuesOf(row)]));
    this.kinds = element.dataset.kinds.split("; ");
    this.asked = Object.fromEntries(new URLSearchParams(location.search));
    this.table = this.makeTable(element, DataTable);
    this.bar = this.makeBar();
    this.table.table().container().before(this.bar);
    this.show();
    this.listen();
    this.openAddress();
  }

  makeTable(element, DataTable) {
    // Effects of one unit stand together, the commonest unit first, absent ones last, whichever way it is sorted.
    const pre = (text) => (text ? text.split(" ").map(Number) : [Infinity, 0]);
    const compare = (way) => ([unit, a], [other, b]) => (unit === other ? way * (a - b) : unit < other ? -1 : 1);
    DataTable.type("effect", "order", { pre, asc: compare(1), desc: compare(-1) });
    const [name, way] = (this.asked.sort ?? "").split("-");
    const columns = Object.values(Ledger.effects);
    const table = new DataTable(element, {
      autoWidth: false,
      columnDefs: [
        { targets: columns, type: "effect", orderable: true, orderSequence: ["desc", "asc", ""] },
        { targets: "_all", type: "html", orderable: false, searchable: false },
      ],
      language: { info: "_START_ to _END_ of _TOTAL_", infoEmpty: "", infoFiltered: "", zeroRecords: "No claim is so." },
      layout: { topStart: null, topEnd: null, bottomStart: "info", bottomEnd: "paging" },
      order: name in Ledger.effects ? [[Ledger.effects[name], way === "asc" ? "asc" : "desc"]] : [],
      pageLength: Ledger.pageLength,
    });
    table.search.fixed("asked", (text, values, index) => this.passes(this.rows[index]));
    return table;
  }

  /* Whether a row is what is asked for; one filter may be left out of it. */
  passes(row, leftOut) {
    const words = (this.asked.q ?? "").toLowerCase().split(/\s+/);
    return (
      words.every((word) => this.words.get(row).includes(word)) &&
      Object.keys(Ledger.filters).every(
        (name) => name === leftOut || !this.asked[name] || this.values.get(row)[name].includes(this.asked[name]),
      )
    );
  }

  /* Draw what is asked for; say how many rows each choice would show; keep it in the URL. */
  show() {
    this.table.draw();
    for (const choice of this.bar.querySelectorAll("[data-filter]")) this.tellChoice(choice);
    for (const input of this.bar.querySelectorAll("input, select")) input.value = this.asked[input.name] ?? "";
    this.tellRows();
    this.keep();
  }

  /* How many rows are shown, and how they are sorted. */
  tellRows() {
    const n = this.rows.filter((row) => this.passes(row)).length;
    const sorted = this.asked.sort ? "; effects sorted within their unit, points first" : "";
    this.bar.querySelector("output").value = `${n} of ${this.rows.length} claims${sorted}`;
    this.bar.querySelector(".again").hidden = n === this.rows.length;
  }

  tellChoice(choice) {
    const { filter, text } = choice.dataset;
    const value = slug(text);
    const n = this.rows.filter((row) => this.passes(row, filter) && this.values.get(row)[filter].includes(value)).length;
    if (choice.tagName === "OPTION") choice.textContent = `${text} (${n})`;
    else {
      choice.firstChild.textContent = `${text} ${n}`;
      choice.ariaPressed = String(this.asked[filter] === value);
    }
    choice.disabled = n === 0 && this.asked[filter] !== value;
  }

  keep() {
    const query = new URLSearchParams(Object.entries(this.asked).filter(([, value]) => value));
    history.replaceState(null, "", `${query.size ? `?${query}` : location.pathname}${location.hash}`);
  }

  ask(changes) {
    Object.assign(this.asked, changes);
    this.show();
  }

  makeBar() {
    const bar = make("form", { className: "ledger-filter", role: "search", ariaLabel: "Claims" });
    const search = make("input", { type: "search", name: "q", placeholder: "words of a claim, a table, a data set" });
    bar.append(label("Search", search));
    for (const [name, [text]] of Object.entries(Ledger.filters)) {
      const values = new Set(this.rows.flatMap((row) => Ledger.filters[name][1](row.dataset)).filter(Boolean));
      bar.append(["embedded", "real"].includes(name) ? this.makeChips(name, text, values) : makeSelect(name, text, values));
    }
    const foot = make("p", {});
    foot.append(
      make("output", {}),
      make("button", { type: "button", className: "again", textContent: "all claims again" }),
      make("button", { type: "button", className: "whole", textContent: "on one page", ariaPressed: "false" }),
    );
    bar.append(foot);
    return bar;
  }

  makeChips(name, text, values) {
    const chips = make("fieldset", {});
    chips.append(make("legend", { textContent: text }));
    for (const kind of this.kinds.filter((kind) => values.has(kind))) {
      const chip = make("button", { type: "button", className: "chip", ariaPressed: "false" });
      Object.assign(chip.dataset, { filter: name, text: kind });
      chip.append(make("span", { className: `verdict-${slug(kind)}` }));
      chips.append(chip);
    }
    return chips;
  }

  listen() {
    this.bar.addEventListener("submit", (event) => event.preventDefault());
    this.bar.addEventListener("input", ({ target }) => this.ask({ [target.name]: target.value }));
    this.bar.addEventListener("click", ({ target }) => {
      const { dataset = {}, classList } = target.closest("button") ?? {};
      const value = dataset.text && slug(dataset.text);
      if (value) this.ask({ [dataset.filter]: this.asked[dataset.filter] === value ? "" : value });
      else if (classList?.contains("again")) this.clear();
      else if (classList?.contains("whole")) this.turn(target);
    });
    this.table.on("order", () => {
      const [[column, way] = []] = this.table.order();
      const name = Object.keys(Ledger.effects).find((name) => Ledger.effects[name] === column);
      this.asked.sort = name && way ? `${name}-${way}` : "";
      this.tellRows();
      this.keep();
    });
    this.table.table().container().addEventListener("click", ({ target }) => {
      if (target.closest(".dt-paging-button")) this.bar.scrollIntoView();
    });
    this.table.table().body().addEventListener(
      "toggle",
      ({ target }) => {
        const address = `#${target.closest("tr").id}`;
        if (target.open && location.hash !== address) {
          history.replaceState(null, "", `${location.search}${address}`);
        }
      },
      true,
    );
    window.addEventListener("hashchange", () => this.openAddress());
  }

  clear() {
    this.ask(Object.fromEntries(Object.keys(Ledger.filters).map((name) => [name, ""]).concat([["q", ""]])));
  }

  /* All rows below each other, for the browser's own search and for paper; or again fifty a page. */
  turn(button) {
    const whole = button.ariaPressed !== "true";
    button.ariaPressed = String(whole);
    this.table.page.len(whole ? -1 : Ledger.pageLength).draw();
  }

  /* The row that the URL names: found whatever is filtered, unfolded, and scrolled to. */
  openAddress() {
    const address = decodeURIComponent(location.hash.slice(1));
    const row = this.rows.find((row) => row.id === address);
    if (!row) return;
    if (!this.passes(row)) this.clear();
    const place = this.table.rows({ search: "applied", order: "applied" }).nodes().toArray().indexOf(row);
    const length = this.table.page.len();
    if (length > 0) this.table.page(Math.floor(place / length)).draw("page");
    for (const other of this.rows) other.classList.toggle("named", other === row);
    row.querySelector("details").open = true;
    row.scrollIntoView();
    row.querySelector("summary").focus({ preventScroll: true });
  }
}

/* What a row is filtered by: the filter's name -> its values, as the URL has them. */
function valuesOf({ dataset }) {
  const filters = Object.entries(Ledger.filters);
  return Object.fromEntries(filters.map(([name, [, read]]) => [name, read(dataset).filter(Boolean).map(slug)]));
}

function makeSelect(name, text, values) {
  const select = make("select", { name });
  select.append(new Option("all", ""));
  for (const value of values) {
    const option = new Option(value, slug(value));
    Object.assign(option.dataset, { filter: name, text: value });
    select.append(option);
  }
  return label(text, select);
}

function label(text, input) {
  const label = make("label", { textContent: text });
  label.append(input);
  return label;
}

function make(tag, properties) {
  return Object.assign(document.createElement(tag), properties);
}

function textOf(cells) {
  return cells.map((cell) => cell.textContent).join(" ").toLowerCase();
}

function slug(text) {
  return text.toLowerCase().replace(/ \(.*/, "").replace(/[^a-z0-9]+/g, "-");
}
