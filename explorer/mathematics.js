// The reverse process, as in diffusion.py and samplers.py, for points: x is a Float64Array with
// two numbers a point. Names and formulas are theirs; the papers are cited there.

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

  // By how much a picture of x_t is made smaller, so that exploding noise stays in sight.
  zoom(t) {
    return Math.max(1, Math.hypot(...this.at(t)));
  }
}

function trailingTimesteps(timesteps, steps) {
  // Python rounds halves to even numbers, and so must we to visit the same timesteps.
  const even = (value) => (value % 1 === 0.5 ? 2 * Math.round(value / 2) : Math.round(value));
  return Array.from({ length: steps }, (_, i) => even(timesteps - (i * timesteps) / steps) - 1);
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

// (x, t, labels) -> {x0, eps} by a network's answer.
function denoiser(network, schedule, prediction, guidance) {
  return (x, t, labels) => {
    const [alpha, sigma] = schedule.at(t);
    const seen = weighted([1 / Math.hypot(alpha, sigma), x]);
    const output = guided(network, seen, t, labels, guidance);
    let x0 = output;
    if (prediction === "eps") x0 = weighted([1 / alpha, x], [-sigma / alpha, output]);
    if (prediction === "v") {
      const [a, b] = schedule.velocity.map((table) => table[t]);
      const scale = 1 / (a * alpha + b * sigma);
      x0 = weighted([a * scale, x], [-sigma * scale, output]);
    }
    return { x0, eps: weighted([1 / sigma, x], [-alpha / sigma, x0]) };
  };
}

// With a class and without, extrapolated towards the class (guidance.py).
function guided(network, x, t, labels, guidance) {
  if (!labels || guidance === 1) return network(x, t, labels);
  return weighted([guidance, network(x, t, labels)], [1 - guidance, network(x, t, null)]);
}

// The best denoiser for data that are exactly these points (exact_denoiser in samplers.py).
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

// Weights of x0, eps and fresh noise in one step from t to s (step_coefficients in samplers.py).
function stepCoefficients(schedule, t, s, eta) {
  const [alphaT, sigmaT] = schedule.at(t);
  const [alphaS, sigmaS] = schedule.at(s);
  const sigma2 = sigmaT ** 2 - ((alphaT / alphaS) * sigmaS) ** 2;
  const variance = (eta ** 2 * sigma2 * sigmaS ** 2) / sigmaT ** 2;
  return [alphaS, Math.sqrt(sigmaS ** 2 - variance), Math.sqrt(variance)];
}

// The samplers yield {t, x, x0}: the state before each step and the estimate made from it, and
// at the end the sample, which is its own estimate. `noise(k)` gives the fresh noise of step k.
function* ddim(denoise, x, schedule, timesteps, eta, noise) {
  for (let k = 0; k < timesteps.length; k++) {
    const [t, s] = [timesteps[k], timesteps[k + 1] ?? CLEAN];
    const { x0, eps } = denoise(x, t);
    yield { t, x, x0 };
    const [onX0, onEps, onNoise] = stepCoefficients(schedule, t, s, eta);
    const fresh = onNoise > 0 ? [[onNoise, noise(k)]] : [];
    x = weighted([onX0, x0], [onEps, eps], ...fresh);
  }
  yield { t: CLEAN, x, x0: x };
}

function* dpmpp(denoise, x, schedule, timesteps) {
  let [before, lastLength] = [null, Infinity];
  for (let k = 0; k < timesteps.length; k++) {
    const [t, s] = [timesteps[k], timesteps[k + 1] ?? CLEAN];
    const { x0 } = denoise(x, t);
    yield { t, x, x0 };
    const [[alphaT, sigmaT], [alphaS, sigmaS]] = [schedule.at(t), schedule.at(s)];
    let extrapolated = x0;
    if (s !== CLEAN) {
      const length = schedule.halfLogSnr(s) - schedule.halfLogSnr(t);
      const more = (0.5 * length) / lastLength;
      if (before) extrapolated = weighted([1 + more, x0], [-more, before]);
      lastLength = length;
    }
    before = x0;
    x = weighted([sigmaS / sigmaT, x], [alphaS - (alphaT * sigmaS) / sigmaT, extrapolated]);
  }
  yield { t: CLEAN, x, x0: x };
}

function runSampler(name, denoise, x, schedule, timesteps, eta, noise) {
  if (name === "dpmpp") return dpmpp(denoise, x, schedule, timesteps);
  return ddim(denoise, x, schedule, timesteps, name === "ddpm" ? 1 : eta, noise);
}

// Two normal numbers for each particle in `ids`, the same whenever asked for the same step: so a
// particle's path does not depend on which others there are.
function normals(seed, step, ids) {
  const found = new Float64Array(2 * ids.length);
  ids.forEach((id, i) => {
    const radius = Math.sqrt(-2 * Math.log(uniform(seed, step, id, 0)));
    const angle = 2 * Math.PI * uniform(seed, step, id, 1);
    found[2 * i] = radius * Math.cos(angle);
    found[2 * i + 1] = radius * Math.sin(angle);
  });
  return found;
}

// A number in (0, 1] for these integers: the finaliser of MurmurHash3 after each of them.
function uniform(...integers) {
  let hash = 0x9e3779b9;
  for (const integer of integers) {
    hash = Math.imul(hash ^ (integer + 0x7f4a7c15), 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    hash ^= hash >>> 16;
  }
  return ((hash >>> 0) + 1) / 2 ** 32;
}
