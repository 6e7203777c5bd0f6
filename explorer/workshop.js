// The worker's jobs, one at a time: a newer one stops the one before. A run is what is known of a
// job so far: its frames {t, x, x0}, in pixels, and how many evaluations it took and will take.

class Workshop {
  constructor(page, changed) {
    const source = ["mathematics", "worker"].map((id) => $(id).textContent);
    const file = URL.createObjectURL(new Blob(source, { type: "text/javascript" }));
    Object.assign(this, { worker: new Worker(file), changed, run: null, jobs: 0 });
    this.worker.onmessage = ({ data }) => this.hear(data);
    this.worker.postMessage({ page });
  }

  start(job, total) {
    const id = ++this.jobs;
    const facts = { evaluations: 0, total, done: false, stopped: false, since: performance.now() };
    this.run = { id, frames: [], timesteps: job.timesteps, ...facts };
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

  hear({ id, frame, evaluations, done }) {
    const { run } = this;
    if (id !== run.id || run.stopped) return; // of a job that was overtaken
    if (evaluations) run.evaluations = evaluations;
    if (frame) run.frames.push(frame);
    if (done) Object.assign(run, { done, seconds: (performance.now() - run.since) / 1000 });
    this.changed();
  }
}
