// The density of x_t: that of the data with the noise of t, a normal distribution about each point.

const CELLS = 72; // along each side
const NARROWEST = 0.05; // the spread that is drawn where there is no noise

// Its values on the cells of the picture, row after row from the top.
function density(points, alpha, sigma, reach) {
  const [found, spread] = [new Float64Array(CELLS * CELLS), Math.max(sigma, NARROWEST)];
  const middles = range(CELLS).map((k) => ((2 * k + 1) / CELLS - 1) * reach);
  const along = (middle) => middles.map((at) => Math.exp(-(((at - middle) / spread) ** 2) / 2));
  for (let i = 0; i < points.length; i += 2) {
    const [across, down] = [along(alpha * points[i]), along(-alpha * points[i + 1])];
    for (let v = 0; v < CELLS; v++) {
      if (down[v] < 1e-6) continue;
      for (let u = 0; u < CELLS; u++) found[v * CELLS + u] += down[v] * across[u];
    }
  }
  const scale = 1 / ((points.length / 2) * 2 * Math.PI * spread ** 2);
  return found.map((value) => scale * value);
}

// As shades of one colour, the densest place in full.
function drawDensity(pen, view, t, palette) {
  const { schedule, data, reach, place } = view;
  if (!data.length) return;
  const values = density(data, ...schedule.at(t), reach * schedule.zoom(t));
  const most = values.reduce((a, b) => Math.max(a, b));
  const tile = Object.assign(document.createElement("canvas"), { width: CELLS, height: CELLS });
  const shades = tile.getContext("2d").createImageData(CELLS, CELLS);
  const colour = [1, 3, 5].map((at) => parseInt(palette.dense.slice(at, at + 2), 16));
  values.forEach((value, i) => shades.data.set([...colour, 230 * Math.sqrt(value / most)], 4 * i));
  tile.getContext("2d").putImageData(shades, 0, 0);
  pen.imageSmoothingEnabled = true;
  pen.drawImage(tile, place.left, place.top, place.side, place.side);
}
