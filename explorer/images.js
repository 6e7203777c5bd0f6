// The picture of images: a grid of them with noise, or of samples, x_t beside the estimate of x_0.

const HEADING = 0.08; // its height, as a share of the width

class ImagesView {
  constructor(page, schedule, changed) {
    this.schedule = schedule;
    this.changed = changed;
    const { count, channels, height, width, pixels, reverse } = page.images;
    Object.assign(this, { count, channels });
    this.values = height * width * channels; // of one image
    this.data = bytes(pixels);
    this.eps = normals(0, -1, range(Math.ceil((count * this.values) / 2)));
    this.reverse = reverse && {
      timesteps: [...reverse.timesteps, CLEAN],
      x: bytes(reverse.x),
      x0: bytes(reverse.x0),
    };
    this.chosen = 0;
    this.tile = document.createElement("canvas");
    Object.assign(this.tile, { width, height });
    this.tall = height / width;
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
    return (this.tall * Math.ceil(this.count / columns)) / columns / panels + HEADING;
  }

  // Image number i at a position: for each pixel its grey value, or red, green and blue.
  pixels(process, position, panel, i) {
    if (process === "reverse") {
      const frames = panel === 0 ? this.reverse.x : this.reverse.x0;
      const at = (position * this.count + i) * this.values;
      return frames.subarray(at, at + this.values);
    }
    const t = this.timestep(process, position);
    const [[alpha, sigma], zoom] = [this.schedule.at(t), this.schedule.zoom(t)];
    const found = new Uint8ClampedArray(this.values);
    for (let k = 0; k < this.values; k++) {
      const x0 = this.data[i * this.values + k] / 127.5 - 1;
      const x = (alpha * x0 + sigma * this.eps[i * this.values + k]) / zoom;
      found[k] = (x + 1) * 127.5;
    }
    return found;
  }

  drawImage(pen, pixels, left, top, width, height) {
    const tile = this.tile.getContext("2d");
    const picture = tile.createImageData(this.tile.width, this.tile.height);
    const [green, blue] = this.channels === 1 ? [0, 0] : [1, 2]; // grey is red three times
    for (let k = 0, at = 0; at < pixels.length; k += 4, at += this.channels) {
      picture.data.set([pixels[at], pixels[at + green], pixels[at + blue], 255], k);
    }
    tile.putImageData(picture, 0, 0);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(this.tile, left, top, width, height);
  }

  // Where image i of a panel is, in pixels: [left, top, width, height].
  where(size, process, panel, i) {
    const [columns, panels] = [this.columns(), this.panels(process).length];
    const gap = size / 60;
    const width = (size - gap * (panels - 1)) / panels / columns;
    const row = Math.floor(i / columns);
    const left = panel * (width * columns + gap) + (i % columns) * width;
    const top = size * HEADING + row * width * this.tall;
    return [left, top, width * 0.96, width * 0.96 * this.tall];
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

  frameOf(pen, palette, left, top, width, height) {
    Object.assign(pen, { strokeStyle: palette.followed, lineWidth: 2 });
    pen.strokeRect(left, top, width, height);
  }

  // The chosen image, large; as wide as the picture, its height over width as `lensAspect`.
  drawLens(pen, size, process, position) {
    const panels = this.panels(process);
    const width = size / panels.length - 2;
    panels.forEach((_, panel) => {
      const pixels = this.pixels(process, position, panel, this.chosen);
      this.drawImage(pen, pixels, panel * (width + 4), 0, width, width * this.tall);
    });
  }

  lensAspect(process) {
    return this.tall / this.panels(process).length;
  }

  // The pointer is at (left, top) pixels: enlarge the image that is there.
  hover(left, top) {
    const { size, process } = this.last;
    for (let panel = 0; panel < this.panels(process).length; panel++) {
      for (let i = 0; i < this.count; i++) {
        const [x, y, width, height] = this.where(size, process, panel, i);
        const inside = left >= x && left < x + width && top >= y && top < y + height;
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
