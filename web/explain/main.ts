/** The explainer: a network that can be watched, from all of its maps to the sum behind one value. */

import "../shared/base.css";
import "./style.css";
import { attempt, forget } from "../shared/attempt.ts";
import { find, make, say } from "../shared/elements.ts";
import { embeddedModel, openModel } from "../shared/models.ts";
import { takeFiles } from "../shared/take.ts";
import { Refusal } from "../shared/words.ts";
import { BitsView } from "./bits.ts";
import { buildBreaks, isBroken, ScoreTable } from "./breaks.ts";
import { readContents, type Contents, type Example } from "./contents.ts";
import { Breakable, UNBROKEN, type Breaks, type ForwardPass } from "./forward_pass.ts";
import { introduce } from "./introduction.ts";
import { LayerView } from "./layer_view.ts";
import { LearnView } from "./learn.ts";
import { readNorms } from "./norms.ts";
import { Overview } from "./overview.ts";
import { PaintView } from "./paint.ts";
import { drawMask, drawPicture, openExample, openFile, type Subject } from "./pictures.ts";
import { Pointer } from "./pointer.ts";
import { stepsOf } from "./steps.ts";
import { Tour } from "./tour.ts";
import { tutorialLink, type Section } from "./tutorial.ts";

const photo = find("photo", HTMLCanvasElement);
const mask = find("mask", HTMLCanvasElement);
const panels = ["network", "layer", "bits", "paint", "learn"] as const;
type Panel = (typeof panels)[number];
const MORE: Record<Panel, Section> = {
  network: "network",
  layer: "convolution",
  bits: "pooling",
  paint: "scores",
  learn: "learning",
};

const pointer = new Pointer(
  () => pass,
  () => (panel === "layer" ? layerView.shown : null),
);

let network: Breakable;
let contents: Contents;
let overview: Overview;
let layerView: LayerView;
let bits: BitsView;
let paint: PaintView;
let learn: LearnView | null = null;
let scores: ScoreTable;
let subject: Subject;
let unbroken: Uint8Array;
let pass: ForwardPass;
let breaks: Breaks = UNBROKEN;
let panel: Panel = "network";

/** Runs the network on a picture, and shows its maps. */
function look(at: Subject): void {
  subject = at;
  const whole = network.run(at.picture, UNBROKEN);
  unbroken = whole.mask;
  drawPicture(photo, at.picture);
  photo.setAttribute("aria-label", at.name);
  think(isBroken(breaks) ? network.run(at.picture, breaks) : whole);
}

function think(next: ForwardPass): void {
  pass = next;
  const { header } = pass;
  drawMask(mask, pass.mask, subject.picture.width, header);
  const score = scores.show(pass, subject, unbroken);
  const shares = header.classes.names.map((name, id) => {
    const share = pass.mask.filter((each) => each === id).length / pass.mask.length;
    return `${name} ${(100 * share).toFixed(1)} %`;
  });
  mask.setAttribute("aria-label", `Mask: ${shares.join(", ")}`);
  say(find("live", HTMLElement), `${subject.name}: ${shares.join(", ")}. ${score}`);
  overview.show(pass);
  if (bits.isPossible) bits.show(pass);
  if (panel === "layer") layerView.update(pass);
  paint.show(subject, unbroken);
  pointer.leave();
}

function show(next: Panel): void {
  panel = next;
  learn?.stop();
  document.body.dataset.view = next;
  for (const each of panels) find(each, HTMLElement).hidden = each !== next;
  if (next === "learn" && contents.learning)
    learn ??= new LearnView(find("learn", HTMLElement), contents.learning);
  for (const input of document.querySelectorAll<HTMLInputElement>("[name=view]")) {
    input.checked = input.value === (next === "layer" ? "network" : next);
  }
  tellMore(MORE[next]);
  pointer.leave();
}

function tellMore(section: Section): void {
  find("more", HTMLElement).replaceChildren("More: ", tutorialLink(section, contents.tutorial));
}

function openLayer(tensor: number): void {
  show("layer");
  layerView.open(pass, tensor);
}

/** Brings what is around a layer's view to the value that is shown. */
function followPlace(): void {
  pointer.leave();
  const { op } = pass.header.layers[layerView.shown.tensor - 1]!;
  const isPooling = op === "pool" || op === "unpool";
  tellMore(isPooling ? "pooling" : op === "depthwise" ? "separable" : "convolution");
}

function closeLayer(): void {
  show("network");
  overview.focus(layerView.shown.tensor);
}

function listExamples(examples: Example[]): void {
  const list = find("pets", HTMLElement);
  for (const example of examples) {
    const image = make("img");
    image.src = `data:image/webp;base64,${example.image}`;
    image.alt = example.name;
    const button = make("button", "", image);
    button.type = "button";
    button.addEventListener(
      "click",
      () => void open(button, () => openExample(example, network.engine.model.header)),
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
    contents = readContents(find("contents", HTMLElement));
    network = new Breakable(await openModel(bytes), readNorms(contents.norms));
    const { model } = network.engine;
    const { header } = model;
    introduce(model, contents.norms.some(Boolean));
    overview = new Overview(find("network", HTMLElement), model, openLayer);
    layerView = new LayerView(find("layer", HTMLElement), followPlace, closeLayer);
    bits = new BitsView(find("bits", HTMLElement), header);
    paint = new PaintView(find("paint", HTMLElement), header);
    const openAll = (): Promise<Subject[]> =>
      Promise.all(contents.examples.map((example) => openExample(example, header)));
    scores = new ScoreTable(find("score", HTMLElement), network, openAll);
    hideViews();
    const setBreaks = buildBreaks(find("breaks", HTMLElement), network, (chosen) => {
      breaks = chosen;
      think(network.run(subject.picture, breaks));
    });
    listen(setBreaks);
    const { examples } = contents;
    const chooser = find("choose", HTMLButtonElement);
    takeFiles(chooser, async ([file]) => open(null, () => openFile(file!, header)));
    if (examples[0]) {
      await open(null, () => openExample(examples[0]!, header));
      show("network");
    }
    listExamples(examples);
    document.querySelector("#pets button")?.setAttribute("aria-current", "true");
    chooser.disabled = false;
  });
}

function hideViews(): void {
  for (const [view, isThere] of [
    ["bits", bits.isPossible],
    ["paint", contents.examples.some(({ mask }) => mask !== null)],
    ["learn", contents.learning !== null],
  ] as const) {
    if (!isThere) document.querySelector(`[name=view][value=${view}]`)?.closest("label")?.remove();
  }
}

function listen(setBreaks: (breaks: Breaks) => void): void {
  pointer.listen(mask);
  document.addEventListener("keydown", ({ key }) => {
    if (key === "Escape" && panel === "layer") closeLayer();
  });
  find("views", HTMLElement).addEventListener("change", (event) => {
    show((event.target as HTMLInputElement).value as Panel);
  });
  const views = [...document.querySelectorAll<HTMLInputElement>("[name=view]")].map(({ value }) => value);
  const opener = find("tour", HTMLButtonElement);
  const steps = stepsOf(network.engine.model.header, {
    show,
    openLayer,
    setBreaks,
    point: () => pointer.middle(),
    views,
  });
  new Tour(steps, opener, contents.tutorial, () => {
    setBreaks(UNBROKEN);
    show("network");
  });
  opener.disabled = false;
}

void begin();
