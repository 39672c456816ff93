// What HTML alone can't do: asking again while the tab is visible, small charts, the keyboard, the theme.
"use strict";

const tick = Number(document.body.dataset.tick) * 1000;
let asked = Date.now();

function ask() {
  if (document.visibilityState !== "visible" || document.querySelector("dialog[open]")) return;
  if (!document.querySelector("#live[hx-get]")) return;
  asked = Date.now();
  document.body.dispatchEvent(new CustomEvent("celeriac:tick"));
}

if (tick) {
  setInterval(ask, tick);
  document.addEventListener("visibilitychange", () => { if (Date.now() - asked >= tick) ask(); });
}

// An answer that isn't a screen, such as one for who must sign in again, never takes the place of one.
function isStale(stale) { document.getElementById("stale").hidden = !stale; }

document.body.addEventListener("htmx:error", () => isStale(true));
document.body.addEventListener("htmx:after:request", (event) => {
  const stale = !event.detail.ctx.text.includes('id="live"');
  isStale(stale);
  if (stale) event.preventDefault();
});

// The second click of a double click sends nothing: a form that is on its way isn't sent once more.
const ON_ITS_WAY = 10_000;

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.getAttribute("method") !== "post") return;
  if (Date.now() - Number(form.dataset.sent || 0) < ON_ITS_WAY) event.preventDefault();
  else form.dataset.sent = Date.now();
});
addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach((form) => { delete form.dataset.sent; }));

function colour(element, name) {
  return getComputedStyle(element).getPropertyValue(name).trim();
}

function draw(element) {
  const values = element.dataset.values.split(",").map(Number);
  if (element.dataset.drawn === element.dataset.values) return;
  element.dataset.drawn = element.dataset.values;
  element.replaceChildren();
  const ink = colour(element, element.classList.contains("bad") ? "--bad" : "--accent");
  new uPlot({
    width: 110, height: 26, padding: [2, 1, 1, 1],
    cursor: { show: false }, legend: { show: false },
    axes: [{ show: false }, { show: false }],
    scales: { x: { time: false }, y: { range: (_, low, high) => [0, Math.max(high, 1)] } },
    series: [{}, { stroke: ink, width: 1.25, fill: ink + "22", points: { show: false } }],
  }, [values.map((_, i) => i), values], element);
}

const charts = new WeakMap();

function drawChart(element) {
  const { times, series } = JSON.parse(element.dataset.chart);
  const width = element.clientWidth - 16;
  if (charts.get(element)?.shown === element.dataset.chart + width) return;
  charts.get(element)?.chart.destroy();
  const soft = colour(element, "--soft"), line = colour(element, "--line");
  const axis = { stroke: soft, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
  const chart = new uPlot({
    width, height: 165,
    scales: { y: { range: (_, low, high) => [0, Math.max(high, 1)] } },
    axes: [axis, { ...axis, size: 50 }],
    series: [{ value: "{HH}:{mm}" }, ...series.map(({ name, kind }) => {
      const ink = colour(element, kind === "bad" ? "--bad" : "--accent");
      return { label: name, stroke: ink, width: 1.5, fill: ink + "22", points: { show: false } };
    })],
  }, [times, ...series.map((each) => each.values)], element);
  charts.set(element, { chart, shown: element.dataset.chart + width });
}

function drawAll() {
  document.querySelectorAll(".spark[data-values]").forEach(draw);
  document.querySelectorAll("[data-chart]").forEach(drawChart);
}

function drawAnew() {
  document.querySelectorAll(".spark").forEach((each) => { delete each.dataset.drawn; });
  document.querySelectorAll("[data-chart]").forEach((each) => { charts.get(each)?.chart.destroy(); charts.delete(each); });
  drawAll();
}

function localTimes() {
  const format = new Intl.DateTimeFormat(undefined, { weekday: "short", year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit" });
  document.querySelectorAll("time[data-local]").forEach((each) => { each.textContent = format.format(new Date(each.dateTime)); });
}


// On a narrow screen the menu is a line that is longer than the screen. `scrollIntoView` would move the place of Tab too.
const current = document.querySelector(".menu [aria-current]");
const end = current ? current.offsetLeft + 2 * current.offsetWidth : 0;
if (end > innerWidth) current.closest(".menu").scrollLeft = end - innerWidth;
addEventListener("resize", drawAll);
document.body.addEventListener("htmx:after:swap", drawAll);
document.body.addEventListener("htmx:after:swap", localTimes);
drawAll();
localTimes();

document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
  drawAnew();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAnew);

const shortcuts = document.getElementById("shortcuts");
document.getElementById("keys").addEventListener("click", () => shortcuts.showModal());

function move(step) {
  const rows = [...document.querySelectorAll("[data-row]")];
  if (!rows.length) return;
  const here = rows.findIndex((row) => row.contains(document.activeElement));
  const next = rows[Math.min(rows.length - 1, Math.max(0, here < 0 ? (step > 0 ? 0 : rows.length - 1) : here + step))];
  (next.querySelector("a, button") || next).focus();
}

let going = 0;
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const goes = Date.now() - going < 1500;
  going = 0;
  if (event.key === "/") {
    const find = document.getElementById("find") || document.querySelector("main input:not([type=hidden])");
    if (find) { event.preventDefault(); find.focus(); find.select(); }
  } else if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (event.key === "?") shortcuts.showModal();
  else if (event.key === "g") going = Date.now();
  else if (goes && /^[0-9]$/.test(event.key)) document.querySelectorAll(".menu a")[(Number(event.key) || 10) - 1]?.click();
});
