// The transformer of models/dit.py, with the same names of weights: (x, t, s, labels) -> its output,
// for images one after another, each ordered by channel, as in PyTorch.

const FREQUENCIES = 256;

const gelu = (z) => (z / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (z + 0.044715 * z ** 3)));

// Each row is normalised to mean 0 and variance 1, then scaled and shifted.
function modulatedNorm(x, shift, scale) {
  const [size, found] = [shift.length, new Float32Array(x.length)];
  for (let at = 0; at < x.length; at += size) {
    let [sum, squares] = [0, 0];
    for (let k = at; k < at + size; k++) {
      sum += x[k];
      squares += x[k] * x[k];
    }
    const mean = sum / size;
    const over = 1 / Math.sqrt(squares / size - mean * mean + 1e-6);
    for (let k = 0; k < size; k++) found[at + k] = (x[at + k] - mean) * over * (1 + scale[k]) + shift[k];
  }
  return found;
}

function makeDiT({ shape: [channels, height, width], heads, patch, weights }) {
  const dense = (x, name) => linear(x, weights[`${name}.weight`], weights[`${name}.bias`]);
  const across = width / patch;
  const positions = (height / patch) * across;

  function embed(t, s, label) {
    const time = dense(sinusoidal(t, FREQUENCIES), "time_mlp.0").map(silu);
    let embedding = dense(time, "time_mlp.2");
    if (s !== undefined) embedding = plus(embedding, embedJump(weights, t, s));
    const classes = weights["label_embedding.weight"];
    if (classes) embedding = plus(embedding, rowOf(classes, label ?? classes.shape[0] - 1));
    return embedding.map(silu);
  }

  // The scales, shifts and gates: `count` vectors.
  function modulation(embedding, name, count) {
    const all = dense(embedding, `${name}modulation`);
    const size = all.length / count;
    return range(count).map((k) => all.subarray(k * size, (k + 1) * size));
  }

  function gated(x, gate, branch) {
    return x.map((value, i) => value + gate[i % gate.length] * branch[i]);
  }

  function block(x, k, embedding) {
    const name = `blocks.${k}.`;
    const [shift, scale, gate, ...more] = modulation(embedding, name, 6);
    const qkv = dense(modulatedNorm(x, shift, scale), `${name}qkv`);
    x = gated(x, gate, dense(attend(qkv, positions, heads), `${name}out`));
    const hidden = dense(modulatedNorm(x, more[0], more[1]), `${name}mlp.0`).map(gelu);
    return gated(x, more[2], dense(hidden, `${name}mlp.2`));
  }

  // The indices in an image of the numbers of each patch, patch by patch.
  const places = range(positions).flatMap((n) => {
    const [top, left] = [Math.floor(n / across) * patch, (n % across) * patch];
    return range(channels * patch * patch).map((k) => {
      const [c, inside] = [Math.floor(k / patch ** 2), k % patch ** 2];
      const [dy, dx] = [Math.floor(inside / patch), inside % patch];
      return (c * height + top + dy) * width + left + dx;
    });
  });

  function one(x, t, s, label) {
    const embedding = embed(t, s, label);
    let h = dense(Float32Array.from(places, (at) => x[at]), "stem");
    h = plus(h, weights.positions.data);
    for (let k = 0; weights[`blocks.${k}.qkv.weight`]; k++) h = block(h, k, embedding);
    const answer = dense(modulatedNorm(h, ...modulation(embedding, "", 2)), "head");
    const found = new Float32Array(x.length);
    places.forEach((at, i) => (found[at] = answer[i]));
    return found;
  }

  return imageByImage(one, channels * height * width);
}
