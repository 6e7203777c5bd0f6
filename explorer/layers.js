// The layers of PyTorch that the networks need. Arrays are Float32Array, row by row. The rows of a
// feature map {data, height, width} are its positions, and each row has the channels of a position.

const silu = (z) => z / (1 + Math.exp(-z));

// x W^T + b for each row of x. It computes two rows and four outputs at a time: their eight sums stay
// in registers, and each number that is read is used several times. This takes nine tenths of the
// time of a network, so it is written in the way that is fastest in both browsers (4 GFLOP/s).
function linear(x, { data, shape: [outputs, inputs] }, bias) {
  const rows = x.length / inputs;
  const found = new Float32Array(rows * outputs);
  const [twos, fours] = [rows - (rows % 2), outputs - (outputs % 4)];
  const output = (j) => data.subarray(j * inputs, (j + 1) * inputs);
  for (let j = 0; j < fours; j += 4) {
    const [w0, w1, w2, w3] = [output(j), output(j + 1), output(j + 2), output(j + 3)];
    for (let i = 0; i < twos; i += 2) {
      const first = i * inputs;
      const second = first + inputs;
      let a0 = 0;
      let a1 = 0;
      let a2 = 0;
      let a3 = 0;
      let b0 = 0;
      let b1 = 0;
      let b2 = 0;
      let b3 = 0;
      for (let k = 0; k < inputs; k++) {
        const a = x[first + k];
        const b = x[second + k];
        a0 += a * w0[k];
        a1 += a * w1[k];
        a2 += a * w2[k];
        a3 += a * w3[k];
        b0 += b * w0[k];
        b1 += b * w1[k];
        b2 += b * w2[k];
        b3 += b * w3[k];
      }
      const at = i * outputs + j;
      found[at] = a0;
      found[at + 1] = a1;
      found[at + 2] = a2;
      found[at + 3] = a3;
      found[at + outputs] = b0;
      found[at + outputs + 1] = b1;
      found[at + outputs + 2] = b2;
      found[at + outputs + 3] = b3;
    }
  }
  for (let i = 0; i < rows; i++) {
    for (let j = i < twos ? fours : 0; j < outputs; j++) {
      let sum = 0;
      for (let k = 0; k < inputs; k++) sum += x[i * inputs + k] * data[j * inputs + k];
      found[i * outputs + j] = sum;
    }
  }
  if (!bias) return found;
  for (let at = 0; at < found.length; at += outputs) {
    for (let j = 0; j < outputs; j++) found[at + j] += bias.data[j];
  }
  return found;
}

// For each position, the 3x3 positions around it, side by side, with zeros beyond the edge: a
// convolution is `linear` applied to these.
function patches({ data, height, width }) {
  const channels = data.length / (height * width);
  const found = new Float32Array(9 * data.length);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let v = y - 1; v <= y + 1; v++) {
        for (let u = x - 1; u <= x + 1; u++, at += channels) {
          if (v < 0 || v >= height || u < 0 || u >= width) continue;
          const from = (v * width + u) * channels;
          found.set(data.subarray(from, from + channels), at);
        }
      }
    }
  }
  return found;
}

// Groups of 16 channels, or one group if 16 does not divide the channels (models/unet.py).
function groupNorm({ data, height, width }, scale, shift) {
  const channels = data.length / (height * width);
  const size = channels % 16 === 0 ? 16 : channels;
  const found = new Float32Array(data.length);
  for (let first = 0; first < channels; first += size) {
    let [sum, squares] = [0, 0];
    for (let at = first; at < data.length; at += channels) {
      for (let c = at; c < at + size; c++) {
        sum += data[c];
        squares += data[c] * data[c];
      }
    }
    const count = size * height * width;
    const mean = sum / count;
    const over = 1 / Math.sqrt(squares / count - mean * mean + 1e-5);
    for (let at = 0; at < data.length; at += channels) {
      for (let c = first; c < first + size; c++) {
        found[at + c] = (data[at + c] - mean) * over * scale.data[c] + shift.data[c];
      }
    }
  }
  return { data: found, height, width };
}

// Attention, from rows of queries, keys and values side by side.
function attend(qkv, positions, heads) {
  const channels = qkv.length / (3 * positions);
  const size = channels / heads;
  const found = new Float32Array(positions * channels);
  const weights = new Float64Array(positions);
  for (let head = 0; head < heads; head++) {
    for (let i = 0; i < positions; i++) {
      const q = 3 * channels * i + size * head;
      let total = 0;
      let largest = -Infinity;
      for (let j = 0; j < positions; j++) {
        const k = 3 * channels * j + channels + size * head;
        let product = 0;
        for (let c = 0; c < size; c++) product += qkv[q + c] * qkv[k + c];
        weights[j] = product / Math.sqrt(size);
        largest = Math.max(largest, weights[j]);
      }
      for (let j = 0; j < positions; j++) total += weights[j] = Math.exp(weights[j] - largest);
      for (let j = 0; j < positions; j++) {
        const v = 3 * channels * j + 2 * channels + size * head;
        const share = weights[j] / total;
        for (let c = 0; c < size; c++) found[channels * i + size * head + c] += share * qkv[v + c];
      }
    }
  }
  return found;
}

// Folds 2x2 positions into the channels of one.
function fold({ data, height, width }) {
  const channels = data.length / (height * width);
  const found = new Float32Array(data.length);
  eachOfFour(height / 2, width / 2, channels, (folded, open) => {
    found.set(data.subarray(open, open + channels), folded);
  });
  return { data: found, height: height / 2, width: width / 2 };
}

// The inverse of `fold`.
function unfold({ data, height, width }) {
  const channels = data.length / (4 * height * width);
  const found = new Float32Array(data.length);
  eachOfFour(height, width, channels, (folded, open) => {
    found.set(data.subarray(folded, folded + channels), open);
  });
  return { data: found, height: 2 * height, width: 2 * width };
}

// The indices of the channels of each position in a folded and in an unfolded map.
function eachOfFour(height, width, channels, visit) {
  for (let y = 0, folded = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (const [dy, dx] of [[0, 0], [0, 1], [1, 0], [1, 1]]) {
        visit(folded, ((2 * y + dy) * 2 * width + 2 * x + dx) * channels);
        folded += channels;
      }
    }
  }
}

// --------------------------------------------------- embeddings of the time (models/embeddings.py)

// The network was trained with 32-bit angles, so these are rounded to 32 bits too.
function sinusoidal(t, size) {
  const [half, found] = [size / 2, new Float32Array(size)];
  for (let i = 0; i < half; i++) {
    const exponent = Math.fround(-Math.log(10000) * Math.fround(i / half));
    const angle = Math.fround(t * Math.fround(Math.exp(exponent)));
    found[i] = Math.cos(angle);
    found[half + i] = Math.sin(angle);
  }
  return found;
}

function embedTime({ kind, size, levels }, table, t) {
  if (kind === "linear") return Float32Array.of(t / levels.length);
  if (kind === "log_sigma") return Float32Array.of(Math.sin(levels[t]), Math.cos(levels[t]));
  if (kind === "learned") return table.data.slice(t * size, (t + 1) * size);
  return sinusoidal(t, size);
}

const JUMP_SIZE = 64;

// The embedding of a jump from t to s, to be added to that of t; zero without a jump.
function embedJump(weights, t, s) {
  const of = (k, x) => {
    const name = `jump_embedding.layers.${k}`;
    return linear(x, weights[`${name}.weight`], weights[`${name}.bias`]);
  };
  const found = of(2, of(0, sinusoidal(t - s, JUMP_SIZE)).map(silu));
  return t > s ? found : found.fill(0);
}

const rowOf = ({ data, shape: [, size] }, k) => data.subarray(k * size, (k + 1) * size);

// A network for many images, from one for a single image of that size.
function imageByImage(one, size) {
  return (x, t, s, labels) => {
    const found = new Float32Array(x.length);
    for (let i = 0; i < x.length / size; i++) {
      found.set(one(x.subarray(i * size, (i + 1) * size), t, s, labels?.[i]), i * size);
    }
    return found;
  };
}

const plus = (a, b) => a.map((value, i) => value + b[i]);

// ------------------------------------------------------------------- reading what Python embedded

function bytes(text) {
  const characters = atob(text);
  const found = new Uint8Array(characters.length);
  for (let i = 0; i < found.length; i++) found[i] = characters.charCodeAt(i);
  return found;
}
const floats = (text) => new Float32Array(bytes(text).buffer);
const doubles = (text) => new Float64Array(bytes(text).buffer);

// Numbers in half precision: a sign bit, five bits of the exponent, ten of the fraction.
function halves(text) {
  const numbers = new Uint16Array(bytes(text).buffer);
  const found = new Float32Array(numbers.length);
  for (let i = 0; i < found.length; i++) found[i] = half(numbers[i]);
  return found;
}

function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

// Weights by name, as {data, shape}. Those of a convolution are reordered for `linear` on patches: for
// each output, position by position, the channels.
function readWeights(weights, half) {
  const read = half ? halves : floats;
  const entries = Object.entries(weights).map(([name, { shape, data: text }]) => {
    const data = read(text);
    return [name, shape.length === 4 ? forPatches(data, shape) : { data, shape }];
  });
  return Object.fromEntries(entries);
}

function forPatches(data, [outputs, channels, height, width]) {
  const [area, found] = [height * width, new Float32Array(data.length)];
  for (let j = 0, from = 0; j < outputs; j++) {
    for (let c = 0; c < channels; c++) {
      for (let p = 0; p < area; p++) found[(j * area + p) * channels + c] = data[from++];
    }
  }
  return { data: found, shape: [outputs, area * channels] };
}
