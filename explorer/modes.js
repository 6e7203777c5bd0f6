// The display of images in each process: positions 0 ... length - 1 of the slider, and the panels to
// draw at each.

// Splits the concatenated pixels of images into one array per image.
const split = (pixels, size) =>
  range(pixels.length / size).map((i) => pixels.subarray(i * size, (i + 1) * size));

// The data with increasing noise.
class ForwardMode {
  constructor(view) {
    this.view = view;
    this.eps = imageNoise(0, -1, view.count, view.size);
    this.x0 = Float64Array.from(view.data, (value) => value / 127.5 - 1);
  }

  length() {
    return this.view.schedule.length + 1;
  }

  timestep(position) {
    return position - 1;
  }

  panels(position) {
    const { schedule, size } = this.view;
    const t = this.timestep(position);
    const [alpha, sigma] = schedule.at(t);
    const x = weighted([alpha, this.x0], [sigma, this.eps]);
    const images = split(toPixels(x, schedule.zoom(t)), size);
    const words = this.view.wordsOf(this.view.labels);
    return [{ title: "xₜ = αₜ x₀ + σₜ ε", images, words, left: 0, top: 0, row: 0, width: 1 }];
  }

  caption() {
    return "The data with increasing noise: each image keeps the same noise at every t.";
  }
}

// The result of sampling with the network; subclasses define how it begins and what is shown with it.
class RunMode {
  constructor(view) {
    this.view = view;
    this.run = null;
  }

  // A run that was stopped has only the states made so far.
  length() {
    if (!this.run) return 1;
    const { frames, timesteps, stopped } = this.run;
    return stopped ? Math.max(1, frames.length) : timesteps.length + 1;
  }

  timestep(position) {
    return this.run?.timesteps[position] ?? CLEAN;
  }

  // The state at a position, or the newest one so far.
  frame(position) {
    if (!this.run) return null;
    const { first, frames } = this.run;
    return frames[Math.min(position, frames.length - 1)] ?? first;
  }

  // Panels of x_t and the estimate of x_0; grey before there are any.
  states(position, count, places) {
    const frame = this.frame(position);
    const empty = new Uint8ClampedArray(count * this.view.size).fill(128);
    const titles = { x: "xₜ", x0: "estimate of x₀" };
    return Object.entries(places).map(([name, place]) => {
      const images = split(frame?.[name] ?? empty, this.view.size);
      return { title: titles[name], images, ...place };
    });
  }
}

class SampledMode extends RunMode {
  sample() {
    const { view } = this;
    const { sampler, steps, seed, count } = view.settings;
    const timesteps = timestepsOf(sampler, view.schedule, steps);
    this.run = view.start(view.startingNoise(seed, count, timesteps[0]), timesteps);
  }

  panels(position) {
    const { count } = this.view.settings;
    const place = { top: 0, row: 0, width: 1 };
    const words = this.view.wordsOf(this.view.labelsOf(count));
    const places = { x: { left: 0, words, ...place }, x0: { left: 1, words, ...place } };
    return this.states(position, count, places);
  }

  caption() {
    const estimate = this.view.page.fewSteps
      ? "the image that this few-step network jumps to from there."
      : "the network's estimate of the final image: the mean of all images that it could become.";
    return `Left: the state on its way from noise. Right: ${estimate}`;
  }
}

// The sample from noise between two draws of noise; until it is ready, the previous one is shown.
class MorphMode extends RunMode {
  constructor(view) {
    super(view);
    Object.assign(this, { from: 1, to: 2, between: 0, next: null });
  }

  sample() {
    const { view, between } = this;
    const { sampler, steps } = view.settings;
    const timesteps = timestepsOf(sampler, view.schedule, steps);
    const ends = [this.from, this.to].map((seed) => view.startingNoise(seed, 1, timesteps[0]));
    this.next = view.start(slerp(...ends, between), timesteps);
  }

  panels() {
    if (this.next?.done || !this.run) this.run = this.next;
    const place = { top: 0, row: 0, width: 1 };
    const places = { x: { left: 0, ...place }, x0: { left: 1, ...place } };
    const [noise] = this.states(0, 1, places);
    const [, sample] = this.states(Infinity, 1, places);
    const words = this.view.wordsOf(this.view.labelsOf(1));
    return [
      { ...noise, title: "the noise" },
      { ...sample, title: "the sample from it", words },
    ];
  }

  length() {
    return 1;
  }

  timestep() {
    return CLEAN;
  }

  caption() {
    return "Drag from side to side: the noise changes from that of one seed to that of the other, and the sample changes with it.";
  }

  press(left) {
    this.drag(left);
    return true;
  }

  drag(left) {
    const width = this.view.unit * 2 + MARGIN;
    this.set(left / width);
  }

  key(key) {
    const [by] = DIRECTIONS[key] ?? [0];
    if (by) this.set(this.between + 0.02 * by);
    return by !== 0;
  }

  set(between) {
    this.between = Math.max(0, Math.min(1, Math.round(100 * between) / 100));
    this.sample();
    this.view.changed();
  }
}

// Spherical interpolation (Shoemake 1985), which keeps the length of the noise.
function slerp(a, b, share) {
  const dot = (x, y) => x.reduce((sum, value, i) => sum + value * y[i], 0);
  const angle = Math.acos(Math.min(1, dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b))));
  if (angle < 1e-6) return a.slice();
  const part = (x) => Math.sin(x * angle) / Math.sin(angle);
  return weighted([part(1 - share), a], [part(share), b]);
}
