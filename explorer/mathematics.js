// The reverse process, with the names and formulas of diffusion.py, guidance.py and samplers.py, which
// cite the papers. x is an array of numbers, one example after another.

const CLEAN = -1;

class NoiseSchedule {
  constructor(alphas, sigmas, velocity) {
    Object.assign(this, { alphas, sigmas, velocity, length: alphas.length });
  }

  at(t) {
    return t === CLEAN ? [1, 0] : [this.alphas[t], this.sigmas[t]];
  }

  halfLogSnr(t) {
    return Math.log(this.alphas[t] / this.sigmas[t]);
  }

  // sigma / alpha.
  noiseLevel(t) {
    return this.sigmas[t] / this.alphas[t];
  }

  // The standard deviation of x_t, for data of variance 1.
  spread(t) {
    return Math.hypot(...this.at(t));
  }

  // The factor by which a picture of x_t is scaled down, so that exploding noise stays visible.
  zoom(t) {
    return Math.max(1, this.spread(t));
  }
}

function readSchedule({ alphas, sigmas, velocity }) {
  return new NoiseSchedule(doubles(alphas), doubles(sigmas), velocity.map(doubles));
}

function trailingTimesteps(timesteps, steps) {
  // Round halves to even numbers like Python, to visit the same timesteps.
  const even = (value) => (value % 1 === 0.5 ? 2 * Math.round(value / 2) : Math.round(value));
  return Array.from({ length: steps }, (_, i) => even(timesteps - (i * timesteps) / steps) - 1);
}

// For `consistency`, timesteps are chosen by noise level: the first near 80, the others around 1.
const [MOST_NOISE, MIDDLE, REACH] = [80, 1, 4];

function firstOfLevels(schedule) {
  let first = schedule.length - 1;
  while (first > 0 && schedule.noiseLevel(first) > MOST_NOISE) first--;
  return first;
}

function levelledTimesteps(schedule, steps) {
  const found = [firstOfLevels(schedule)];
  for (let i = 1; i < steps; i++) {
    const level = Math.log(MIDDLE * REACH ** (1 - (2 * i) / steps));
    const away = (t) => Math.abs(Math.log(schedule.noiseLevel(t)) - level);
    let closest = 0;
    for (let t = 1; t < schedule.length; t++) if (away(t) < away(closest)) closest = t;
    found.push(Math.min(Math.max(closest, steps - 1 - i), found.at(-1) - 1));
  }
  return found;
}

// The largest number of steps of a sampler.
function mostSteps(sampler, schedule) {
  return sampler === "consistency" ? firstOfLevels(schedule) + 1 : schedule.length;
}

function timestepsOf(sampler, schedule, steps) {
  if (sampler === "consistency") return levelledTimesteps(schedule, steps);
  return trailingTimesteps(schedule.length, steps);
}

// a x + b y + ... for pairs (weight, array).
function weighted(...terms) {
  const sum = new Float64Array(terms[0][1].length);
  for (const [weight, values] of terms) {
    if (weight === 0) continue;
    for (let i = 0; i < sum.length; i++) sum[i] += weight * values[i];
  }
  return sum;
}

// A function (x, t, s) -> {x0, eps} from a network; s, the timestep to jump to, is for networks that
// learned jumps. Estimates of x_0 are clamped to `range`, if there is one.
function denoiser(network, { schedule, prediction, range }, labels, guidance) {
  return (x, t, s) => {
    const [alpha, sigma] = schedule.at(t);
    const seen = weighted([1 / Math.hypot(alpha, sigma), x]);
    const output = guided(network, seen, t, s, labels, guidance);
    let x0 = output;
    if (prediction === "eps") x0 = weighted([1 / alpha, x], [-sigma / alpha, output]);
    if (prediction === "v") {
      const [a, b] = schedule.velocity.map((table) => table[t]);
      const scale = 1 / (a * alpha + b * sigma);
      x0 = weighted([a * scale, x], [-sigma * scale, output]);
    }
    if (range) x0 = x0.map((value) => Math.min(range[1], Math.max(range[0], value)));
    return { x0, eps: weighted([1 / sigma, x], [-alpha / sigma, x0]) };
  };
}

// Predictions with a class and without, extrapolated towards the class (guidance.py).
function guided(network, x, t, s, labels, guidance) {
  if (!labels || guidance === 1) return network(x, t, s, labels);
  const [told, untold] = [labels, null].map((known) => network(x, t, s, known));
  return weighted([guidance, told], [1 - guidance, untold]);
}

// The optimal denoiser for data that are exactly these points (exact_denoiser in samplers.py).
function exactDenoiser(points, schedule) {
  return (x, t) => {
    const [alpha, sigma] = schedule.at(t);
    const x0 = new Float64Array(x.length);
    const logits = new Float64Array(points.length / 2);
    for (let i = 0; i < x.length; i += 2) {
      let largest = -Infinity;
      for (let k = 0; k < logits.length; k++) {
        const [dx, dy] = [x[i] - alpha * points[2 * k], x[i + 1] - alpha * points[2 * k + 1]];
        logits[k] = -(dx * dx + dy * dy) / (2 * sigma * sigma);
        largest = Math.max(largest, logits[k]);
      }
      let total = 0;
      for (let k = 0; k < logits.length; k++) {
        const weight = Math.exp(logits[k] - largest);
        total += weight;
        x0[i] += weight * points[2 * k];
        x0[i + 1] += weight * points[2 * k + 1];
      }
      x0[i] /= total;
      x0[i + 1] /= total;
    }
    return { x0, eps: weighted([1 / sigma, x], [-alpha / sigma, x0]) };
  };
}

// The forward step from s to the noisier t: its factor and the variance of the noise that it adds.
function transition(schedule, t, s) {
  const [[alphaT, sigmaT], [alphaS, sigmaS]] = [schedule.at(t), schedule.at(s)];
  return [alphaT / alphaS, sigmaT ** 2 - ((alphaT / alphaS) * sigmaS) ** 2];
}

// Weights of x0, eps and fresh noise in one step from t to s (step_coefficients in samplers.py).
function stepCoefficients(schedule, t, s, eta) {
  const [[, sigmaT], [alphaS, sigmaS]] = [schedule.at(t), schedule.at(s)];
  const [, sigma2] = transition(schedule, t, s);
  const variance = (eta ** 2 * sigma2 * sigmaS ** 2) / sigmaT ** 2;
  return [alphaS, Math.sqrt(sigmaS ** 2 - variance), Math.sqrt(variance)];
}

// The samplers yield {t, x, x0}: the state before each step with its estimate, and at the end the
// sample, which is its own estimate. Each call of noise() gives fresh noise.
function* ddim(denoise, x, schedule, timesteps, eta, noise) {
  for (const [t, s] of pairs(timesteps)) {
    const { x0, eps, estimate } = denoise(x, t);
    yield { t, x, x0: estimate ?? x0 };
    const [onX0, onEps, onNoise] = stepCoefficients(schedule, t, s, eta);
    x = weighted([onX0, x0], [onEps, eps]);
    if (onNoise > 0) x = weighted([1, x], [onNoise, noise()]);
  }
  yield { t: CLEAN, x, x0: x };
}

// Each timestep with the next one; after the last come the data.
const pairs = (timesteps) => timesteps.map((t, k) => [t, timesteps[k + 1] ?? CLEAN]);

function* heun(denoise, x, schedule, timesteps) {
  for (const [t, s] of pairs(timesteps)) {
    const { x0, eps } = denoise(x, t);
    yield { t, x, x0 };
    const [alphaS, sigmaS] = schedule.at(s);
    x = weighted([alphaS, x0], [sigmaS, eps]);
    if (s === CLEAN) continue;
    const look = weightOfSecondLook(schedule, t, s);
    x = weighted([1, x], [look, denoise(x, s).x0], [-look, x0]);
  }
  yield { t: CLEAN, x, x0: x };
}

function weightOfSecondLook(schedule, t, s) {
  const [[alphaT, sigmaT], [alphaS, sigmaS]] = [schedule.at(t), schedule.at(s)];
  const [angleT, angleS] = [Math.atan2(sigmaT, alphaT), Math.atan2(sigmaS, alphaS)];
  return (Math.hypot(alphaS, sigmaS) * Math.tan((angleT - angleS) / 2)) / Math.sin(angleS);
}

// DPM-Solver++ is ddim with this denoiser, which extrapolates x0 to the middle of each step.
function extrapolate(denoise, schedule, timesteps) {
  const following = new Map(pairs(timesteps));
  let before = null;
  return (x, t) => {
    const { x0, eps } = denoise(x, t);
    const [last, s] = [before, following.get(t)];
    before = { t, x0 };
    if (!last || s === CLEAN) return { x0, eps };
    const level = (time) => schedule.halfLogSnr(time);
    const more = (0.5 * (level(s) - level(t))) / (level(t) - level(last.t));
    const ahead = weighted([1 + more, x0], [-more, last.x0]);
    const [alpha, sigma] = schedule.at(t);
    return { x0: ahead, eps: weighted([1 / sigma, x], [-alpha / sigma, ahead]), estimate: x0 };
  };
}

function* consistency(denoise, x, schedule, timesteps, noise) {
  for (const [t, s] of pairs(timesteps)) {
    const { x0 } = denoise(x, t);
    yield { t, x, x0 };
    const [alpha, sigma] = schedule.at(s);
    x = s === CLEAN ? x0 : weighted([alpha, x0], [sigma, noise()]);
  }
  yield { t: CLEAN, x, x0: x };
}

const SHORTEST = 1 / 128; // networks learn no jumps shorter than this fraction of all timesteps

function shortcut(denoise, x, schedule, timesteps) {
  const following = new Map(pairs(timesteps));
  const jump = (x, t) => {
    const s = following.get(t);
    return denoise(x, t, t - s < SHORTEST * schedule.length ? t : s);
  };
  return ddim(jump, x, schedule, timesteps, 0);
}

function runSampler(name, denoise, x, schedule, timesteps, eta, noise) {
  if (name === "heun") return heun(denoise, x, schedule, timesteps);
  if (name === "consistency") return consistency(denoise, x, schedule, timesteps, noise);
  if (name === "shortcut") return shortcut(denoise, x, schedule, timesteps);
  if (name === "ddpm") return ddim(denoise, x, schedule, timesteps, 1, noise);
  const step = name === "dpmpp" ? extrapolate(denoise, schedule, timesteps) : denoise;
  return ddim(step, x, schedule, timesteps, eta, noise);
}

// The number of evaluations of the network in runSampler.
const evaluations = (sampler, steps) => (sampler === "heun" ? 2 * steps - 1 : steps);

// Fills a hole: ddpm that restores the `known` part at each step, and visits each timestep several
// times so that the hole fits its surroundings.
function* repaint(denoise, x, schedule, timesteps, { known, hole, visits }, noise) {
  for (const [t, s] of pairs(timesteps)) {
    const [alphaS, sigmaS] = schedule.at(s);
    const [onX0, onEps, onNoise] = stepCoefficients(schedule, t, s, 1);
    const [back, varianceBack] = transition(schedule, t, s);
    let before = x;
    for (let visit = 0; visit < (s === CLEAN ? 1 : visits); visit++) {
      if (visit > 0) before = weighted([back, x], [Math.sqrt(varianceBack), noise()]);
      const { x0, eps } = denoise(before, t);
      if (visit === 0) yield { t, x, x0 };
      const made = weighted([onX0, x0], [onEps, eps], [onNoise, noise()]);
      const kept = weighted([alphaS, known], [sigmaS, noise()]);
      x = made.map((value, i) => (hole[i] ? value : kept[i]));
    }
  }
  yield { t: CLEAN, x, x0: x };
}

// Two normal numbers for each of `ids`, always the same for the same draw, so that a particle does not
// depend on the others.
function normals(seed, draw, ids) {
  const found = new Float64Array(2 * ids.length);
  ids.forEach((id, i) => {
    const radius = Math.sqrt(-2 * Math.log(uniform(seed, draw, id, 0)));
    const angle = 2 * Math.PI * uniform(seed, draw, id, 1);
    found[2 * i] = radius * Math.cos(angle);
    found[2 * i + 1] = radius * Math.sin(angle);
  });
  return found;
}

// Normal noise for images, one after another; that of an image does not depend on their number.
function imageNoise(seed, draw, count, size) {
  const [found, pairs] = [new Float64Array(count * size), Math.ceil(size / 2)];
  for (let i = 0; i < count; i++) {
    const ids = range(pairs).map((k) => i * pairs + k);
    found.set(normals(seed, draw, ids).subarray(0, size), i * size);
  }
  return found;
}

// x as the pixels of a picture, scaled down by `zoom`.
const toPixels = (x, zoom) => Uint8ClampedArray.from(x, (value) => (value / zoom + 1) * 127.5);

// The labels of the examples with these numbers, or null: `label` is a label, "all" for each class in
// turn, or "none".
function labelsOf({ classes }, label, ids) {
  if (!classes?.length || label === "none") return null;
  return ids.map((id) => (label === "all" ? classes[id % classes.length] : Number(label)));
}

const range = (count) => Array.from({ length: count }, (_, i) => i);

// A pseudorandom number in (0, 1] from integers: the finaliser of MurmurHash3 after each of them.
function uniform(...integers) {
  let hash = 0x9e3779b9;
  for (const integer of integers) {
    hash = Math.imul(hash ^ (integer + 0x7f4a7c15), 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    hash ^= hash >>> 16;
  }
  return ((hash >>> 0) + 1) / 2 ** 32;
}
