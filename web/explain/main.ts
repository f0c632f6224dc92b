/** The explainer: a network that can be watched, from all of its maps to the sum behind one value. */

import "../shared/base.css";
import "./style.css";
import type { Engine } from "../engine/index.ts";
import { attempt, forget } from "../shared/attempt.ts";
import { find, make, say } from "../shared/elements.ts";
import { embeddedModel, openModel } from "../shared/models.ts";
import { takeFiles } from "../shared/take.ts";
import { count, Refusal } from "../shared/words.ts";
import { BitsView } from "./bits.ts";
import { buildBreaks, tellScore } from "./breaks.ts";
import { placeField, showFields, showPixel, stageFields } from "./inspect.ts";
import { LayerView } from "./layer_view.ts";
import { parametersOf } from "./network.ts";
import { Overview } from "./overview.ts";
import {
  drawMask,
  drawPicture,
  examplesIn,
  openExample,
  openFile,
  type Example,
  type Subject,
} from "./pictures.ts";
import { Thought, UNBROKEN, type Breaks } from "./thought.ts";

const photo = find("photo", HTMLCanvasElement);
const mask = find("mask", HTMLCanvasElement);
const fields = find("fields", HTMLCanvasElement);
const panels = ["network", "layer", "bits"] as const;

let engine: Engine;
let overview: Overview;
let layerView: LayerView;
let bits: BitsView;
let subject: Subject;
let unbroken: Uint8Array;
let thought: Thought;
let breaks: Breaks = UNBROKEN;
let panel: (typeof panels)[number] = "network";

/** Runs the network on a picture, and shows what it thought. */
function look(at: Subject): void {
  subject = at;
  unbroken = new Thought(engine, at.picture, UNBROKEN).mask;
  drawPicture(photo, at.picture);
  photo.setAttribute("aria-label", at.name);
  think();
}

function think(): void {
  thought = new Thought(engine, subject.picture, breaks);
  const { header } = engine.model;
  drawMask(mask, thought.mask, subject.picture.width, header);
  const isBroken = breaks.unpooling !== "positions" || !breaks.lateral;
  const score = find("score", HTMLElement);
  tellScore(score, header, { mask: thought.mask, unbroken, truth: subject.truth }, isBroken);
  const shares = header.classes.names.map((name, id) => {
    const share = thought.mask.filter((each) => each === id).length / thought.mask.length;
    return `${name} ${(100 * share).toFixed(1)} %`;
  });
  mask.setAttribute("aria-label", `Mask: ${shares.join(", ")}`);
  say(find("live", HTMLElement), `${subject.name}: ${shares.join(", ")}. ${score.textContent}`);
  overview.show(thought);
  if (bits.isPossible) bits.show(thought);
  if (panel === "layer") layerView.update(thought);
  leave();
}

function show(next: typeof panel): void {
  panel = next;
  for (const each of panels) find(each, HTMLElement).hidden = each !== next;
  for (const input of document.querySelectorAll<HTMLInputElement>("[name=view]")) {
    input.checked = input.value === (next === "bits" ? "bits" : "network");
  }
  leave();
}

function openLayer(tensor: number): void {
  show("layer");
  layerView.open(thought, tensor);
}

function closeLayer(): void {
  show("network");
  overview.focus(layerView.shown.tensor);
}

/** Shows what lies under the pointer on photo or mask. */
function point(event: PointerEvent): void {
  const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
  const { width, height } = subject.picture;
  const column = Math.min(
    width - 1,
    Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * width)),
  );
  const row = Math.min(
    height - 1,
    Math.max(0, Math.floor(((event.clientY - box.top) / box.height) * height)),
  );
  pointAt(row, column);
}

function pointAt(row: number, column: number): void {
  pointed = { row, column };
  const { layers } = engine.model.header;
  const heights = Array.from({ length: layers.length + 1 }, (_, tensor) => thought.map(tensor).height);
  showFields(fields, find("field", HTMLElement), thought, stageFields(thought, row, column, heights));
  showPixel(find("pixel", HTMLTableElement), thought, row, column);
}

let pointed = { row: 0, column: 0 };

/** Shows what is chosen while nothing is pointed at. */
function leave(): void {
  const chosen = panel === "layer" ? [placeField(thought, layerView.shown)] : [];
  showFields(fields, find("field", HTMLElement), thought, chosen);
  const { width, height } = subject.picture;
  showPixel(find("pixel", HTMLTableElement), thought, height >> 1, width >> 1);
  pointed = { row: height >> 1, column: width >> 1 };
}

function pointByKey(event: KeyboardEvent): void {
  const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
  if (!step) return;
  event.preventDefault();
  const { width, height } = subject.picture;
  const row = Math.max(0, Math.min(height - 1, pointed.row + 4 * step[0]!));
  pointAt(row, Math.max(0, Math.min(width - 1, pointed.column + 4 * step[1]!)));
}

function listExamples(examples: Example[]): void {
  const list = find("pets", HTMLElement);
  for (const example of examples) {
    const image = make("img");
    image.src = `data:image/png;base64,${example.png}`;
    image.alt = example.name;
    const button = make("button", "", image);
    button.type = "button";
    button.addEventListener(
      "click",
      () => void open(button, () => openExample(example, engine.model.header)),
    );
    list.append(make("li", "", button));
  }
}

async function open(button: HTMLElement | null, read: () => Promise<Subject>): Promise<void> {
  forget();
  await attempt("The photo can’t be shown", async () => {
    look(await read());
    document.querySelector("#pets [aria-current]")?.removeAttribute("aria-current");
    button?.setAttribute("aria-current", "true");
  });
}

function introduce(): void {
  const { header } = engine.model;
  const total = parametersOf(engine.model).reduce((a, b) => a + b);
  say(
    find("facts", HTMLElement),
    `${header.model}: ${header.layers.length} layers, ${count(total)} parameters. Click a layer to see its maps and sums.`,
  );
  say(find("notice", HTMLElement), header.notice || "The model file names no licence for its weights.");
  say(find("version", HTMLElement), `segnet ${header.segnet}`);
  const key = find("key", HTMLElement);
  const item = (className: string, text: string): HTMLElement =>
    make("li", "", make("span", className), text);
  const classes = header.classes.names.slice(0, 12).map((name, id) => {
    const row = item("swatch", name);
    (row.firstElementChild as HTMLElement).style.background = `rgb(${header.classes.colours[id]!.join(" ")})`;
    return row;
  });
  key.append(
    make("h2", "", "Legend"),
    make(
      "ul",
      "key small",
      item("line positions", "positions, two bits each"),
      item("line lateral", "lateral maps"),
      item("scale", "a map’s values: negative, 0, positive. Each map has its own scale."),
      ...classes,
    ),
    make("p", "small soft", "Batch norm is folded into the convolutions."),
  );
}

async function begin(): Promise<void> {
  await attempt("The network can’t be opened", async () => {
    const bytes = await embeddedModel(find("model", HTMLElement));
    if (!bytes)
      throw new Refusal(
        "This page has no network inside. segnet show network MODEL --out network.html writes one that has.",
      );
    engine = await openModel(bytes);
    const { header } = engine.model;
    introduce();
    overview = new Overview(find("network", HTMLElement), engine.model, openLayer);
    layerView = new LayerView(find("layer", HTMLElement), () => leave(), closeLayer);
    bits = new BitsView(find("bits", HTMLElement), header);
    find("views", HTMLElement).hidden = !bits.isPossible;
    buildBreaks(find("breaks", HTMLElement), header, (chosen) => {
      breaks = chosen;
      think();
    });
    listen();
    const examples = examplesIn(find("examples", HTMLElement));
    listExamples(examples);
    const chooser = find("choose", HTMLButtonElement);
    takeFiles(chooser, async ([file]) => open(null, () => openFile(file!, header)));
    if (examples[0])
      await open(document.querySelector("#pets button"), () => openExample(examples[0]!, header));
    chooser.disabled = false;
  });
}

function listen(): void {
  document.addEventListener("keydown", ({ key }) => {
    if (key === "Escape" && panel === "layer") closeLayer();
  });
  for (const canvas of [fields, mask]) {
    canvas.addEventListener("pointermove", point);
    canvas.addEventListener("pointerdown", point);
    canvas.addEventListener("pointerleave", leave);
  }
  mask.tabIndex = 0;
  mask.addEventListener("keydown", pointByKey);
  mask.addEventListener("blur", leave);
  find("views", HTMLElement).addEventListener("change", (event) => {
    show((event.target as HTMLInputElement).value === "bits" ? "bits" : "network");
  });
}

void begin();
