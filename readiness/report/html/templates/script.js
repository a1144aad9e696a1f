"use strict";
// The page is whole without this: it only reads a plot's own numbers out where the pointer is, or by the arrow keys.
for (const figure of document.querySelectorAll("figure.picture")) {
  const rows = [...figure.querySelectorAll("tr[data-x]")];
  const readout = figure.querySelector(".readout");
  if (!rows.length || !readout) continue;
  const heads = [...figure.querySelectorAll("thead th")].map((head) => head.textContent);
  const places = rows.map((row) => Number(row.dataset.x));
  readout.hidden = false;
  for (const svg of figure.querySelectorAll("svg.plot")) {
    const { left, inner, low, high, top, bottom } = svg.dataset;
    const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
    line.setAttribute("class", "hair");
    line.setAttribute("y1", top);
    line.setAttribute("y2", bottom);
    let shown = -1;
    const show = (index) => {
      shown = Math.max(0, Math.min(rows.length - 1, index));
      const x = Number(left) + ((places[shown] - low) / (high - low)) * inner;
      line.setAttribute("x1", x);
      line.setAttribute("x2", x);
      svg.append(line);
      const cells = [...rows[shown].children].map((cell) => cell.textContent);
      readout.textContent = cells.map((text, column) => heads[column] + ": " + text).join("  ·  ");
    };
    const hide = () => {
      line.remove();
      readout.textContent = "";
    };
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
      const wanted = Number(low) + ((x - left) / inner) * (high - low);
      let nearest = 0;
      places.forEach((place, index) => {
        if (Math.abs(place - wanted) < Math.abs(places[nearest] - wanted)) nearest = index;
      });
      show(nearest);
    });
    svg.addEventListener("pointerleave", hide);
    svg.setAttribute("tabindex", "0");
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) {
        event.preventDefault();
        show(shown + step);
      }
    });
  }
}
