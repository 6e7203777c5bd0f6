// The worker, which samples images so that the page never blocks. It receives {page} once and then
// jobs; it returns the pixels of each frame and the number of evaluations so far.

let [network, facts, latest] = [null, null, 0];

onmessage = ({ data }) => {
  if (data.page) {
    network = readNetwork(data.page.network);
    facts = { ...data.page, network: null, schedule: readSchedule(data.page.schedule) };
    return;
  }
  latest = data.id; // a message with only an id stops the previous job
  const failed = (error) => postMessage({ id: data.id, failed: String(error) });
  if (data.x) work(data).catch(failed);
};

async function work({ id, x, labels, guidance, sampler, timesteps, eta, seed, edit }) {
  const { schedule, images } = facts;
  const size = images.channels * images.height * images.width;
  const count = x.length / size;
  let [evaluations, drawn] = [0, 0];
  const told = (...asked) => {
    evaluations++;
    return network(...asked);
  };
  // Image by image, so that finished ones can be shown at once.
  const denoise = (x, t, s) => {
    const found = { x0: new Float64Array(x.length), eps: new Float64Array(x.length) };
    for (let i = 0; i < count; i++) {
      const one = denoiser(told, facts, labels && [labels[i]], guidance);
      const { x0, eps } = one(x.subarray(i * size, (i + 1) * size), t, s);
      found.x0.set(x0, i * size);
      found.eps.set(eps, i * size);
      postMessage({ id, evaluations, estimate: { i, x0: toPixels(x0, 1) } });
    }
    return found;
  };
  const noise = () => imageNoise(seed, drawn++, count, size);
  const states = edit
    ? repaint(denoise, x, schedule, timesteps, edit, noise)
    : runSampler(sampler, denoise, x, schedule, timesteps, eta, noise);
  for (const { t, x, x0 } of states) {
    postMessage({ id, frame: { t, x: toPixels(x, schedule.zoom(t)), x0: toPixels(x0, 1) } });
    await others();
    if (latest !== id) return;
  }
  postMessage({ id, done: true });
}

// Lets newer messages arrive. (Nested calls of setTimeout would wait at least 4 ms each.)
const { port1, port2 } = new MessageChannel();
const others = () =>
  new Promise((resume) => {
    port1.onmessage = resume;
    port2.postMessage(null);
  });
