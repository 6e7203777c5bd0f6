// The worker's jobs, one at a time: a newer one stops the previous one. A run is the result of a job
// so far: its frames {t, x, x0}, in pixels, and the number of evaluations done and in total. The first
// frame exists at once, and its estimates of x_0 arrive one by one.

const MOST_FRAMES = 250; // the most frames that are kept of a run

class Workshop {
  constructor(page, changed) {
    const source = ["mathematics", "worker"].map((id) => $(id).textContent);
    this.schedule = readSchedule(page.schedule);
    const file = URL.createObjectURL(new Blob(source, { type: "text/javascript" }));
    Object.assign(this, { worker: new Worker(file), changed, run: null, jobs: 0, broken: null });
    this.worker.onmessage = ({ data }) => this.hear(data);
    this.worker.onerror = ({ message }) => {
      this.broken = `The network cannot be run here: ${message}`;
      this.stop();
    };
    this.worker.postMessage({ page });
  }

  start(job, total) {
    const id = ++this.jobs;
    const facts = { evaluations: 0, total, done: false, stopped: false, since: performance.now() };
    const x = toPixels(job.x, this.schedule.zoom(job.timesteps[0]));
    const first = { x, x0: new Uint8ClampedArray(x.length).fill(128) };
    const apart = Math.ceil(job.timesteps.length / MOST_FRAMES);
    const timesteps = job.timesteps.filter((_, k) => k % apart === 0);
    this.run = { id, first, frames: [], timesteps, ...facts };
    this.worker.postMessage({ id, ...job });
    return this.run;
  }

  stop() {
    if (!this.busy()) return;
    this.worker.postMessage({ id: ++this.jobs });
    this.run.stopped = true;
    this.changed();
  }

  busy() {
    return this.run !== null && !this.run.done && !this.run.stopped;
  }

  hear({ id, frame, evaluations, estimate, done, failed }) {
    const { run } = this;
    if (id !== run.id || run.stopped) return; // from a job that is no longer current
    if (evaluations) run.evaluations = evaluations;
    if (estimate) run.first.x0.set(estimate.x0, estimate.i * estimate.x0.length);
    if (frame && [...run.timesteps, CLEAN].includes(frame.t)) run.frames.push(frame);
    if (failed) this.broken = `The network cannot be run here: ${failed}`;
    if (failed) run.stopped = true;
    if (done) Object.assign(run, { done, seconds: (performance.now() - run.since) / 1000 });
    this.changed();
  }
}
