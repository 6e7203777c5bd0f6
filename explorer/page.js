// The controls.

const OF_IMAGES = page.kind === "images";

// --------------------------------------------------------------------------------- which there are

// Only the controls that do something in this process.
function showControls(process) {
  const samples = process !== "forward";
  for (const item of document.querySelectorAll(OF_IMAGES ? ".of-points" : ".of-images")) {
    item.hidden = true;
  }
  for (const item of document.querySelectorAll(".of-network")) {
    item.hidden = !(OF_IMAGES && page.network);
  }
  $("process").hidden = OF_IMAGES && !page.network;
  $("sampling").hidden = !samples;
  $("editing").hidden = process !== "edit";
  $("morphing").hidden = process !== "morph";
  const known = !view.own && page.classes?.length > 0;
  $("label-box").hidden = !known;
  $("guidance-label").hidden = !known || !page.guides;
  $("enlarged-label").hidden = !OF_IMAGES || ["edit", "morph"].includes(process);
  $("picture").style.touchAction = process === "edit" || view.own ? "pinch-zoom" : "manipulation";
  for (const id of ["play", "back", "ahead", "time"]) $(id).disabled = last() === 0;
  OF_IMAGES ? showImageControls(process) : showPointControls(process);
}

function showImageControls(process) {
  $("count").parentElement.hidden = process !== "reverse";
  $("keys").textContent = {
    edit: "Keys in the drawing: arrows move, Enter draws; space plays and pauses.",
    morph: "Keys: ← → change the noise.",
  }[process] ?? "Keys: ← → move in time, space plays and pauses.";
  listImages(process === "reverse" ? view.settings.count : view.count);
  if (process === "morph") tell("between", view.modes.morph.between);
  if (process !== "edit") return;
  const edit = view.modes.edit;
  $("fill").disabled = !edit.hasHole();
  $("keep").disabled = !edit.finished();
}

function listImages(count) {
  const { options } = $("enlarged");
  const wanted = count > 1 ? count + 1 : 1;
  while (options.length > wanted) options.remove(wanted);
  if (!options.length) $("enlarged").add(new Option("none", ""));
  while (options.length < wanted) {
    $("enlarged").add(new Option(`image ${options.length}`, options.length - 1));
  }
  if (view.chosen >= count) view.chosen = null;
  $("enlarged").value = view.chosen ?? "";
}

function showPointControls(process) {
  $("own").hidden = $("layers").hidden = false;
  $("beside").hidden = process === "forward";
  const [, second] = view.crowds;
  for (const id of ["steps-2", "eta-2"]) $(id).parentElement.hidden = !second;
  if (second) $("eta-2-label").hidden = !TAKES_ETA.includes(second.settings.sampler);
  $("clear-own").disabled = !view.strokes.length;
  const keys = view.own ? "Keys in the picture: arrows move, Enter draws" : "Keys: ← → move in time";
  $("keys").textContent = `${keys}; space plays and pauses.`;
}

// ------------------------------------------------------------------------------------- settings

// A number typed into a box, kept between its limits; what is no number changes nothing.
function typed(box) {
  const value = box.value.trim() === "" ? NaN : Number(box.value);
  if (!Number.isFinite(value)) return null;
  box.value = Math.max(Number(box.min), Math.min(Number(box.max), value));
  return Number(box.value);
}

// Calls change(number) with what is typed into a box, which always shows what holds.
function onNumber(id, holds, change, whole = true) {
  $(id).value = holds();
  $(id).onchange = (event) => {
    const value = typed(event.target);
    if (value !== null) change(whole ? Math.round(value) : value);
    $(id).value = holds();
  };
}

// Calls change(number) while a slider moves, and shows the number beside it.
function onSlider(id, holds, change) {
  tell(id, holds());
  $(id).oninput = (event) => {
    change(Number(event.target.value));
    tell(id, holds());
  };
}

function tell(id, value) {
  $(`${id}-value`).textContent = $(id).value = value;
}

// What is made now is made anew.
function resample() {
  state.held = false;
  view.sample(state.process);
  show();
}

function set(changes) {
  Object.assign(view.settings, changes);
  $("seed").value = view.settings.seed;
  resample();
}

// The three controls of a sampler, whose ids end alike; settings() are what they change.
function connectSampler(end, settings, change) {
  const [sampler, steps, eta] = ["sampler", "steps", "eta"].map((id) => id + end);
  for (const name of Object.keys(page.samplers)) {
    $(sampler).add(new Option(SAMPLER_NAMES[name], name));
  }
  const limit = () => {
    $(steps).max = mostSteps(settings().sampler, schedule);
    $(`eta${end}-label`).hidden = !TAKES_ETA.includes(settings().sampler);
  };
  $(sampler).value = settings().sampler;
  $(sampler).onchange = (event) => {
    change({ sampler: event.target.value, steps: page.samplers[event.target.value] });
    if (!event.target.value) return;
    limit();
    $(steps).value = settings().steps;
  };
  onNumber(steps, () => settings().steps, (value) => change({ steps: value }));
  onSlider(eta, () => settings().eta, (value) => change({ eta: value }));
  limit();
}

function connectSampling() {
  const { settings } = view;
  onNumber("seed", () => settings.seed, (seed) => set({ seed }));
  $("again").onclick = () => set({ seed: settings.seed + 1 });
  if (!page.classes?.length) return;
  const labels = page.knowsNone ? [["none", "any"]] : [];
  if (page.classes.length > 1) labels.push(["all", "each in turn"]);
  labels.push(...page.classes.map((label, i) => [label, page.classNames[i]]));
  for (const [value, text] of labels) $("label").add(new Option(text, value));
  $("label").value = settings.label;
  $("label").onchange = (event) => set({ label: event.target.value });
  onNumber("guidance", () => settings.guidance, (guidance) => set({ guidance }), false);
}

// --------------------------------------------------------------------------------------- points

function connectPoints() {
  const [first] = view.crowds;
  const remake = (crowd) => (changes) => {
    Object.assign(crowd.settings, changes);
    crowd.sample();
    show();
  };
  connectSampler("", () => first.settings, remake(first));
  const beside = { sampler: "", steps: first.settings.steps, eta: 0 };
  connectSampler("-2", () => beside, (changes) => {
    Object.assign(beside, changes);
    view.crowds.length = 1;
    if (beside.sampler) view.crowds.push(new Crowd(view, beside));
    resample();
  });
  $("clear").onclick = () => view.clear();
  $("drop").onclick = () => {
    const spread = Math.hypot(...schedule.at(schedule.length - 1));
    const [x, y] = normals(view.settings.seed, -2, [view.dropped.length]);
    view.drop([spread * x, spread * y]);
  };
  $("given").textContent = page.dataset;
  for (const choice of document.getElementsByName("data")) {
    choice.onchange = () => chooseData(choice.value === "own");
  }
  $("clear-own").onclick = () => view.clearOwn();
  $("extra").onchange = (event) => {
    view.layers.extra = event.target.value;
    show();
  };
  $("show-data").onchange = (event) => {
    view.layers.data = event.target.checked;
    show();
  };
  view.sample();
}

// One draws on the clean data, and then sees what the reverse process makes of noise.
function chooseData(own) {
  pause();
  view.chooseData(own);
  if (own) {
    state.process = "forward";
    state.position.forward = 0;
  }
  tickProcess();
  resample();
}

function drawn() {
  if (!view.own || !view.data.length) return;
  state.process = "reverse";
  state.position.reverse = 0;
  tickProcess();
  view.sample();
  play();
}

// --------------------------------------------------------------------------------------- images

function connectImages() {
  $("enlarged").onchange = (event) => {
    view.enlarge(event.target.value === "" ? null : Number(event.target.value));
    show();
  };
  if (!page.network) return;
  connectSampler("", () => view.settings, set);
  onNumber("count", () => view.settings.count, (count) => set({ count }));
  const { edit, morph } = view.modes;
  for (const choice of document.getElementsByName("tool")) {
    choice.onchange = () => (edit.tool = choice.value);
  }
  $("colour-label").hidden = view.channels === 1;
  $("colour").oninput = (event) => {
    edit.colour = [1, 3, 5].map((at) => parseInt(event.target.value.slice(at, at + 2), 16));
  };
  onSlider("strength", () => edit.strength, (strength) => (edit.strength = strength));
  for (const [id, act] of Object.entries({
    example: () => edit.take(),
    "clear-drawing": () => edit.clear(),
    vary: () => edit.vary(),
    fill: () => edit.fill(),
    keep: () => edit.keep(),
  })) {
    $(id).onclick = () => {
      state.held = false;
      act();
      show();
    };
  }
  const seeds = { "seed-from": "from", "seed-to": "to" };
  for (const [id, end] of Object.entries(seeds)) {
    onNumber(id, () => morph[end], (seed) => {
      morph[end] = seed;
      resample();
    });
  }
  onSlider("between", () => morph.between, (between) => morph.set(between));
  $("stop").onclick = () => view.workshop.stop();
}

// ------------------------------------------------------------------------------ keys and pointer

function onKey(event) {
  const typing = ["INPUT", "SELECT", "BUTTON"].includes(event.target.tagName);
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
  const taken = event.target === $("picture") && view.key(state.process, event.key);
  if (taken) show();
  else if (event.key === " ") state.playing ? stop() : play();
  else if (by) step(by);
  else return;
  event.preventDefault();
}

function step(by) {
  pause();
  move(position() + by);
}

function connectPointer() {
  const canvas = $("picture");
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left - 1, event.clientY - box.top - 1]; // its border is 1 wide
  };
  let dragging = null;
  const release = () => {
    if (dragging === null) return;
    dragging = null;
    drawn();
  };
  canvas.onpointerdown = (event) => {
    if (!event.isPrimary || event.button !== 0) return release(); // a second finger: a pinch
    if (view.press(state.process, position(), ...place(event))) {
      dragging = event.pointerId;
      canvas.setPointerCapture(event.pointerId);
    }
    show();
  };
  canvas.onpointermove = (event) => {
    if (event.pointerId !== dragging) return;
    view.drag(state.process, ...place(event));
    show();
  };
  canvas.onpointerup = canvas.onpointercancel = release;
}

// What a control shows about diffusion, while it is pointed at or used.
function connectHints() {
  const hint = (event) => {
    const told = event.target.closest?.("[data-hint]");
    if (told) $("hint").textContent = told.dataset.hint;
  };
  for (const kind of ["pointerover", "focusin"]) document.addEventListener(kind, hint);
  if (!NARROW.matches) $("hint").textContent = "Point at a control to read what it shows.";
  for (const item of document.querySelectorAll("[data-hint]")) item.title = item.dataset.hint;
}

// --------------------------------------------------------------------------------------- the page

function tickProcess() {
  for (const choice of document.getElementsByName("process")) {
    choice.checked = choice.value === state.process;
  }
}

function choose(process) {
  pause();
  view.workshop?.stop();
  state.process = process;
  state.held = false;
  if (OF_IMAGES) view.sample(process);
  show();
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").textContent = theme === "dark" ? "Light" : "Dark";
  show();
}

function begin() {
  const samples = page.kind === "points" || page.network;
  state.process = samples ? "reverse" : "forward";
  tickProcess();
  if (OF_IMAGES) return choose(state.process);
  if (!STILL.matches) return play();
  state.position.reverse = last();
}

function connect() {
  document.title = page.title;
  $("title").textContent = page.title;
  $("subtitle").textContent = page.subtitle;
  const size = `${(document.documentElement.innerHTML.length / 1e6).toFixed(1)} MB`;
  $("weight").textContent = `This page is one file of ${size}. All it does happens here: nothing leaves your browser.`;
  for (const choice of document.getElementsByName("process")) {
    choice.onchange = () => choose(choice.value);
  }
  $("play").onclick = () => (state.playing ? stop() : play());
  $("back").onclick = () => step(-1);
  $("ahead").onclick = () => step(1);
  $("time").oninput = (event) => {
    pause();
    move(Number(event.target.value));
  };
  $("speed").onchange = (event) => {
    state.speed = Number(event.target.value);
    if (state.playing) pause(), play();
  };
  $("theme").onclick = () => {
    setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  };
  document.addEventListener("keydown", onKey);
  window.addEventListener("resize", () => show());
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.onchange = () => setTheme(dark.matches ? "dark" : "light");
  connectPointer();
  connectHints();
  if (view.settings) connectSampling();
  OF_IMAGES ? connectImages() : connectPoints();
  setTheme(dark.matches ? "dark" : "light");
  begin();
}

connect();
