// A drawing, and samples from it: SDEdit (Meng et al. 2022) and RePaint (Lugmayr et al. 2022), as in
// sampling/variation.py and samplers.repaint.

const PEN = 0.045; // radius of the pen, as a share of the image's side
const RUBBER = 0.1; // radius of the eraser, and of the tool for holes
const FEWEST_STEPS = 20; // for filling a hole
const VISITS = 4; // of each timestep

class EditMode extends RunMode {
  constructor(view) {
    super(view);
    const colour = view.background.map((value) => (value < 128 ? 255 : 0)); // for contrast
    Object.assign(this, { tool: "pen", colour, strength: 0.6, taken: 0 });
    Object.assign(this, { at: null, cursor: null });
    this.clear();
  }

  clear() {
    const { view } = this;
    const area = view.width * view.height;
    this.pixels = new Uint8ClampedArray(view.size);
    range(view.channels).forEach((c) => this.pixels.fill(view.background[c], c * area, (c + 1) * area));
    this.hole = new Uint8Array(area);
    view.workshop.stop();
    this.run = null;
  }

  // Continue with other pixels, or with the next image of the data.
  take(pixels) {
    const { view } = this;
    this.clear();
    this.pixels.set(pixels ?? split(view.data, view.size)[this.taken++ % view.count]);
    view.changed();
  }

  keep() {
    this.take(this.frame(Infinity).x);
  }

  finished() {
    return this.run?.done ?? false;
  }

  hasHole() {
    return this.hole.some(Boolean);
  }

  // ------------------------------------------------------------------------------------ sampling

  // Denoise from the noise level given by `strength`.
  vary() {
    const { schedule, settings } = this.view;
    const total = Math.max(1, Math.round(this.strength * schedule.length));
    const timesteps = trailingTimesteps(total, Math.min(settings.steps, total));
    const [alpha, sigma] = schedule.at(timesteps[0]);
    const noise = imageNoise(settings.seed, -1, 1, this.view.size);
    const x = weighted([alpha, this.x0()], [sigma, noise]);
    this.run = this.view.start(x, timesteps);
  }

  fill() {
    const { schedule, settings, channels } = this.view;
    const steps = Math.min(schedule.length, Math.max(FEWEST_STEPS, settings.steps));
    const hole = range(channels).flatMap(() => [...this.hole]);
    const timesteps = trailingTimesteps(schedule.length, steps);
    const x = this.view.startingNoise(settings.seed, 1, timesteps[0]);
    this.run = this.view.start(x, timesteps, { known: this.x0(), hole, visits: VISITS });
  }

  x0() {
    return Float64Array.from(this.pixels, (value) => value / 127.5 - 1);
  }

  // ------------------------------------------------------------------------------------- drawing

  // Apply the tool from one place to another, both as shares of the image's sides.
  stroke([u0, v0], [u1, v1]) {
    const { width, height, channels, background } = this.view;
    const radius = (this.tool === "pen" ? PEN : RUBBER) * Math.max(width, height);
    const [ax, ay, bx, by] = [u0 * width, v0 * height, u1 * width, v1 * height];
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const away = distanceToLine(x + 0.5, y + 0.5, ax, ay, bx, by);
        const covered = Math.max(0, Math.min(1, radius + 0.5 - away));
        if (this.tool === "hole" && covered > 0.5) this.hole[y * width + x] = 1;
        if (this.tool === "hole" || covered === 0) continue;
        for (let c = 0; c < channels; c++) {
          const at = (c * height + y) * width + x;
          const paint = (this.tool === "pen" ? this.colour : background)[c];
          this.pixels[at] += covered * (paint - this.pixels[at]);
        }
        if (this.tool === "eraser") this.hole[y * width + x] = 0;
      }
    }
    this.view.changed();
  }

  place(left, top) {
    const { panels, unit } = this.view;
    const [x, y, width, height] = this.view.where(panels[0], unit, 0);
    return [(left - x) / width, (top - y) / height];
  }

  press(left, top) {
    const at = this.place(left, top);
    if (at.some((share) => share < 0 || share > 1)) return false;
    this.cursor = null;
    this.at = at;
    this.stroke(at, at);
    return true;
  }

  drag(left, top) {
    const at = this.place(left, top);
    this.stroke(this.at, at);
    this.at = at;
  }

  // Arrow keys move a cursor over the drawing, and Enter uses the tool there.
  key(key) {
    const { width, height } = this.view;
    const by = DIRECTIONS[key];
    if (!by && key !== "Enter") return false;
    const [x, y] = this.cursor ?? [Math.floor(width / 2), Math.floor(height / 2)];
    const inside = (value, side) => Math.max(0, Math.min(side - 1, value));
    if (by) this.cursor = [inside(x + by[0], width), inside(y - by[1], height)];
    else this.stroke([(x + 0.5) / width, (y + 0.5) / height], [(x + 0.5) / width, (y + 0.5) / height]);
    this.view.changed();
    return true;
  }

  panels(position) {
    const over = (pen, place, palette) => this.marks(pen, place, palette);
    const drawing = { title: "your drawing", images: [this.pixels], over };
    const words = this.view.wordsOf(this.view.labelsOf(1));
    const places = {
      x: { left: 2, top: 0, row: 0, width: 1 },
      x0: { left: 2, top: this.view.tall, row: 1, width: 1, words },
    };
    const states = this.states(position, 1, places);
    return [{ ...drawing, left: 0, top: 0, row: 0, width: 2 }, ...states];
  }

  // Draws the hole and the cursor.
  marks(pen, [left, top, width], palette) {
    const edge = (k) => Math.round((k * width) / this.view.width);
    const square = (x, y) => [left + edge(x), top + edge(y), edge(x + 1) - edge(x), edge(y + 1) - edge(y)];
    Object.assign(pen, { fillStyle: palette.followed, strokeStyle: palette.arrow, lineWidth: 2 });
    pen.globalAlpha = 0.55;
    this.hole.forEach((open, i) => {
      if (!open) return;
      pen.fillRect(...square(i % this.view.width, Math.floor(i / this.view.width)));
    });
    pen.globalAlpha = 1;
    if (this.cursor) pen.strokeRect(...square(...this.cursor));
  }

  caption() {
    return "Draw in the large square. Then add noise and denoise it to make it real, or mark a hole and fill it.";
  }
}

// The distance of (x, y) from the line between two points.
function distanceToLine(x, y, ax, ay, bx, by) {
  const [dx, dy] = [bx - ax, by - ay];
  const along = ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy || 1);
  const share = Math.max(0, Math.min(1, along));
  return Math.hypot(x - ax - share * dx, y - ay - share * dy);
}
