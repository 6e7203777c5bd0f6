// The controls on show: only those that apply to the current process.

const OF_IMAGES = page.kind === "images";

// Removes the controls that never apply to this page.
function hideOthers() {
  const others = [OF_IMAGES ? ".of-points" : ".of-images"];
  if (!OF_IMAGES || !page.network) others.push(".of-network");
  for (const item of document.querySelectorAll(others.join())) item.remove();
  $("process").hidden = OF_IMAGES && !page.network;
}

function showControls(process) {
  const samples = process !== "forward";
  $("sampling").hidden = !samples;
  $("editing").hidden = process !== "edit";
  $("morphing").hidden = process !== "morph";
  const known = !view.own && page.classes?.length > 0;
  $("label-box").hidden = !known;
  $("guidance-label").hidden = !known || !page.guides;
  const drawing = process === "edit" || view.own;
  const touch = process === "morph" ? "pan-y pinch-zoom" : "manipulation";
  $("picture").style.touchAction = drawing ? "pinch-zoom" : touch;
  $("picture").setAttribute("role", drawing || process === "morph" ? "application" : "img");
  for (const id of ["play", "back", "ahead", "time"]) $(id).disabled = last() === 0;
  OF_IMAGES ? showImageControls(process) : showPointControls(process);
}

function showImageControls(process) {
  $("enlarged-label").hidden = ["edit", "morph"].includes(process);
  if (!page.network) return listImages(view.count);
  $("count").parentElement.hidden = process !== "reverse";
  for (const id of ["seed-label", "again"]) $(id).hidden = process === "morph";
  $("keys").textContent = {
    edit: "Keys in the drawing: arrows move the cursor, Enter draws; space plays and pauses.",
    morph: "Keys: ← → change the noise.",
  }[process] ?? "Keys: ← → move in time, space plays and pauses.";
  listImages(process === "reverse" ? view.settings.count : view.count);
  if (process === "morph") tell("between", view.modes.morph.between);
  if (process !== "edit") return;
  const edit = view.modes.edit;
  $("fill").disabled = !edit.hasHole();
  $("keep").disabled = !edit.finished();
}

function listImages(count) {
  const { options } = $("enlarged");
  const wanted = count > 1 ? count + 1 : 1;
  while (options.length > wanted) options.remove(wanted);
  if (!options.length) $("enlarged").add(new Option("none", ""));
  while (options.length < wanted) {
    $("enlarged").add(new Option(`image ${options.length}`, options.length - 1));
  }
  if (view.chosen >= count) view.chosen = null;
  $("enlarged").value = view.chosen ?? "";
}

function showPointControls(process) {
  $("own").hidden = $("layers").hidden = false;
  $("beside").hidden = process === "forward";
  const [, second] = view.crowds;
  for (const id of ["steps-2", "eta-2"]) $(id).parentElement.hidden = !second;
  if (second) $("eta-2-label").hidden = !TAKES_ETA.includes(second.settings.sampler);
  $("clear-own").disabled = !view.strokes.length;
  $("drop").disabled = !view.data.length;
  const keys = view.own
    ? "Keys in the picture: arrows move the cursor, Enter draws"
    : "Keys: ← → move in time";
  $("keys").textContent = `${keys}; space plays and pauses.`;
}
