// The U-Net of models/unet.py, with the same names of weights: (x, t, s, labels) -> its output, for
// images one after another, each ordered by channel, as in PyTorch.

const EMBEDDING_SIZE = 256;
const HEAD_CHANNELS = 32;

function makeUNet({ shape: [channels, height, width], levels, weights }) {
  const layer = (name) => [weights[`${name}.weight`], weights[`${name}.bias`]];
  const dense = (x, name) => linear(x, ...layer(name));
  const conv1 = (h, name) => ({ ...h, data: dense(h.data, name) });
  const conv3 = (h, name) => ({ ...h, data: dense(patches(h), name) });
  const norm = (h, name) => groupNorm(h, ...layer(name));
  const active = (h) => ({ ...h, data: h.data.map(silu) });
  const add = (a, b) => ({ ...a, data: plus(a.data, b.data) });

  function embed(t, s, label) {
    const time = dense(sinusoidal(t, EMBEDDING_SIZE), "time_mlp.0").map(silu);
    let embedding = dense(time, "time_mlp.2").map(silu);
    if (s !== undefined) embedding = plus(embedding, embedJump(weights, t, s));
    const classes = weights["label_embedding.weight"];
    if (!classes) return embedding;
    return plus(embedding, rowOf(classes, label ?? classes.shape[0] - 1)); // the last means no class
  }

  function block(x, name, embedding) {
    const h = norm(conv3(active(norm(x, `${name}.norm1`)), `${name}.conv1`), `${name}.norm2`);
    const scaleShift = dense(embedding, `${name}.scale_shift`);
    const width = scaleShift.length / 2;
    for (let i = 0; i < h.data.length; i++) {
      const c = i % width;
      h.data[i] = h.data[i] * (1 + scaleShift[c]) + scaleShift[width + c];
    }
    return add(x, conv1(active(h), `${name}.conv2`));
  }

  function attention(x) {
    if (!weights["attention.qkv.weight"]) return x;
    const positions = x.height * x.width;
    const channels = x.data.length / positions;
    let heads = Math.max(1, Math.floor(channels / HEAD_CHANNELS));
    while (channels % heads) heads--;
    const { data } = conv1(norm(x, "attention.norm"), "attention.qkv");
    return add(x, conv1({ ...x, data: attend(data, positions, heads) }, "attention.out"));
  }

  function one(x, t, s, label) {
    const embedding = embed(t, s, label);
    const through = (h, name) => block(h, name, embedding);
    const middle = (h) => through(attention(through(h, "middle1")), "middle2");
    const fine = through(conv3(fold(readImage(x)), "stem"), "down1");
    const coarse = through(conv1(fold(fine), "downsample"), "down2");
    let h;
    if (levels === 2) h = middle(coarse);
    else {
      const deep = through(conv1(fold(coarse), "downsample2"), "down3");
      h = through(add(middle(deep), deep), "up3");
      h = unfold(conv1(h, "upsample2"));
    }
    h = through(add(h, coarse), "up2");
    h = through(add(unfold(conv1(h, "upsample")), fine), "up1");
    return writeImage(unfold(conv3(active(norm(h, "norm")), "head")));
  }

  // An image as a feature map, padded by repeating its last row and column.
  function readImage(x) {
    const multiple = 2 ** levels;
    const [tall, wide] = [height, width].map((side) => Math.ceil(side / multiple) * multiple);
    const data = new Float32Array(tall * wide * channels);
    for (let v = 0, at = 0; v < tall; v++) {
      for (let u = 0; u < wide; u++) {
        const from = Math.min(v, height - 1) * width + Math.min(u, width - 1);
        for (let c = 0; c < channels; c++) data[at++] = x[c * height * width + from];
      }
    }
    return { data, height: tall, width: wide };
  }

  function writeImage({ data, width: wide }) {
    const found = new Float32Array(channels * height * width);
    for (let v = 0; v < height; v++) {
      for (let u = 0; u < width; u++) {
        for (let c = 0; c < channels; c++) {
          found[(c * height + v) * width + u] = data[(v * wide + u) * channels + c];
        }
      }
    }
    return found;
  }

  return imageByImage(one, channels * height * width);
}
