// The controls: what is shown is `state`, and every change of it ends in show().

const $ = (id) => document.getElementById(id);
const page = JSON.parse($("page").textContent);

function bytes(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
const floats = (text) => new Float32Array(bytes(text).buffer);
const doubles = (text) => new Float64Array(bytes(text).buffer);

function readNetwork(network) {
  const weights = {};
  for (const [name, { shape, data }] of Object.entries(network.weights)) {
    weights[name] = { shape, data: floats(data) };
  }
  const time = { ...network.time, levels: doubles(network.time.levels) };
  return { ...network, time, weights };
}

const LASTS = 6; // seconds from one end of the slider to the other
const STILLS = 8; // shown one a second instead, where motion is not wanted
const { alphas, sigmas, velocity } = page.schedule;
const schedule = new NoiseSchedule(doubles(alphas), doubles(sigmas), velocity.map(doubles));
const state = { process: "forward", position: { forward: 0, reverse: 0 }, playing: null };
const view = new (page.kind === "points" ? PointsView : ImagesView)(page, schedule, () => show());
const last = () => view.length(state.process) - 1;
const position = () => Math.min(state.position[state.process], last());

// ------------------------------------------------------------------------------------- drawing

function palette() {
  const style = getComputedStyle(document.documentElement);
  const names = ["paper", "text", "soft", "edge", "ink", "faint", "line", "arrow", "followed"];
  const colours = names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]);
  const labels = "#3b82c4 #e8790c #2f9e44 #d6336c #8b5cf6 #a0694b #d0559f #7c8490 #a3a000 #12a4b5";
  return { ...Object.fromEntries(colours), labels: labels.split(" ") };
}

// A canvas as wide as it is laid out, sharp on dense screens: (pen, width) in CSS pixels.
function prepare(canvas, aspect) {
  const width = canvas.clientWidth;
  const density = window.devicePixelRatio || 1;
  canvas.style.height = `${Math.round(width * aspect)}px`;
  canvas.width = Math.round(width * density);
  canvas.height = Math.round(width * aspect * density);
  const pen = canvas.getContext("2d");
  pen.scale(density, density);
  return [pen, width];
}

function drawCurve(colours, t) {
  const [pen, width] = prepare($("curve"), 0.5);
  const [height, left, bottom] = [width * 0.5, 30, 24];
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
  const what = page.kind === "points" ? "points" : "images";
  $("picture").setAttribute("aria-label", `${page.title}: ${what} at ${words}`);
}

function show() {
  const [process, at, colours] = [state.process, position(), palette()];
  $("time").max = last();
  $("time").value = at;
  $("play").textContent = state.playing ? "Pause" : "Play";
  const t = view.timestep(process, at);
  describe(t);
  $("caption").textContent = view.caption(process, at);
  const [pen, width] = prepare($("picture"), view.aspect(process));
  view.draw(pen, width, process, at, colours);
  drawCurve(colours, t);
  if (page.kind === "images") {
    $("chosen").value = view.chosen + 1;
    const [lens, size] = prepare($("lens"), view.lensAspect(process));
    view.drawLens(lens, size, process, at);
  } else {
    $("sampling").hidden = process === "forward";
    const made = view.frames.length - 1;
    const steps = view.settings.steps;
    $("busy").textContent = view.ends ? "" : `sampling: step ${Math.min(made, steps)} of ${steps}`;
  }
}

// ---------------------------------------------------------------------------------------- time

function move(to) {
  state.position[state.process] = Math.max(0, Math.min(last(), Math.round(to)));
  show();
}

function pause() {
  cancelAnimationFrame(state.playing?.frame);
  clearInterval(state.playing?.timer);
  state.playing = null;
}

function play() {
  if (position() === last()) state.position[state.process] = 0;
  state.playing = {};
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
    state.playing.timer = setInterval(() => advance(last() / STILLS), 1000);
    return show();
  }
  let [since, at] = [performance.now(), position()];
  const tick = (now) => {
    at += ((now - since) / 1000 / LASTS) * last();
    since = now;
    if (advance(at - position())) state.playing.frame = requestAnimationFrame(tick);
  };
  state.playing.frame = requestAnimationFrame(tick);
  return show();
}

// Whether there is more to play.
function advance(by) {
  const to = position() + by;
  if (to >= last()) pause();
  move(to);
  return state.playing !== null;
}

function stop() {
  pause();
  show();
}

// ------------------------------------------------------------------------------------ controls

function choose(process) {
  pause();
  state.process = process;
  show();
}

function onKey(event) {
  const typing = ["INPUT", "SELECT", "BUTTON"].includes(event.target.tagName);
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
  if (event.key === " ") state.playing ? stop() : play();
  else if (by) {
    pause();
    move(position() + by);
  } else return;
  event.preventDefault();
}

function pointer(event) {
  const box = $("picture").getBoundingClientRect();
  return [event.clientX - box.left - 1, event.clientY - box.top - 1]; // its border is 1 wide
}

// A number typed into a box, kept between its limits; what is no number changes nothing.
function typed(box) {
  const value = box.value.trim() === "" ? NaN : Number(box.value);
  if (!Number.isFinite(value)) return null;
  box.value = Math.max(Number(box.min), Math.min(Number(box.max), value));
  return Number(box.value);
}

function set(changes) {
  Object.assign(view.settings, changes);
  $("eta-label").style.opacity = view.settings.sampler === "ddim" ? 1 : 0.5;
  $("eta").disabled = view.settings.sampler !== "ddim";
  view.sample();
  show();
}

function connectSampling() {
  const settings = view.settings;
  Object.assign($("steps"), { max: schedule.length, value: settings.steps });
  $("sampler").onchange = (event) => {
    const steps = { ddpm: schedule.length, ddim: 50, dpmpp: 20 }[event.target.value];
    $("steps").value = Math.min(steps, schedule.length);
    set({ sampler: event.target.value, steps: Number($("steps").value) });
  };
  $("steps").onchange = (event) => {
    const steps = Math.round(typed(event.target) ?? settings.steps);
    event.target.value = steps;
    set({ steps });
  };
  $("eta").oninput = (event) => {
    $("eta-value").textContent = event.target.value;
    set({ eta: Number(event.target.value) });
  };
  $("again").onclick = () => set({ seed: settings.seed + 1 });
  $("clear").onclick = () => view.clear();
  $("drop").onclick = () => {
    const spread = Math.hypot(...schedule.at(schedule.length - 1));
    const [x, y] = normals(settings.seed, -2, [view.dropped.length]);
    view.drop([spread * x, spread * y]);
  };
  const known = view.classes.length > 0;
  $("label-box").hidden = !known;
  $("guidance-label").hidden = !known || !view.knowsNone;
  if (!known) return;
  const labels = view.knowsNone ? [["none", "any"]] : [];
  labels.push(["all", "each in turn"], ...view.classes.map((label) => [label, label]));
  for (const [value, text] of labels) $("label").add(new Option(text, value));
  $("label").onchange = (event) => set({ label: event.target.value });
  $("guidance").onchange = (event) => {
    const guidance = typed(event.target) ?? settings.guidance;
    event.target.value = guidance;
    set({ guidance });
  };
}

function connectPoints() {
  connectSampling();
  view.sample();
  $("layers").hidden = false;
  $("extra").onchange = (event) => {
    view.layers.extra = event.target.value;
    show();
  };
  $("show-data").onchange = (event) => {
    view.layers.data = event.target.checked;
    show();
  };
}

function connectImages() {
  $("process").hidden = !view.reverse;
  $("lens-box").hidden = false;
  $("chosen").max = view.count;
  $("chosen").onchange = (event) => {
    view.chosen = Math.round(typed(event.target) ?? view.chosen + 1) - 1;
    show();
  };
  $("picture").onpointermove = (event) => view.hover(...pointer(event));
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").textContent = theme === "dark" ? "Light" : "Dark";
  show();
}

function connect() {
  document.title = page.title;
  $("title").textContent = page.title;
  $("subtitle").textContent = page.subtitle;
  page.kind === "points" ? connectPoints() : connectImages();
  document.getElementsByName("process").forEach((choice) => {
    choice.onchange = () => choose(choice.value);
  });
  $("play").onclick = () => (state.playing ? stop() : play());
  $("time").oninput = (event) => {
    pause();
    move(Number(event.target.value));
  };
  $("picture").onclick = (event) => view.click(state.process, position(), ...pointer(event));
  $("theme").onclick = () => {
    setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  };
  document.addEventListener("keydown", onKey);
  window.addEventListener("resize", () => show());
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.onchange = () => setTheme(dark.matches ? "dark" : "light");
  setTheme(dark.matches ? "dark" : "light");
}

connect();
