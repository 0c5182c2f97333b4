"use strict";
// Columns sort when their names are clicked: numbers with the largest first, texts from A.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const number = (text) => {
    const value = parseFloat(text.replaceAll(",", ""));
    return Number.isNaN(value) ? -Infinity : value;
  };
  heads.forEach((head, column) => {
    const isNumber = head.classList.contains("n");
    head.querySelector("button").addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      const first = isNumber ? "descending" : "ascending";
      const second = isNumber ? "ascending" : "descending";
      const order = before === first ? second : first;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const keyed = [...body.rows].map((row) => {
        const text = row.cells[column].textContent;
        return [isNumber ? number(text) : text, row];
      });
      keyed.sort(([a], [b]) =>
        sign * (isNumber ? a - b || 0 : a.localeCompare(b, "en", { numeric: true })),
      );
      body.append(...keyed.map(([, row]) => row));
    });
  });
}
