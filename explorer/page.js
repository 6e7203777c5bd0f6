// The actions of the controls.

// ------------------------------------------------------------------------------------- settings

// The number typed into a box, clamped to its limits; null if it is not a number.
function typed(box) {
  const value = box.value.trim() === "" ? NaN : Number(box.value);
  if (!Number.isFinite(value)) return null;
  box.value = Math.max(Number(box.min), Math.min(Number(box.max), value));
  return Number(box.value);
}

// Calls change(number) with the number typed into a box; the box then shows the value in use.
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

// Samples again with the current settings.
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

// The three controls of a sampler, whose ids have the same ending; settings() are their settings.
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
  $("again").onclick = () => set({ seed: (settings.seed + 1) % (Number($("seed").max) + 1) });
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
  const second = new Crowd(view, beside);
  connectSampler("-2", () => beside, (changes) => {
    Object.assign(beside, changes);
    view.crowds = beside.sampler ? [first, second] : [first];
    if (beside.sampler && view.data.length) second.sample();
    show();
  });
  $("clear").onclick = () => view.clear();
  $("drop").onclick = () => {
    view.drop([...normals(view.settings.seed, -2, [view.dropped.length])]);
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

// The user draws at t = data; when a stroke ends, the reverse process plays.
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

function endStroke() {
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
  $("colour").value = `#${edit.colour.map((part) => (part ? "ff" : "00")).join("").padEnd(6, "0")}`;
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
  $("stop").onclick = () => {
    view.workshop.stop();
    $("play").focus(); // the stop button disappears
  };
}

// ------------------------------------------------------------------------------ keys and pointer

function onKey(event) {
  const typing = ["INPUT", "SELECT", "BUTTON"].includes(event.target.tagName);
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const [right, up] = DIRECTIONS[event.key] ?? [0, 0];
  const taken = event.target === $("picture") && view.key(state.process, event.key);
  if (taken) show();
  else if (event.key === " ") state.playing ? stop() : play();
  else if (right || up) step(right + up);
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
    return [event.clientX - box.left - 1, event.clientY - box.top - 1]; // the border is 1 px wide
  };
  let dragging = null;
  const release = () => {
    if (dragging === null) return;
    dragging = null;
    endStroke();
  };
  canvas.onpointerdown = (event) => {
    if (!event.isPrimary || event.button !== 0) return release(); // a second finger starts a pinch
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

// Shows what a control teaches about diffusion while the user points at it or uses it.
function connectHints() {
  const hint = (event) => {
    const told = event.target.closest?.("[data-hint]");
    if (told) $("hint").textContent = told.dataset.hint;
  };
  for (const kind of ["pointerover", "focusin"]) document.addEventListener(kind, hint);
  if (!NARROW.matches) $("hint").textContent = "Point at a control to see what it does.";
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
  $("hint").textContent = "";
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
  $("weight").textContent = `This page is one file of ${size}. Everything runs here: nothing leaves your browser.`;
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
  hideOthers();
  connectPointer();
  connectHints();
  if (view.settings) connectSampling();
  OF_IMAGES ? connectImages() : connectPoints();
  setTheme(dark.matches ? "dark" : "light");
  begin();
}

connect();
