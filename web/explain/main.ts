/** The explainer: a network that can be watched, from all of its maps to the sum behind one value. */

import "../shared/base.css";
import "./style.css";
import type { Engine } from "../engine/index.ts";
import { attempt, forget } from "../shared/attempt.ts";
import { find, make, say } from "../shared/elements.ts";
import { embeddedModel, openModel } from "../shared/models.ts";
import { takeFiles } from "../shared/take.ts";
import { Refusal } from "../shared/words.ts";
import { BitsView } from "./bits.ts";
import { buildBreaks, tellScore } from "./breaks.ts";
import { introduce } from "./introduction.ts";
import { LayerView } from "./layer_view.ts";
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
import { Pointer } from "./pointer.ts";
import { ForwardPass, UNBROKEN, type Breaks } from "./forward_pass.ts";

const photo = find("photo", HTMLCanvasElement);
const mask = find("mask", HTMLCanvasElement);
const panels = ["network", "layer", "bits"] as const;

const pointer = new Pointer(
  () => pass,
  () => (panel === "layer" ? layerView.shown : null),
);

let engine: Engine;
let overview: Overview;
let layerView: LayerView;
let bits: BitsView;
let subject: Subject;
let unbroken: Uint8Array;
let pass: ForwardPass;
let breaks: Breaks = UNBROKEN;
let panel: (typeof panels)[number] = "network";

/** Runs the network on a picture, and shows its maps. */
function look(at: Subject): void {
  subject = at;
  unbroken = new ForwardPass(engine, at.picture, UNBROKEN).mask;
  drawPicture(photo, at.picture);
  photo.setAttribute("aria-label", at.name);
  think();
}

function think(): void {
  pass = new ForwardPass(engine, subject.picture, breaks);
  const { header } = engine.model;
  drawMask(mask, pass.mask, subject.picture.width, header);
  const isBroken = breaks.unpooling !== "positions" || !breaks.lateral;
  const score = find("score", HTMLElement);
  tellScore(score, header, { mask: pass.mask, unbroken, truth: subject.truth }, isBroken);
  const shares = header.classes.names.map((name, id) => {
    const share = pass.mask.filter((each) => each === id).length / pass.mask.length;
    return `${name} ${(100 * share).toFixed(1)} %`;
  });
  mask.setAttribute("aria-label", `Mask: ${shares.join(", ")}`);
  say(find("live", HTMLElement), `${subject.name}: ${shares.join(", ")}. ${score.textContent}`);
  overview.show(pass);
  if (bits.isPossible) bits.show(pass);
  if (panel === "layer") layerView.update(pass);
  pointer.leave();
}

function show(next: typeof panel): void {
  panel = next;
  for (const each of panels) find(each, HTMLElement).hidden = each !== next;
  for (const input of document.querySelectorAll<HTMLInputElement>("[name=view]")) {
    input.checked = input.value === (next === "bits" ? "bits" : "network");
  }
  pointer.leave();
}

function openLayer(tensor: number): void {
  show("layer");
  layerView.open(pass, tensor);
}

function closeLayer(): void {
  show("network");
  overview.focus(layerView.shown.tensor);
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

async function begin(): Promise<void> {
  await attempt("The network can’t be opened", async () => {
    const bytes = await embeddedModel(find("model", HTMLElement));
    if (!bytes)
      throw new Refusal(
        "This page has no network inside. segnet show network MODEL --out network.html writes one that has.",
      );
    engine = await openModel(bytes);
    const { header } = engine.model;
    introduce(engine.model);
    overview = new Overview(find("network", HTMLElement), engine.model, openLayer);
    layerView = new LayerView(find("layer", HTMLElement), () => pointer.leave(), closeLayer);
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
  pointer.listen(mask);
  document.addEventListener("keydown", ({ key }) => {
    if (key === "Escape" && panel === "layer") closeLayer();
  });
  find("views", HTMLElement).addEventListener("change", (event) => {
    show((event.target as HTMLInputElement).value === "bits" ? "bits" : "network");
  });
}

void begin();
