// The page shows `state`; every change of it ends with show().

const $ = (id) => document.getElementById(id);
const page = JSON.parse($("page").textContent);
const schedule = readSchedule(page.schedule);

const SAMPLER_NAMES = {
  ddpm: "DDPM",
  ddim: "DDIM",
  heun: "Heun",
  dpmpp: "DPM-Solver++",
  consistency: "consistency",
  shortcut: "shortcut",
};
const TAKES_ETA = ["ddim", "dpmpp"];
const ENDS = {
  forward: ["data", "noise"],
  reverse: ["noise", "data"],
  edit: ["noise", "data"],
  morph: ["", ""],
};
// When the controls are below the picture (style.css).
const NARROW = matchMedia(
  "(max-width: 560px), (max-width: 760px) and (orientation: portrait)",
);
const LEAST = 180; // the least height of the picture in pixels

const state = { process: "forward", position: {}, playing: null, speed: 1, held: false };
const view = new (page.kind === "points" ? PointsView : ImagesView)(page, schedule, () => arrived());
const last = () => view.length(state.process) - 1;
const position = () => Math.min(state.position[state.process] ?? 0, last());

// There is more to show: the newest state of a run of images, unless the user has moved the slider.
let due = false;
function arrived() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    const run = view.modes?.[state.process].run;
    if (run && !state.held) state.position[state.process] = Math.max(0, run.frames.length - 1);
    show();
  });
}

function palette() {
  const style = getComputedStyle(document.documentElement);
  const names = "paper text soft edge ink faint line arrow followed dense".split(" ");
  const colours = names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]);
  const labels = "#3b82c4 #e8790c #2f9e44 #d6336c #8b5cf6 #a0694b #d0559f #7c8490 #a3a000 #12a4b5";
  return { ...Object.fromEntries(colours), labels: labels.split(" ") };
}

// Sets the size of a canvas in CSS pixels, sharp on high-resolution screens.
function prepare(canvas, width, height) {
  const density = window.devicePixelRatio || 1;
  Object.assign(canvas.style, { width: `${width}px`, height: `${Math.round(height)}px` });
  canvas.width = Math.round(width * density);
  canvas.height = Math.round(height * density);
  const pen = canvas.getContext("2d");
  pen.scale(density, density);
  return pen;
}

// The picture is as wide as its column, unless it would be too high for the window.
function drawPicture(process, at, colours) {
  const stage = $("picture").parentElement;
  const beside = stage.clientHeight - $("picture").clientHeight + stage.offsetTop + 12;
  const room = NARROW.matches ? 0.42 * window.innerHeight : window.innerHeight - beside;
  let size = stage.clientWidth - 2; // its border
  view.arrange(process, at);
  // Part of the height is fixed, so this takes several iterations.
  for (let k = 0; k < 3; k++) size *= Math.min(1, Math.max(LEAST, room) / view.heightAt(size));
  size = Math.floor(size);
  view.draw(prepare($("picture"), size, view.heightAt(size)), size, colours);
}

function drawCurve(colours, t) {
  const width = $("curve").parentElement.clientWidth;
  const [height, left, bottom] = [width * 0.45, 30, 24];
  const pen = prepare($("curve"), width, height);
  const top = Math.max(1, schedule.sigmas.at(-1));
  const x = (k) => left + ((width - left - 22) * k) / (schedule.length - 1 || 1);
  const y = (value) => height - bottom - ((height - bottom - 12) * value) / top;
  Object.assign(pen, { font: "12px system-ui", fillStyle: colours.soft, strokeStyle: colours.edge });
  pen.strokeRect(x(0), y(top), x(schedule.length - 1) - x(0), y(0) - y(top));
  pen.fillText("0", left - 12, y(0) + 2);
  pen.fillText(`${+top.toPrecision(2)}`, 6, y(top) + 8);
  pen.fillText("t", (left + width - 22) / 2, height - 6);
  pen.fillText(`${schedule.length - 1}`, width - 44, height - 6);
  for (const [name, table, colour] of [
    ["α", schedule.alphas, colours.ink],
    ["σ", schedule.sigmas, colours.arrow],
  ]) {
    Object.assign(pen, { strokeStyle: colour, fillStyle: colour, lineWidth: 2 });
    pen.beginPath();
    table.forEach((value, k) => pen.lineTo(x(k), y(value)));
    pen.stroke();
    pen.fillText(name, width - 16, y(table.at(-1)) + 4);
    const value = t === CLEAN ? Number(name === "α") : table[t];
    pen.beginPath();
    pen.arc(x(Math.max(0, t)), y(value), 5, 0, 7);
    pen.fill();
  }
}

function number(value) {
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 3).replace("-", "−");
}

function describe(t) {
  const [alpha, sigma] = schedule.at(t);
  const when = t === CLEAN ? "data" : String(t);
  const lambda = number(Math.log(alpha / sigma));
  $("t").textContent = when;
  $("alpha").textContent = number(alpha);
  $("sigma").textContent = number(sigma);
  $("lambda").textContent = lambda;
  const values = `α ${number(alpha)}, σ ${number(sigma)}, λ ${lambda}`;
  const words = t === CLEAN ? "the data, without noise" : `t = ${when}: ${values}`;
  $("time").setAttribute("aria-valuetext", words);
  $("curve").setAttribute("aria-label", `The noise schedule; now ${words}`);
  $("picture").setAttribute("aria-label", `${page.title}: ${page.kind} at ${words}`);
}

// Shows the progress of sampling, or the time it took.
function report() {
  if (page.kind === "points") $("busy").textContent = ofPoints(view.crowds[0]);
  else reportOfImages(view.workshop, view.modes[state.process].run && view.workshop.run);
}

function ofPoints({ frames, ends, seconds }) {
  if (state.process === "forward" || !frames.length) return "";
  if (!ends) return "Sampling ...";
  return `${frames.at(-1).x.length / 2} samples in ${seconds.toFixed(2)} s, here in the browser.`;
}

function reportOfImages(workshop, run) {
  $("progress").hidden = $("stop").hidden = !workshop?.busy();
  if (run) Object.assign($("progress"), { max: run.total, value: run.evaluations });
  let words = "";
  if (run?.stopped) words = "Stopped.";
  if (run?.done) {
    const many = `${run.evaluations} evaluation${run.evaluations === 1 ? "" : "s"} of the network`;
    words = `${many} in ${run.seconds.toFixed(2)} s, here in the browser.`;
  }
  $("busy").textContent = workshop?.broken ?? words;
}

function show() {
  const [process, at, colours] = [state.process, position(), palette()];
  const t = view.timestep(process, at);
  $("time").max = last();
  $("time").value = at;
  $("time").disabled = last() === 0;
  [$("start").textContent, $("end").textContent] = ENDS[process];
  $("play").textContent = state.playing ? "Pause" : "Play";
  describe(t);
  $("caption").textContent = view.caption(process, at);
  report();
  showControls(process);
  drawPicture(process, at, colours);
  drawCurve(colours, t);
}
