// The picture of points. A view has, for each process, positions 0 ... length - 1 of the slider,
// and draws any of them; it also takes clicks.

const CROWD = 400; // samples made at a time
const FAMILIAR = 30; // of them, those whose paths are shown together
const ARROWS = 150;
const FIELD_SIDE = 21;
const SLICE = 25; // milliseconds of sampling between two chances to draw or to stop
const NEAR = 12; // pixels within which a click means a point

class PointsView {
  constructor(page, schedule, changed) {
    this.schedule = schedule;
    this.changed = changed; // called when there is more to see
    this.data = floats(page.points.positions);
    this.labels = page.points.labels;
    this.reach = page.points.reach;
    this.coloured = new Set(this.labels).size > 1;
    this.eps = normals(0, -1, range(this.labels.length)); // one noise for all t, to follow points
    this.network = page.network && makeNetwork(readNetwork(page.network));
    this.prediction = page.prediction;
    // The classes that the network knows, and whether it knows what none of them is.
    this.classes = page.network ? page.network.classes : [];
    this.knowsNone = !page.network || page.network.knowsNone;
    this.settings = { sampler: "ddim", steps: Math.min(50, schedule.length), eta: 0 };
    const label = this.knowsNone ? "none" : "all";
    Object.assign(this.settings, { guidance: 1, label, seed: 1 });
    this.layers = { extra: "none", data: true };
    this.dropped = []; // where noise was dropped, [x, y]
    this.followed = { forward: new Set(), reverse: new Set() };
    Object.assign(this, { frames: [], ends: null }); // what sample() makes
  }

  // -------------------------------------------------------------------------------- sampling

  denoiser() {
    if (!this.network) return exactDenoiser(this.data, this.schedule);
    return denoiser(this.network, this.schedule, this.prediction, this.settings.guidance);
  }

  // Start noise of the particles: the crowd's, then what was dropped.
  startingNoise(ids) {
    const last = this.schedule.length - 1;
    const spread = Math.hypot(...this.schedule.at(last));
    const noise = normals(this.settings.seed, -1, ids).map((z) => spread * z);
    ids.forEach((id, i) => id >= CROWD && noise.set(this.dropped[id - CROWD], 2 * i));
    return noise;
  }

  classOf(ids) {
    const { classes } = this;
    if (!classes.length || this.settings.label === "none") return null;
    if (this.settings.label === "all") return ids.map((id) => classes[id % classes.length]);
    return ids.map(() => Number(this.settings.label));
  }

  // The frames of these particles, one after another.
  run(ids) {
    const { sampler, steps, eta, seed } = this.settings;
    const labels = this.classOf(ids);
    const denoise = this.denoiser();
    return runSampler(
      sampler,
      (x, t) => denoise(x, t, labels),
      this.startingNoise(ids),
      this.schedule,
      trailingTimesteps(this.schedule.length, steps),
      eta,
      (k) => normals(seed, k, ids),
    );
  }

  // Make all samples anew, without holding up the page.
  async sample() {
    const frames = [];
    Object.assign(this, { frames, ends: null });
    let since = performance.now();
    for (const frame of this.run(range(CROWD + this.dropped.length))) {
      frames.push(frame);
      if (performance.now() - since < SLICE) continue;
      this.changed();
      await new Promise((resume) => setTimeout(resume));
      if (this.frames !== frames) return; // overtaken by newer settings
      since = performance.now();
    }
    this.ends = this.nearestLabels(frames.at(-1).x);
    this.changed();
  }

  // Let one more particle start from here, and follow it.
  drop(position) {
    const id = CROWD + this.dropped.push(position) - 1;
    this.followed.reverse.add(id);
    if (!this.ends) return this.sample();
    let k = 0;
    for (const { x, x0 } of this.run([id])) {
      const frame = this.frames[k++];
      frame.x = Float64Array.of(...frame.x, ...x);
      frame.x0 = Float64Array.of(...frame.x0, ...x0);
    }
    this.ends = this.nearestLabels(this.frames.at(-1).x);
    this.changed();
  }

  clear() {
    this.dropped = [];
    for (const chosen of Object.values(this.followed)) chosen.clear();
    this.sample();
  }

  // The label of the data point nearest to each sample: which part of the data it became.
  nearestLabels(x) {
    if (!this.coloured) return [];
    return range(x.length / 2).map((i) => this.labels[nearest(this.data, x[2 * i], x[2 * i + 1])]);
  }

  // ---------------------------------------------------------------------------- what is shown

  length(process) {
    return (process === "forward" ? this.schedule.length : this.settings.steps) + 1;
  }

  timestep(process, position) {
    if (process === "forward") return position - 1;
    const steps = this.settings.steps;
    if (position === steps) return CLEAN;
    return trailingTimesteps(this.schedule.length, steps)[position];
  }

  // The points at a position, as {t, x, x0}; x0 is only made when asked for.
  frame(process, position) {
    if (process === "reverse") return this.frames[Math.min(position, this.frames.length - 1)];
    const t = position - 1;
    const [alpha, sigma] = this.schedule.at(t);
    return { t, x: weighted([alpha, this.data], [sigma, this.eps]) };
  }

  caption(process, position) {
    const whose = this.network ? "the network's" : "the exact";
    const noisy = process === "forward" ? "data with noise" : "what began as noise";
    const extra = {
      none: "",
      arrows: ` Arrows go to ${whose} estimate of where each point came from.`,
      field: ` The field shows which way ${whose} estimate of the clean point lies.`,
      paths: ` Lines are the ways of ${FAMILIAR} points.`,
    };
    const click =
      process === "forward"
        ? " Click a point to follow it."
        : " Click a point to follow it, or an empty place to drop new noise there.";
    const t = this.timestep(process, position);
    const zoomed = t !== CLEAN && this.schedule.zoom(t) > 1;
    const scale = zoomed ? " Shown smaller as the noise grows, as the network sees it." : "";
    return `Dots: ${noisy}.${extra[this.layers.extra]}${click}${scale}`;
  }

  aspect() {
    return 1;
  }

  // --------------------------------------------------------------------------------- drawing

  draw(pen, size, process, position, palette) {
    const { t, x, x0 } = this.frame(process, position);
    const zoom = this.schedule.zoom(t);
    this.place = { size, unit: size / (2 * this.reach * zoom) };
    if (this.layers.data) this.dots(pen, this.data, () => palette.faint, 1.4);
    const colours = process === "forward" ? this.labels : this.ends;
    const colour = (i) => (this.coloured && colours ? palette.labels[colours[i] % 10] : palette.ink);
    if (this.layers.extra === "field" && t !== CLEAN) this.field(pen, t, palette);
    this.dots(pen, x, colour, process === "forward" ? 1.8 : 2.4);
    if (this.layers.extra === "arrows" && t !== CLEAN) this.arrows(pen, t, x, x0, palette);
    const familiar = this.layers.extra === "paths" ? range(FAMILIAR) : [];
    for (const id of familiar) this.path(pen, process, position, id, palette.line, 1);
    for (const id of this.followed[process]) this.follow(pen, process, position, id, palette);
  }

  pixel(x, y) {
    const { size, unit } = this.place;
    return [size / 2 + x * unit, size / 2 - y * unit];
  }

  dots(pen, x, colour, radius) {
    for (let i = 0; i < x.length / 2; i++) {
      pen.fillStyle = colour(i);
      pen.beginPath();
      pen.arc(...this.pixel(x[2 * i], x[2 * i + 1]), radius, 0, 7);
      pen.fill();
    }
  }

  arrow(pen, from, to) {
    const [[ax, ay], [bx, by]] = [from, to];
    const length = Math.hypot(bx - ax, by - ay);
    if (length < 1) return;
    const angle = Math.atan2(by - ay, bx - ax);
    const head = Math.min(6, length / 2);
    pen.beginPath();
    pen.moveTo(ax, ay);
    pen.lineTo(bx, by);
    for (const side of [-0.45, 0.45]) {
      pen.moveTo(bx, by);
      pen.lineTo(bx - head * Math.cos(angle + side), by - head * Math.sin(angle + side));
    }
    pen.stroke();
  }

  arrows(pen, t, x, x0, palette) {
    const feet = x.slice(0, 2 * ARROWS);
    const labels = this.classOf(range(feet.length / 2));
    const tips = x0 ?? this.denoiser()(feet, t, labels).x0;
    Object.assign(pen, { strokeStyle: palette.arrow, lineWidth: 1 });
    for (let i = 0; i < feet.length; i += 2) {
      this.arrow(pen, this.pixel(feet[i], feet[i + 1]), this.pixel(tips[i], tips[i + 1]));
    }
  }

  // Arrows on a grid, as long as they are except that they may not run into their neighbours.
  field(pen, t, palette) {
    const reach = this.reach * this.schedule.zoom(t);
    const gap = (2 * reach) / FIELD_SIDE;
    const cells = range(FIELD_SIDE ** 2);
    const tick = (k) => (k + 0.5) * gap - reach;
    const at = Float64Array.from(
      cells.flatMap((k) => [tick(k % FIELD_SIDE), tick(Math.floor(k / FIELD_SIDE))]),
    );
    const { x0 } = this.denoiser()(at, t, this.classOf(cells));
    Object.assign(pen, { strokeStyle: palette.line, lineWidth: 1 });
    for (let i = 0; i < at.length; i += 2) {
      const [dx, dy] = [x0[i] - at[i], x0[i + 1] - at[i + 1]];
      const shrink = Math.min(1, (0.9 * gap) / Math.hypot(dx, dy));
      const tip = this.pixel(at[i] + shrink * dx, at[i + 1] + shrink * dy);
      this.arrow(pen, this.pixel(at[i], at[i + 1]), tip);
    }
  }

  // Where a particle was at each position so far, as it was shown then.
  path(pen, process, position, id, colour, width) {
    Object.assign(pen, { strokeStyle: colour, lineWidth: width });
    pen.beginPath();
    const now = this.schedule.zoom(this.timestep(process, position));
    for (let k = 0; k <= position; k++) {
      const [x, y, t] = this.particle(process, k, id);
      const share = now / this.schedule.zoom(t);
      pen.lineTo(...this.pixel(x * share, y * share));
    }
    pen.stroke();
  }

  particle(process, position, id) {
    if (process === "reverse") {
      const { t, x } = this.frame(process, position);
      return [x[2 * id], x[2 * id + 1], t];
    }
    const [alpha, sigma] = this.schedule.at(position - 1);
    const at = (k) => alpha * this.data[2 * id + k] + sigma * this.eps[2 * id + k];
    return [at(0), at(1), position - 1];
  }

  follow(pen, process, position, id, palette) {
    this.path(pen, process, position, id, palette.followed, 2);
    const [x, y] = this.particle(process, position, id);
    Object.assign(pen, { fillStyle: palette.followed, strokeStyle: palette.paper, lineWidth: 1.5 });
    pen.beginPath();
    pen.arc(...this.pixel(x, y), 6, 0, 7);
    pen.fill();
    pen.stroke();
  }

  // A click at (left, top) pixels of the picture: follow what is there, or drop noise.
  click(process, position, left, top) {
    const { size, unit } = this.place;
    const [x, y] = [(left - size / 2) / unit, (size / 2 - top) / unit];
    const shown = this.frame(process, position).x;
    const id = nearest(shown, x, y);
    const away = unit * Math.hypot(shown[2 * id] - x, shown[2 * id + 1] - y);
    if (away <= NEAR) {
      const chosen = this.followed[process];
      if (!chosen.delete(id)) chosen.add(id);
    } else if (process === "reverse") {
      const last = this.schedule.length - 1;
      const zoom = this.schedule.zoom(last) / this.schedule.zoom(this.timestep(process, position));
      return this.drop([x * zoom, y * zoom]);
    }
    this.changed();
  }
}

const range = (count) => Array.from({ length: count }, (_, i) => i);

// The index of the point of `points` that is nearest to (x, y).
function nearest(points, x, y) {
  let [best, closest] = [0, Infinity];
  for (let i = 0; i < points.length; i += 2) {
    const away = (points[i] - x) ** 2 + (points[i + 1] - y) ** 2;
    if (away < closest) [best, closest] = [i / 2, away];
  }
  return best;
}
