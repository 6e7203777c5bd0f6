// The picture of points: one panel for the forward process, one panel per sampler for the reverse
// process. It also handles clicks, which follow points or drop noise, and strokes, which draw data.

const FAMILIAR = 30; // number of paths shown
const NEAR = 12; // the distance in pixels within which a click selects a point
const TITLE = 24; // height of a title in pixels
const SPRAY = 12; // points added at each place of a stroke
const MOST_OWN = 2000; // the most points drawn by hand
const LARGE = 450; // pixels; in smaller pictures the dots are smaller

class PointsView {
  constructor(page, schedule, changed) {
    // changed() is called when there is more to show
    Object.assign(this, { page: { ...page, schedule }, schedule, changed });
    this.given = { data: floats(page.points.positions), labels: page.points.labels };
    this.reach = page.points.reach;
    this.network = page.network && readNetwork(page.network);
    const label = page.knowsNone === false ? "all" : "none";
    this.settings = { guidance: 1, label, seed: 1 };
    this.layers = { extra: "none", data: true };
    this.dropped = []; // where noise was dropped, [x, y]
    this.followed = { forward: new Set(), reverse: new Set() };
    Object.assign(this, { own: false, strokes: [], cursor: null });
    this.crowds = [new Crowd(this, { ...page.defaults })];
    this.use(this.given);
  }

  use({ data, labels }) {
    Object.assign(this, { data, labels, coloured: new Set(labels).size > 1 });
    this.eps = normals(0, -1, range(data.length / 2)); // the same for all t, to follow points
  }

  // -------------------------------------------------------------------------------- sampling

  // The network's denoiser, or the exact one without a network or with data drawn by the user.
  denoiser(ids) {
    if (!this.network || this.own) return exactDenoiser(this.data, this.schedule);
    return denoiser(this.network, this.page, this.classOf(ids), this.settings.guidance);
  }

  // Noise of the particles, with the standard deviation of x at t: the crowd's, then dropped noise.
  startingNoise(ids, t) {
    const noise = normals(this.settings.seed, -1, ids);
    ids.forEach((id, i) => id >= CROWD && noise.set(this.dropped[id - CROWD], 2 * i));
    return noise.map((z) => this.schedule.spread(t) * z);
  }

  classOf(ids) {
    return labelsOf(this.page, this.settings.label, ids);
  }

  sample() {
    for (const crowd of this.crowds) this.data.length ? crowd.sample() : crowd.empty();
  }

  // Start one more particle from this noise, [x, y] in units of its standard deviation; follow it.
  drop(position) {
    if (!this.data.length) return;
    const id = CROWD + this.dropped.push(position) - 1;
    this.followed.reverse.add(id);
    for (const crowd of this.crowds) crowd.add(id);
  }

  clear() {
    this.dropped = [];
    for (const chosen of Object.values(this.followed)) chosen.clear();
    this.sample();
  }

  // The label of the data point nearest to each sample, for its colour.
  nearestLabels(x) {
    if (!this.coloured) return [];
    return range(x.length / 2).map((i) => this.labels[nearest(this.data, x[2 * i], x[2 * i + 1])]);
  }

  // ------------------------------------------------------------------------- data of one's own

  chooseData(own) {
    this.own = own;
    for (const chosen of Object.values(this.followed)) chosen.clear();
    this.dropped = [];
    this.use(own ? this.drawn() : this.given);
  }

  drawn() {
    const data = Float32Array.from(this.strokes);
    return { data, labels: range(data.length / 2).map(() => 0) };
  }

  // Add some points around (x, y).
  spray(x, y) {
    if (this.full()) return;
    const id = this.strokes.length;
    const near = normals(7, id, range(SPRAY));
    near.forEach((z, k) => this.strokes.push((k % 2 ? y : x) + 0.05 * z));
    this.use(this.drawn());
    this.changed();
  }

  full() {
    return this.strokes.length / 2 >= MOST_OWN;
  }

  clearOwn() {
    this.strokes = [];
    this.chooseData(this.own);
    this.sample();
    this.changed();
  }

  // ---------------------------------------------------------------------------- what is shown

  length(process) {
    return (process === "forward" ? this.schedule.length : this.crowds[0].settings.steps) + 1;
  }

  timestep(process, position) {
    if (process === "forward") return position - 1;
    return this.crowds[0].timesteps()[position] ?? CLEAN;
  }

  // The points of a panel at a position, {t, x, x0}; the forward process has no x0.
  frame(process, position, panel = 0) {
    if (process === "reverse") return this.crowds[panel].frame(position / (this.length(process) - 1));
    const t = position - 1;
    const [alpha, sigma] = this.schedule.at(t);
    return { t, x: weighted([alpha, this.data], [sigma, this.eps]) };
  }

  // The title of each panel, [in full, in short].
  titles(process, position) {
    if (process === "forward") return [Array(2).fill("xₜ = αₜ x₀ + σₜ ε")];
    return this.crowds.map((crowd) => crowd.titles(position / (this.length(process) - 1)));
  }

  caption(process, position) {
    if (this.own && !this.data.length) return "Draw with the pointer: the points become the data.";
    if (this.own && this.full()) return "The drawing is full.";
    const whose = this.network && !this.own ? "the network's" : "the exact";
    const noisy = process === "forward" ? "the data with noise" : "samples on their way from noise";
    const extra = {
      none: "",
      arrows: ` Arrows point to ${whose} estimates of the clean points.`,
      field: ` The field points towards ${whose} estimate of the clean point.`,
      paths: ` Lines are the paths of ${FAMILIAR} points.`,
      density: " The colour behind them shows the density of the noisy data.",
    };
    const click = {
      forward: " Click a point to follow it.",
      reverse: " Click a point to follow it, or an empty place to drop new noise there.",
    };
    const t = this.timestep(process, position);
    const zoomed = t !== CLEAN && this.schedule.zoom(t) > 1;
    const scale = zoomed ? " The picture shrinks as the noise grows, like the network's input." : "";
    const pointer = this.own ? " Drag to add to your data." : click[process];
    return `Dots: ${noisy}.${extra[this.layers.extra]}${pointer}${scale}`;
  }

  // Choose the panels of the next picture.
  arrange(process, position) {
    this.scene = { process, position, panels: process === "forward" ? 1 : this.crowds.length };
  }

  // The height of a picture of that width.
  heightAt(size) {
    return this.panelSize(size) + TITLE;
  }

  panelSize(size) {
    const { panels } = this.scene;
    return (size - (panels - 1) * TITLE) / panels;
  }

  // --------------------------------------------------------------------------------- drawing

  draw(pen, size, palette) {
    const { process, position } = this.scene;
    const side = this.panelSize(size);
    this.places = this.titles(process, position).map(([title, short], panel) => {
      const place = { left: panel * (side + TITLE), top: TITLE, side };
      pen.save();
      pen.fillStyle = palette.text;
      pen.font = "14px system-ui, sans-serif";
      const fits = pen.measureText(title).width <= side - 4;
      pen.fillText(fits ? title : short, place.left + 2, TITLE - 7, side - 4);
      pen.strokeStyle = palette.edge;
      pen.strokeRect(place.left + 0.5, TITLE + 0.5, side - 1, side - 1);
      pen.beginPath();
      pen.rect(place.left, TITLE, side, side);
      pen.clip();
      this.drawPanel(pen, place, process, position, panel, palette);
      pen.restore();
      return place;
    });
  }

  drawPanel(pen, place, process, position, panel, palette) {
    const found = this.frame(process, position, panel);
    const t = found?.t ?? CLEAN;
    place.unit = place.side / (2 * this.reach * this.schedule.zoom(t));
    this.place = place;
    if (this.layers.extra === "density") drawDensity(pen, this, t, palette);
    if (this.layers.data) this.dots(pen, this.data, () => palette.faint, 1.4);
    if (this.cursor) this.cross(pen, palette);
    if (!found) return;
    const { x, x0 } = found;
    const colours = process === "forward" ? this.labels : this.crowds[panel].ends;
    const colour = (i) => (this.coloured && colours ? palette.labels[colours[i] % 10] : palette.ink);
    if (this.layers.extra === "field" && t !== CLEAN) drawField(pen, this, t, palette);
    this.dots(pen, x, colour, process === "forward" ? 1.8 : 2.4);
    if (this.layers.extra === "arrows" && t !== CLEAN) drawArrows(pen, this, t, x, x0, palette);
    const familiar = this.layers.extra === "paths" ? range(FAMILIAR) : [];
    const path = (id, colour, width) =>
      this.path(pen, process, position, panel, id, colour, width);
    for (const id of familiar) if (2 * id < x.length) path(id, palette.line, 1);
    for (const id of this.followed[process]) {
      if (2 * id >= x.length) continue;
      path(id, palette.followed, 2);
      this.spot(pen, x[2 * id], x[2 * id + 1], palette);
    }
  }

  pixel(x, y) {
    const { left, top, side, unit } = this.place;
    return [left + side / 2 + x * unit, top + side / 2 - y * unit];
  }

  dots(pen, x, colour, size) {
    const radius = size * Math.max(0.5, Math.min(1, this.place.side / LARGE));
    for (let i = 0; i < x.length / 2; i++) {
      pen.fillStyle = colour(i);
      pen.beginPath();
      pen.arc(...this.pixel(x[2 * i], x[2 * i + 1]), radius, 0, 7);
      pen.fill();
    }
  }

  // Draws the path of a particle so far, at the scale of each position.
  path(pen, process, position, panel, id, colour, width) {
    Object.assign(pen, { strokeStyle: colour, lineWidth: width });
    pen.beginPath();
    const now = this.schedule.zoom(this.frame(process, position, panel).t);
    for (let k = 0; k <= position; k++) {
      const [x, y, t] = this.particle(process, k, panel, id);
      const share = now / this.schedule.zoom(t);
      pen.lineTo(...this.pixel(x * share, y * share));
    }
    pen.stroke();
  }

  particle(process, position, panel, id) {
    if (process === "reverse") {
      const { t, x } = this.frame(process, position, panel);
      return [x[2 * id], x[2 * id + 1], t];
    }
    const [alpha, sigma] = this.schedule.at(position - 1);
    const at = (k) => alpha * this.data[2 * id + k] + sigma * this.eps[2 * id + k];
    return [at(0), at(1), position - 1];
  }

  spot(pen, x, y, palette) {
    Object.assign(pen, { fillStyle: palette.followed, strokeStyle: palette.paper, lineWidth: 1.5 });
    pen.beginPath();
    pen.arc(...this.pixel(x, y), 6, 0, 7);
    pen.fill();
    pen.stroke();
  }

  cross(pen, palette) {
    const [x, y] = this.pixel(...this.cursor);
    Object.assign(pen, { strokeStyle: palette.arrow, lineWidth: 2 });
    pen.strokeRect(x - 6, y - 6, 12, 12);
  }

  // -------------------------------------------------------------------------------- the pointer

  // The panel at (left, top) pixels and the place in it, {panel, x, y}.
  find(left, top) {
    const panel = this.places.findIndex((place) => left < place.left + place.side);
    const place = this.places[panel];
    const inside = place && left >= place.left && top >= place.top && top < place.top + place.side;
    if (!inside) return null;
    const x = (left - place.left - place.side / 2) / place.unit;
    return { panel, x, y: (place.top + place.side / 2 - top) / place.unit };
  }

  // Handles a press of the pointer; returns whether it begins a drag.
  press(process, position, left, top) {
    const found = this.find(left, top);
    if (!found) return false;
    if (this.own) this.spray(found.x, found.y);
    else this.click(process, position, found);
    return this.own;
  }

  drag(process, left, top) {
    const found = this.find(left, top);
    if (found) this.spray(found.x, found.y);
  }

  // Follow the point there, or drop noise.
  click(process, position, { panel, x, y }) {
    const { t, x: shown } = this.frame(process, position, panel) ?? {};
    if (!shown?.length) return;
    const id = nearest(shown, x, y);
    const away = this.places[panel].unit * Math.hypot(shown[2 * id] - x, shown[2 * id + 1] - y);
    if (away <= NEAR) {
      const chosen = this.followed[process];
      if (!chosen.delete(id)) chosen.add(id);
    } else if (process === "reverse") {
      const zoom = this.schedule.zoom(t);
      return this.drop([x / zoom, y / zoom]);
    }
    this.changed();
  }

  // While the user draws: arrow keys move a cursor, and Enter draws there.
  key(process, key) {
    const by = DIRECTIONS[key];
    if (!this.own || (!by && key !== "Enter")) return false;
    const at = this.cursor ?? [0, 0];
    const inside = (value) => Math.max(-this.reach, Math.min(this.reach, value));
    if (by) this.cursor = at.map((value, k) => inside(value + 0.1 * by[k]));
    else this.spray(...at);
    this.changed();
    return true;
  }
}

// The index of the point of `points` that is nearest to (x, y).
function nearest(points, x, y) {
  let [best, closest] = [0, Infinity];
  for (let i = 0; i < points.length; i += 2) {
    const away = (points[i] - x) ** 2 + (points[i + 1] - y) ** 2;
    if (away < closest) [best, closest] = [i / 2, away];
  }
  return best;
}
