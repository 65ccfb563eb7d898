// Boxes drawn over a picture with the mouse, a finger or a pen. The value is {image: address, boxes: lines "x, y, w, h"}.
const SMALLEST = 4; // pixels of the picture; less is a click
let start = null;

const picture = () => element.querySelector("img");
const rows = (text) => (text || "").split("\n").map((line) => line.split(/[\s,;]+/).filter(Boolean).map(Number))
  .filter((box) => box.length === 4 && box.every(Number.isFinite));
const within = (value, end) => Math.min(Math.max(value, 0), end);

function place(event) {
  const image = picture(), frame = image.getBoundingClientRect(), scale = image.naturalWidth / frame.width;
  return [within((event.clientX - frame.left) * scale, image.naturalWidth),
    within((event.clientY - frame.top) * scale, image.naturalHeight)].map(Math.round);
}

const box = ([x, y], [u, v]) => [Math.min(x, u), Math.min(y, v), Math.abs(u - x), Math.abs(v - y)];

function show(boxes) {
  const image = picture(), drawing = element.querySelector("svg");
  drawing.setAttribute("viewBox", `0 0 ${image.naturalWidth || 1} ${image.naturalHeight || 1}`);
  drawing.replaceChildren(...boxes.flatMap(([x, y, width, height]) => ["under", "over"].map((name) => {
    const shape = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    Object.entries({ x, y, width, height, class: name }).forEach((entry) => shape.setAttribute(...entry));
    return shape;
  })));
}

function refresh() {
  const { image, boxes } = props.value || {}, shown = picture();
  element.querySelector(".draw").hidden = !image;
  shown.onload = () => show(rows(boxes));
  if (image && shown.src !== image) shown.src = image; else show(rows(boxes));
}

element.addEventListener("pointerdown", (event) => {
  if (!event.target.closest(".draw") || event.button) return;
  event.preventDefault();
  start = place(event);
  event.target.closest(".draw").setPointerCapture(event.pointerId);
});
element.addEventListener("pointermove", (event) => {
  if (start) show([...rows(props.value.boxes), box(start, place(event))]);
});
element.addEventListener("pointerup", (event) => {
  if (!start) return;
  const drawn = box(start, place(event));
  start = null;
  if (drawn[2] < SMALLEST || drawn[3] < SMALLEST) return refresh();
  const boxes = [...rows(props.value.boxes), drawn].map((numbers) => numbers.join(", ")).join("\n");
  props.value = { ...props.value, boxes };
  trigger("input");
});
element.addEventListener("pointercancel", () => { start = null; refresh(); });
watch("value", refresh);
refresh();
