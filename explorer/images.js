// The picture of images: panels, which are grids of images with a title. The panels depend on the
// process; each process has its own mode (modes.js, edit.js).

const HEADING = 24; // pixels
const MARGIN = 8; // between panels
const WORDS = 18; // pixels below an image, for its class

class ImagesView {
  constructor(page, schedule, changed) {
    const { count, channels, height, width, pixels, background, labels } = page.images;
    Object.assign(this, { page, schedule, changed, channels, height, width, background, labels });
    Object.assign(this, { count, size: channels * height * width, data: bytes(pixels) });
    this.tall = height / width;
    this.tile = Object.assign(document.createElement("canvas"), { width, height });
    this.chosen = null; // the image that is shown alone
    this.modes = { forward: new ForwardMode(this) };
    if (!page.network) return;
    const label = page.classes.length ? "all" : "none";
    this.settings = { guidance: 1, seed: 1, label, ...page.defaults };
    this.workshop = new Workshop(page, changed);
    const [reverse, edit, morph] = [new SampledMode(this), new EditMode(this), new MorphMode(this)];
    Object.assign(this.modes, { reverse, edit, morph });
  }

  length(process) {
    return this.modes[process].length();
  }

  timestep(process, position) {
    return this.modes[process].timestep(position);
  }

  caption(process, position) {
    return this.modes[process].caption(position);
  }

  // Sample this process with the current settings, if it samples without being asked.
  sample(process) {
    this.modes[process].sample?.();
  }

  // ------------------------------------------------------------------------------------- jobs

  // The labels of that many images, or null. "Each in turn" does not apply to a single image, which
  // has no class if the model allows that.
  labelsOf(count) {
    const { label } = this.settings;
    const any = label === "all" && count === 1 && this.page.knowsNone;
    return labelsOf(this.page, any ? "none" : label, range(count));
  }

  // The class names for these labels, to write below images.
  wordsOf(labels) {
    const { classes, classNames } = this.page;
    return labels && classes?.length ? labels.map((label) => classNames[classes.indexOf(label)]) : null;
  }

  // Noise with the standard deviation of x at t.
  startingNoise(seed, count, t) {
    const spread = this.schedule.spread(t);
    return imageNoise(seed, -1, count, this.size).map((z) => spread * z);
  }

  // Begin a job from x with the common settings.
  start(x, timesteps, edit) {
    const { sampler, eta, guidance, seed } = this.settings;
    const labels = this.labelsOf(x.length / this.size);
    const steps = timesteps.length;
    const calls = edit ? (steps - 1) * edit.visits + 1 : evaluations(sampler, steps);
    const total = (calls * x.length * (labels && guidance !== 1 ? 2 : 1)) / this.size;
    return this.workshop.start({ x, labels, guidance, sampler, timesteps, eta, seed, edit }, total);
  }

  // ---------------------------------------------------------------------------------- drawing

  // Arrange the panels of the next picture, with left, top and width in units; the images of a panel
  // form a square grid.
  arrange(process, position) {
    this.panels = this.modes[process].panels(position).map((panel) => {
      const total = panel.images.length;
      const alone = total > 1 && this.chosen !== null && this.chosen < total;
      const some = (all) => (alone && all ? [all[this.chosen]] : all);
      const [images, words] = [some(panel.images), some(panel.words)];
      return { ...panel, images, words, total, columns: Math.ceil(Math.sqrt(images.length)) };
    });
  }

  // The height of a picture of that width.
  heightAt(size) {
    return this.extent(size).height;
  }

  extent(size) {
    const { panels } = this;
    const across = Math.max(...panels.map(({ left, width }) => left + width));
    const gaps = new Set(panels.map(({ left }) => left)).size - 1;
    const unit = (size - gaps * MARGIN) / across;
    const bottoms = panels.map((panel) => {
      const [, top, , height] = this.where(panel, unit, panel.images.length - 1);
      return top + height + (panel.words ? WORDS : 0);
    });
    return { unit, height: Math.max(...bottoms) };
  }

  // The place of image i of a panel, in pixels: [left, top, width, height].
  where(panel, unit, i) {
    const width = (panel.width * unit) / panel.columns;
    const left = panel.left * unit + (panel.left > 0 ? MARGIN : 0) + (i % panel.columns) * width;
    const row = Math.floor(i / panel.columns);
    const above = panel.top * unit + (panel.row + 1) * HEADING;
    const top = above + row * (width * this.tall + (panel.words ? WORDS : 0));
    const gap = panel.images.length > 1 ? 0.04 * width : 0;
    return [left, top, width - gap, (width - gap) * this.tall];
  }

  draw(pen, size, palette) {
    const { unit } = this.extent(size);
    this.unit = unit;
    for (const panel of this.panels) {
      const [left, top] = this.where(panel, unit, 0);
      Object.assign(pen, { fillStyle: palette.text, font: "14px system-ui, sans-serif" });
      pen.fillText(panel.title, left + 2, top - 7, panel.width * unit - 4);
      panel.images.forEach((pixels, i) => {
        const place = this.where(panel, unit, i);
        this.drawImage(pen, pixels, ...place);
        panel.over?.(pen, place, palette);
        if (panel.words) this.drawWords(pen, panel.words[i], place, palette);
      });
    }
  }

  drawWords(pen, words, [left, top, width, height], palette) {
    Object.assign(pen, { fillStyle: palette.soft, font: "13px system-ui, sans-serif" });
    pen.textAlign = "center";
    pen.fillText(words, left + width / 2, top + height + 13, width);
    pen.textAlign = "start";
  }

  // Pixels are ordered by channel, then by row.
  drawImage(pen, pixels, left, top, width, height) {
    const tile = this.tile.getContext("2d");
    const picture = tile.createImageData(this.width, this.height);
    const area = this.width * this.height;
    const [green, blue] = this.channels === 1 ? [0, 0] : [area, 2 * area]; // grey: one channel, three times
    for (let k = 0; k < area; k++) {
      picture.data[4 * k] = pixels[k];
      picture.data[4 * k + 1] = pixels[k + green];
      picture.data[4 * k + 2] = pixels[k + blue];
      picture.data[4 * k + 3] = 255;
    }
    tile.putImageData(picture, 0, 0);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(this.tile, left, top, width, height);
  }

  // -------------------------------------------------------------------------------- the pointer

  // The panel and image at (left, top) pixels, and the place in that image, as shares of its sides.
  find(left, top) {
    const { panels, unit } = this;
    for (const panel of panels) {
      for (let i = 0; i < panel.images.length; i++) {
        const [x, y, width, height] = this.where(panel, unit, i);
        const [u, v] = [(left - x) / width, (top - y) / height];
        if (u >= 0 && u < 1 && v >= 0 && v < 1) return { panel, i, u, v };
      }
    }
    return null;
  }

  // Handles a press of the pointer; returns whether it begins a drag.
  press(process, position, left, top) {
    const mode = this.modes[process];
    if (mode.press) return mode.press(left, top);
    const found = this.find(left, top);
    if (found && found.panel.total > 1) this.enlarge(this.chosen === null ? found.i : null);
    return false;
  }

  drag(process, left, top) {
    this.modes[process].drag(left, top);
  }

  key(process, key) {
    return this.modes[process].key?.(key) ?? false;
  }

  enlarge(i) {
    this.chosen = i;
    this.changed();
  }
}
