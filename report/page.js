"use strict";
const content = JSON.parse(document.getElementById("content").textContent);
const input = (name) => document.getElementById(name);

// Returns a table's rows; each chart gets its own copy, since Vega changes them.
function rows(columns) {
  const names = Object.keys(columns);
  if (!names.length) return [];
  const numbers = (column) => (Array.isArray(column) ? column : column.places);
  return numbers(columns[names[0]]).map((_, place) => {
    const row = {};
    for (const name of names) {
      const column = columns[name];
      row[name] = Array.isArray(column) ? column[place] : column.values[column.places[place]];
    }
    return row;
  });
}

function chosen() {
  const genre = input("genre").selectedIndex > 0 ? input("genre").value : null;
  // The reader may choose the two dates in either order.
  const [first, last] = [input("first").value || input("first").min, input("last").value || input("last").max].sort();
  const neutral = scheme() === "dark" ? "#7da7d0" : "#4a7fb5";
  return {
    first,
    last,
    genre,
    newest: content.newest,
    colour: genre === null ? neutral : content.colours[genre],
  };
}

function scheme() {
  return document.documentElement.dataset.scheme;
}

function config() {
  const [text, faint, line, low, high] =
    scheme() === "dark"
      ? ["#e7ebf0", "#a3adb9", "#303946", "#202c3b", "#8cc4ff"]
      : ["#1d2530", "#5c6775", "#e4e8ed", "#e9f1fa", "#1f5fa8"];
  return {
    font: getComputedStyle(document.body).fontFamily,
    view: { stroke: null },
    axis: {
      labelColor: faint, titleColor: faint, titleFontWeight: "normal", gridColor: line, domainColor: line,
      tickColor: line, labelFontSize: 12, titleFontSize: 12,
    },
    axisBand: { grid: false },
    legend: { labelColor: faint, titleColor: faint, titleFontWeight: "normal", orient: "bottom", labelFontSize: 12 },
    text: { fill: text, fontSize: 12 },
    range: { heatmap: [low, high] },
  };
}

let views = [];

async function draw() {
  for (const { finalize } of views) finalize();
  const values = chosen();
  views = await Promise.all(
    Object.entries(content.charts).map(([name, chart]) => {
      const datasets = {};
      for (const table of Object.keys(content.tables)) datasets[table] = rows(content.tables[table]);
      const params = chart.params.map((param) => ({ ...param, value: values[param.name] }));
      const options = { actions: false, renderer: "svg", logLevel: 1, config: config(), tooltip: { theme: scheme() } };
      return vegaEmbed(`#chart-${name}`, { ...chart, datasets, params }, options);
    }),
  );
  document.documentElement.dataset.drawn = "yes";
}

// The address holds the reader's choices, so that they can be shared as a link.
function choose(fragment) {
  for (const name of ["first", "last", "genre"]) {
    const value = new URLSearchParams(fragment).get(name);
    if (value !== null) input(name).value = value;
  }
  if (input("genre").selectedIndex < 0) input("genre").selectedIndex = 0;
}

async function follow() {
  const { first, last, genre } = chosen();
  history.replaceState(null, "", "#" + new URLSearchParams({ first, last, ...(genre === null ? {} : { genre }) }));
  for (const { view } of views) {
    for (const [name, value] of Object.entries(chosen())) view.signal(name, value);
    await view.runAsync();
  }
}

function setScheme(name) {
  document.documentElement.dataset.scheme = name;
  return draw();
}

for (const name of ["first", "last", "genre"]) input(name).addEventListener("change", follow);
input("all").addEventListener("click", () => {
  input("first").value = input("first").min;
  input("last").value = input("last").max;
  input("genre").selectedIndex = 0;
  follow();
});
input("scheme").addEventListener("click", () => setScheme(scheme() === "dark" ? "light" : "dark"));
choose(location.hash.slice(1));
const dark = matchMedia("(prefers-color-scheme: dark)");
dark.addEventListener("change", () => setScheme(dark.matches ? "dark" : "light"));
setScheme(dark.matches ? "dark" : "light");
