// Moving through a process: by the slider, step by step, or by playing.

const LASTS = 6; // seconds from one end of the slider to the other
const STILLS = 8; // still pictures, one per second, if the user prefers reduced motion
const STILL = matchMedia("(prefers-reduced-motion: reduce)");

const DIRECTIONS = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, 1],
  ArrowDown: [0, -1],
};

function move(to) {
  state.held = true;
  state.position[state.process] = Math.max(0, Math.min(last(), Math.round(to)));
  show();
}

function pause() {
  cancelAnimationFrame(state.playing?.frame);
  clearInterval(state.playing?.timer);
  state.playing = null;
}

function play() {
  pause();
  if (position() === last()) state.position[state.process] = 0;
  state.playing = {};
  if (STILL.matches) {
    state.playing.timer = setInterval(() => advance(Math.max(1, last() / STILLS)), 1000 / state.speed);
    return show();
  }
  let [since, at] = [performance.now(), position()];
  const tick = (now) => {
    at += ((now - since) / 1000 / LASTS) * state.speed * last();
    since = now;
    if (advance(at - position())) state.playing.frame = requestAnimationFrame(tick);
  };
  state.playing.frame = requestAnimationFrame(tick);
  return show();
}

// Moves on; returns whether there is more to play.
function advance(by) {
  const to = position() + by;
  if (to >= last()) pause();
  move(to);
  return state.playing !== null;
}

function stop() {
  pause();
  show();
}
