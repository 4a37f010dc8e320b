"use strict";
(() => {
  const specs = JSON.parse(document.getElementById("chart-specs").textContent);
  const failed = JSON.parse(document.getElementById("chart-failed").textContent);
  const font = getComputedStyle(document.body).fontFamily;
  const series = [1, 2, 3, 4, 5, 6, 7, 8].map((number) => `var(--series-${number})`);
  const config = {
    background: null,
    font,
    view: { stroke: null },
    range: { category: series },
    axis: {
      labelColor: "var(--muted)", titleColor: "var(--muted)", gridColor: "var(--grid)",
      domainColor: "var(--line)", tickColor: "var(--line)", labelFontSize: 12,
      titleFontSize: 12, titleFontWeight: "normal", labelPadding: 6, titlePadding: 8,
    },
    legend: {
      labelColor: "var(--ink)", titleColor: "var(--muted)", labelFontSize: 12,
      titleFontSize: 12, titleFontWeight: "normal", symbolType: "circle", orient: "top",
    },
  };
  const options = {
    mode: "vega-lite", renderer: "svg", actions: false, ast: true, defaultStyle: false, config,
    tooltip: { theme: "page", disableDefaultStyle: true },
  };
  for (const box of document.querySelectorAll("[data-chart]")) {
    window.vegaEmbed(box, specs[box.dataset.chart], options).catch((error) => {
      box.classList.add("chart-failed");
      box.textContent = `${failed} (${error.message})`;
    });
  }

  const sortKey = (row, column) => {
    const cell = row.cells[column];
    return "value" in cell.dataset
      ? (cell.dataset.value === "" ? -Infinity : Number(cell.dataset.value))
      : cell.textContent;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const order = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", order === 1 ? "ascending" : "descending");
        const rows = [...body.rows].map((row) => [sortKey(row, column), row]);
        rows.sort(([a], [b]) => order * (a < b ? -1 : a > b ? 1 : 0));
        body.append(...rows.map(([, row]) => row));
      });
    });
  }
  for (const input of document.querySelectorAll("input.filter")) {
    const rows = document.getElementById(input.dataset.filters).tBodies[0].rows;
    input.addEventListener("input", () => {
      const wanted = input.value.normalize("NFKC").toLowerCase().split(/\s+/u).filter(Boolean);
      for (const row of rows) {
        const text = row.textContent.normalize("NFKC").toLowerCase();
        row.hidden = !wanted.every((word) => text.includes(word));
      }
    });
  }
})();
