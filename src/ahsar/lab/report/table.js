"use strict";
// Tables of the class "sorts": a button in every title sorts by its column, and a field above keeps the rows that hold a word.
// Without this script the page lacks nothing but these.
const SIZES = { k: 1e3, M: 1e6, G: 1e9 };

// What a cell is sorted by: the first number in it, or its text; null where there is none, which comes last either way.
function keyOf(cell) {
  const text = cell.textContent.trim();
  const found = /^[≥≤≈\s]*([+-]?\d+(?:\.\d+)?)(?: ([kMG])\b)?/.exec(text);
  if (found) return Number(found[1]) * (SIZES[found[2]] ?? 1);
  return cell.tagName === "TH" || /^(yes|no)$/.test(text) ? text : null;
}

function compare(a, b) {
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en");
}

function sortBy(table, title) {
  const descending = title.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  title.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const rows = Array.from(table.tBodies[0].rows, (row) => [keyOf(row.cells[title.cellIndex]), row]);
  rows.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : compare(a, b) * (descending ? -1 : 1)));
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

function filterBy(table, words, said) {
  const rows = Array.from(table.tBodies[0].rows);
  for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
  said.textContent = words.length ? `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows` : "";
}

for (const table of document.querySelectorAll("table.sorts")) {
  for (const title of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...title.childNodes);
    button.addEventListener("click", () => sortBy(table, title));
    title.append(button);
  }
  const line = document.createElement("p");
  line.className = "filter";
  const label = document.createElement("label");
  const field = document.createElement("input");
  const said = document.createElement("span");
  field.type = "search";
  said.setAttribute("role", "status");
  field.addEventListener("input", () => filterBy(table, field.value.toLowerCase().split(/\s+/).filter(Boolean), said));
  label.append("Rows with the words ", field);
  line.append(label, said);
  table.parentElement.before(line);
}
