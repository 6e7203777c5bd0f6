// The MLP of models/mlp.py, with the names of its weights: (x, t, labels) -> its answer.

const silu = (z) => z / (1 + Math.exp(-z));

// x W^T + b for `rows` rows, as torch.nn.functional.linear.
function linear(x, rows, { data, shape: [outputs, inputs] }, bias) {
  const found = new Float64Array(rows * outputs);
  for (let row = 0; row < rows; row++) {
    for (let j = 0; j < outputs; j++) {
      let sum = bias ? bias.data[j] : 0;
      const [at, of] = [row * inputs, j * inputs];
      for (let k = 0; k < inputs; k++) sum += x[at + k] * data[of + k];
      found[row * outputs + j] = sum;
    }
  }
  return found;
}

// models/embeddings.py. The network learned from 32-bit angles, so ours are rounded likewise.
function embedTime({ kind, size, levels }, weights, t) {
  if (kind === "linear") return Float64Array.of(t / levels.length);
  if (kind === "log_sigma") return Float64Array.of(Math.sin(levels[t]), Math.cos(levels[t]));
  if (kind === "learned") return weights["time.table.weight"].data.slice(t * size, (t + 1) * size);
  const [half, found] = [size / 2, new Float64Array(size)];
  for (let i = 0; i < half; i++) {
    const exponent = Math.fround(-Math.log(10000) * Math.fround(i / half));
    const angle = Math.fround(t * Math.fround(Math.exp(exponent)));
    found[i] = Math.cos(angle);
    found[half + i] = Math.sin(angle);
  }
  return found;
}

function fourierFeatures(x, rows, { data, shape: [, count] }) {
  const width = 2 + 2 * count;
  const found = new Float64Array(rows * width);
  for (let row = 0; row < rows; row++) {
    const [first, second, at] = [x[2 * row], x[2 * row + 1], row * width];
    found[at] = first;
    found[at + 1] = second;
    for (let k = 0; k < count; k++) {
      const angle = 2 * Math.PI * (first * data[k] + second * data[count + k]);
      found[at + 2 + k] = Math.cos(angle);
      found[at + 2 + count + k] = Math.sin(angle);
    }
  }
  return found;
}

// One hidden layer. It depends on the time, the same for all rows, and on the row's class, if any.
function block(h, rows, weights, k, time, embedding, labels, offset) {
  const weight = weights[`blocks.${k}.linear.weight`];
  const [outputs, inputs] = weight.shape;
  const found = linear(h, rows, weight, weights[`blocks.${k}.linear.bias`]);
  for (let row = 0; row < rows; row++) {
    const label = embedding ? (labels ? labels[row] : embedding.shape[0] - 1) : 0;
    const from = embedding ? label * embedding.shape[1] + offset : 0;
    for (let j = 0; j < outputs; j++) {
      const at = row * outputs + j;
      const extra = time[offset + j] + (embedding ? embedding.data[from + j] : 0);
      found[at] = silu(found[at] + extra) + (inputs === outputs ? h[at] : 0);
    }
  }
  return found;
}

function makeNetwork({ widths, time, weights }) {
  const embedding = weights["label_embedding.weight"];
  return (x, t, labels) => {
    const rows = x.length / 2;
    const frequencies = weights["features.frequencies"];
    const seen = frequencies ? fourierFeatures(x, rows, frequencies) : x;
    const shares = linear(embedTime(time, weights, t), 1, weights["time_weights.weight"]);
    let h = linear(seen, rows, weights["stem.weight"], weights["stem.bias"]).map(silu);
    let offset = 0;
    widths.forEach((width, k) => {
      h = block(h, rows, weights, k, shares, embedding, labels, offset);
      offset += width;
    });
    return linear(h, rows, weights["head.weight"], weights["head.bias"]);
  };
}
