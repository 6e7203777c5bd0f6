// The picture of images: a grid of them with noise, or of samples, x_t beside the estimate of x_0.

const SIDE = 28;
const PIXELS = SIDE * SIDE;
const HEADING = 0.08; // its height, as a share of the width

class ImagesView {
  constructor(page, schedule, changed) {
    this.schedule = schedule;
    this.changed = changed;
    const { count, pixels, reverse } = page.images;
    this.count = count;
    this.data = bytes(pixels);
    this.eps = normals(0, -1, range((count * PIXELS) / 2));
    this.reverse = reverse && {
      timesteps: [...reverse.timesteps, CLEAN],
      x: bytes(reverse.x),
      x0: bytes(reverse.x0),
    };
    this.chosen = 0;
    this.tile = document.createElement("canvas");
    this.tile.width = this.tile.height = SIDE;
  }

  length(process) {
    return process === "forward" ? this.schedule.length + 1 : this.reverse.timesteps.length;
  }

  timestep(process, position) {
    return process === "forward" ? position - 1 : this.reverse.timesteps[position];
  }

  caption(process) {
    const hint = " Point at an image to enlarge it.";
    if (process === "forward") return `The noise of an image is the same at every t.${hint}`;
    return `Left: xₜ, on its way from noise. Right: the network's estimate of x₀ from it.${hint}`;
  }

  panels(process) {
    return process === "forward" ? ["xₜ"] : ["xₜ", "estimate of x₀"];
  }

  columns() {
    return Math.ceil(Math.sqrt(this.count));
  }

  // Height over width.
  aspect(process) {
    const [columns, panels] = [this.columns(), this.panels(process).length];
    return Math.ceil(this.count / columns) / columns / panels + HEADING;
  }

  // Image number i at a position, as 784 grey values.
  pixels(process, position, panel, i) {
    if (process === "reverse") {
      const frames = panel === 0 ? this.reverse.x : this.reverse.x0;
      const at = (position * this.count + i) * PIXELS;
      return frames.subarray(at, at + PIXELS);
    }
    const t = this.timestep(process, position);
    const [[alpha, sigma], zoom] = [this.schedule.at(t), this.schedule.zoom(t)];
    const grey = new Uint8ClampedArray(PIXELS);
    for (let k = 0; k < PIXELS; k++) {
      const x0 = this.data[i * PIXELS + k] / 127.5 - 1;
      const x = (alpha * x0 + sigma * this.eps[i * PIXELS + k]) / zoom;
      grey[k] = (x + 1) * 127.5;
    }
    return grey;
  }

  drawImage(pen, grey, left, top, size) {
    const tile = this.tile.getContext("2d");
    const picture = tile.createImageData(SIDE, SIDE);
    grey.forEach((value, k) => picture.data.set([value, value, value, 255], 4 * k));
    tile.putImageData(picture, 0, 0);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(this.tile, left, top, size, size);
  }

  // Where image i of a panel is, in pixels: [left, top, size].
  where(size, process, panel, i) {
    const [columns, panels] = [this.columns(), this.panels(process).length];
    const gap = size / 60;
    const side = (size - gap * (panels - 1)) / panels / columns;
    const row = Math.floor(i / columns);
    const left = panel * (side * columns + gap) + (i % columns) * side;
    return [left, size * HEADING + row * side, side * 0.96];
  }

  draw(pen, size, process, position, palette) {
    this.panels(process).forEach((title, panel) => {
      const [left] = this.where(size, process, panel, 0);
      Object.assign(pen, { fillStyle: palette.text, font: "15px system-ui" });
      pen.fillText(title, left + 4, size * HEADING - 8);
      for (let i = 0; i < this.count; i++) {
        const place = this.where(size, process, panel, i);
        this.drawImage(pen, this.pixels(process, position, panel, i), ...place);
        if (i === this.chosen) this.frameOf(pen, palette, ...place);
      }
    });
    this.last = { size, process };
  }

  frameOf(pen, palette, left, top, size) {
    Object.assign(pen, { strokeStyle: palette.followed, lineWidth: 2 });
    pen.strokeRect(left, top, size, size);
  }

  // The chosen image, large; as wide as the picture, its height over width as `lensAspect`.
  drawLens(pen, size, process, position) {
    const panels = this.panels(process);
    const side = size / panels.length - 2;
    panels.forEach((_, panel) => {
      const grey = this.pixels(process, position, panel, this.chosen);
      this.drawImage(pen, grey, panel * (side + 4), 0, side);
    });
  }

  lensAspect(process) {
    return 1 / this.panels(process).length;
  }

  // The pointer is at (left, top) pixels: enlarge the image that is there.
  hover(left, top) {
    const { size, process } = this.last;
    for (let panel = 0; panel < this.panels(process).length; panel++) {
      for (let i = 0; i < this.count; i++) {
        const [x, y, side] = this.where(size, process, panel, i);
        const inside = left >= x && left < x + side && top >= y && top < y + side;
        if (inside && i !== this.chosen) {
          this.chosen = i;
          this.changed();
        }
      }
    }
  }

  click(process, position, left, top) {
    this.hover(left, top);
  }
}
