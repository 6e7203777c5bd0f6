// The MLP of models/mlp.py, with the same names of weights: (x, t, s, labels) -> its output, for
// points or images, one after another, as in PyTorch.

function fourierFeatures(x, { data, shape: [inputs, count] }) {
  const rows = x.length / inputs;
  const width = inputs + 2 * count;
  const found = new Float32Array(rows * width);
  for (let row = 0; row < rows; row++) {
    const at = row * width;
    found.set(x.subarray(row * inputs, (row + 1) * inputs), at);
    for (let k = 0; k < count; k++) {
      let turns = 0;
      for (let i = 0; i < inputs; i++) turns += x[row * inputs + i] * data[i * count + k];
      found[at + inputs + k] = Math.cos(2 * Math.PI * turns);
      found[at + inputs + count + k] = Math.sin(2 * Math.PI * turns);
    }
  }
  return found;
}

function makeMlp({ widths, time, weights }) {
  const classes = weights["label_embedding.weight"];
  const layer = (name) => [weights[`${name}.weight`], weights[`${name}.bias`]];

  // A hidden layer. It depends on t, the same for all rows, and on the class of each row, if any.
  function block(h, k, embedding, offset, labels) {
    const name = `blocks.${k}.linear`;
    const [outputs, inputs] = weights[`${name}.weight`].shape;
    const found = linear(h, ...layer(name));
    for (let row = 0, at = 0; row < found.length / outputs; row++) {
      const label = labels ? labels[row] : classes?.shape[0] - 1;
      const from = classes ? label * classes.shape[1] + offset : 0;
      for (let j = 0; j < outputs; j++, at++) {
        const extra = embedding[offset + j] + (classes ? classes.data[from + j] : 0);
        found[at] = silu(found[at] + extra) + (inputs === outputs ? h[at] : 0);
      }
    }
    return found;
  }

  return (x, t, s, labels) => {
    const frequencies = weights["features.frequencies"];
    const table = weights["time.table.weight"];
    let h = frequencies ? fourierFeatures(x, frequencies) : x;
    h = linear(h, ...layer("stem")).map(silu);
    let embedding = linear(embedTime(time, table, t), weights["time_weights.weight"]);
    if (s !== undefined) embedding = plus(embedding, embedJump(weights, t, s));
    let offset = 0;
    widths.forEach((width, k) => {
      h = block(h, k, embedding, offset, labels);
      offset += width;
    });
    return linear(h, ...layer("head"));
  };
}

// The network that Python embedded in the page.
function readNetwork(network) {
  const weights = readWeights(network.weights, network.half);
  if (network.kind === "unet") return makeUNet({ ...network, weights });
  if (network.kind === "dit") return makeDiT({ ...network, weights });
  const time = { ...network.time, levels: doubles(network.time.levels) };
  return makeMlp({ ...network, time, weights });
}
