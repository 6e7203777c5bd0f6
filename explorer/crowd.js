// Samples of points from one sampler: its frames {t, x, x0}, one for each step so far. A particle has
// a number, and the same number has the same noise with every sampler.

const CROWD = 400; // number of samples
const SLICE = 25; // milliseconds of sampling before the page may draw or stop it

class Crowd {
  // view has the schedule, the denoiser, and the settings shared by all crowds.
  constructor(view, settings) {
    Object.assign(this, { view, settings, frames: [], ends: null });
  }

  timesteps() {
    return timestepsOf(this.settings.sampler, this.view.schedule, this.settings.steps);
  }

  // Generates the frames of these particles.
  run(ids) {
    const { sampler, eta } = this.settings;
    const { schedule } = this.view;
    let drawn = 0;
    const noise = () => normals(this.view.settings.seed, drawn++, ids);
    const timesteps = this.timesteps();
    const x = this.view.startingNoise(ids, timesteps[0]);
    return runSampler(sampler, this.view.denoiser(ids), x, schedule, timesteps, eta, noise);
  }

  empty() {
    Object.assign(this, { frames: [], ends: null });
  }

  // Sample again, without blocking the page.
  async sample() {
    const [frames, begun] = [[], performance.now()];
    Object.assign(this, { frames, ends: null });
    let since = performance.now();
    for (const frame of this.run(range(CROWD + this.view.dropped.length))) {
      frames.push(frame);
      if (performance.now() - since < SLICE) continue;
      this.view.changed();
      await new Promise((resume) => setTimeout(resume));
      if (this.frames !== frames) return; // the settings have changed
      since = performance.now();
    }
    this.seconds = (performance.now() - begun) / 1000;
    this.finish();
  }

  // Add one more particle after the others.
  add(id) {
    if (!this.ends) return this.sample();
    let k = 0;
    for (const { x, x0 } of this.run([id])) {
      const frame = this.frames[k++];
      frame.x = Float64Array.of(...frame.x, ...x);
      frame.x0 = Float64Array.of(...frame.x0, ...x0);
    }
    this.finish();
  }

  finish() {
    this.ends = this.view.nearestLabels(this.frames.at(-1).x);
    this.view.changed();
  }

  // The state at a share 0 ... 1 of the steps, or the newest one so far.
  frame(share) {
    return this.frames[Math.min(this.step(share), this.frames.length - 1)];
  }

  step(share) {
    return Math.round(share * this.settings.steps);
  }

  // The sampler's name and its progress at a share of the steps, [in full, in short].
  titles(share) {
    const { sampler, steps, eta } = this.settings;
    const [all, each] = [evaluations(sampler, steps), sampler === "heun" ? 2 : 1];
    const noisy = eta > 0 && TAKES_ETA.includes(sampler) ? `, η ${eta}` : "";
    const made = Math.min(each * this.step(share), all);
    const name = `${SAMPLER_NAMES[sampler]}${noisy}`;
    return [`${name}: ${made} of ${all} evaluations`, `${name}: ${made}/${all}`];
  }
}
