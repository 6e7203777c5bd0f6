// Arrows, the field and the density of x_t, drawn over or behind particles. The view has the schedule
// and the denoiser, and maps points to the canvas.

const ARROWS = 150;
const FIELD_SIDE = 21;
const CELLS = 72; // cells of the density along each side
const NARROWEST = 0.05; // the smallest standard deviation drawn, for data without noise

function drawArrow(pen, from, to) {
  const [[ax, ay], [bx, by]] = [from, to];
  const length = Math.hypot(bx - ax, by - ay);
  if (length < 1) return;
  const angle = Math.atan2(by - ay, bx - ax);
  const head = Math.min(6, length / 2);
  pen.beginPath();
  pen.moveTo(ax, ay);
  pen.lineTo(bx, by);
  for (const side of [-0.45, 0.45]) {
    pen.moveTo(bx, by);
    pen.lineTo(bx - head * Math.cos(angle + side), by - head * Math.sin(angle + side));
  }
  pen.stroke();
}

// Draws arrows from particles to the estimates of the clean points.
function drawArrows(pen, view, t, x, x0, palette) {
  const feet = x.slice(0, 2 * ARROWS);
  const tips = x0 ?? view.denoiser(range(feet.length / 2))(feet, t).x0;
  Object.assign(pen, { strokeStyle: palette.arrow, lineWidth: 1 });
  for (let i = 0; i < feet.length; i += 2) {
    drawArrow(pen, view.pixel(feet[i], feet[i + 1]), view.pixel(tips[i], tips[i + 1]));
  }
}

// Draws arrows on a grid, shortened if they would overlap their neighbours.
function drawField(pen, view, t, palette) {
  const reach = view.reach * view.schedule.zoom(t);
  const gap = (2 * reach) / FIELD_SIDE;
  const cells = range(FIELD_SIDE ** 2);
  const tick = (k) => (k + 0.5) * gap - reach;
  const at = Float64Array.from(
    cells.flatMap((k) => [tick(k % FIELD_SIDE), tick(Math.floor(k / FIELD_SIDE))]),
  );
  const { x0 } = view.denoiser(cells)(at, t);
  Object.assign(pen, { strokeStyle: palette.line, lineWidth: 1 });
  for (let i = 0; i < at.length; i += 2) {
    const [dx, dy] = [x0[i] - at[i], x0[i + 1] - at[i + 1]];
    const shrink = Math.min(1, (0.9 * gap) / Math.hypot(dx, dy));
    const tip = view.pixel(at[i] + shrink * dx, at[i + 1] + shrink * dy);
    drawArrow(pen, view.pixel(at[i], at[i + 1]), tip);
  }
}

// The density of the noisy data, a mixture of normal distributions around all points, up to a factor:
// its values on the cells of the picture, row by row from the top.
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
  return found;
}

// Draws the density in shades of one colour, strongest at the maximum.
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
