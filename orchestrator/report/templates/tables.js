"use strict";
/* Tables whose rows (and, in heat tables, columns) can be sorted. Each cell has the name of its
   column in data-c, which is short because a page may have 20,000 cells. */
document.documentElement.classList.add("js");
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

function sortKey(cell) {
  if (!cell) return null;
  const value = cell.dataset.value;
  if (value === undefined) return cell.textContent.trim().toLowerCase();
  return value === "" ? null : Number(value);
}

/* Orders the positions of `keys`; missing values stay at the end in both directions. */
function orderOf(keys, descending) {
  const sign = descending ? -1 : 1;
  return keys.map((_, index) => index).sort((a, b) => {
    const [x, y] = [keys[a], keys[b]];
    if (x === null || y === null) return (x === null) - (y === null) || a - b;
    const less = typeof x === "number" && typeof y === "number"
      ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
    return sign * less || a - b;
  });
}

/* Turns a header into a button: best first, then the reverse order, then the original order. */
function makeSortable(header, table, keysOf, apply) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "sort";
  button.append(...header.childNodes);
  header.append(button);
  button.addEventListener("click", () => {
    const keys = keysOf();
    const numbers = keys.some((key) => typeof key === "number");
    const steps = numbers ? ["descending", "ascending", ""] : ["ascending", "descending", ""];
    const next = steps[(steps.indexOf(header.getAttribute("aria-sort") || "") + 1) % 3];
    const axis = header.scope;
    for (const other of all(`th[scope="${axis}"][aria-sort]`, table)) other.removeAttribute("aria-sort");
    if (next) header.setAttribute("aria-sort", next);
    apply(next ? orderOf(keys, next === "descending") : keys.map((_, index) => index));
  });
}

function cellsOf(row, column) {
  return row.querySelector(`[data-c="${column}"]`);
}

for (const table of all("table.sortable")) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  for (const header of all("thead th[data-c]", table)) {
    header.scope = "col";
    makeSortable(header, table,
      () => rows.map((row) => sortKey(cellsOf(row, header.dataset.c))),
      (order) => body.append(...order.map((index) => rows[index])));
  }
  if (!table.classList.contains("both-ways")) continue;
  const columns = all("thead th.column", table).map((header) => header.dataset.c);
  for (const header of all("tbody th.block, tfoot th", table)) {
    const row = header.closest("tr");
    header.scope = "row";
    makeSortable(header, table,
      () => columns.map((column) => sortKey(cellsOf(row, column))),
      (order) => all("tr", table).forEach((line) =>
        line.append(...order.map((index) => cellsOf(line, columns[index])).filter(Boolean))));
  }
}
