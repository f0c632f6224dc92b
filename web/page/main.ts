/** The page of `segnet export --to html`: a model, photos or the camera, and the masks over them. */

import "../shared/base.css";
import "./style.css";
import { segment, type Engine, type Picture, type Segmentation } from "../engine/index.ts";
import { attempt, forget, report } from "../shared/attempt.ts";
import { Camera } from "./camera.ts";
import { download, find, painted, say } from "../shared/elements.ts";
import { askForModel, introduce } from "./introduce.ts";
import { Legend } from "./legend.ts";
import { embeddedModel, isModelFile, openModel } from "../shared/models.ts";
import { readPhoto, type Photo } from "../shared/photos.ts";
import { palettePng } from "./png.ts";
import { announce, Rate, shares, tellPhoto, tellWait } from "./results.ts";
import { Stage, type Look } from "./stage.ts";
import { Strip } from "./strip.ts";
import { takeFiles } from "../shared/take.ts";
import { sentence } from "../shared/words.ts";

const chooseButton = find("choose", HTMLButtonElement);
const cameraButton = find("camera", HTMLButtonElement);

const stage = new Stage();
const legend = new Legend(find("legend", HTMLElement), dress);
const strip = new Strip(find("strip", HTMLElement), (file) => void open(file));
const camera = new Camera(showFrame, () => {
  stopCamera();
  report("The camera is gone: it was unplugged, or another program took it.");
});

let engine: Engine;
let shown: { name: string; segmentation: Segmentation } | null = null;
let rate = new Rate();
let turn = 0; // counts what was asked for, so that a slow photo doesn't come after a later one

async function useModel(bytes: Uint8Array): Promise<void> {
  engine = await openModel(bytes);
  introduce(engine.model, bytes.length);
  legend.reset(engine.model.header);
  showNothing();
  dress();
  strip.again();
  chooseButton.disabled = cameraButton.disabled = false;
  say(chooseButton, "Choose photos");
}

/** Opens the files that a visitor chose, dropped or pasted; the first photo of them is shown. */
async function openAll(files: File[]): Promise<void> {
  forget();
  let mine = ++turn;
  for (const file of files) {
    await attempt(`${file.name} can’t be opened`, async () => {
      const isModel = await isModelFile(file);
      if (isModel || !engine) return useModel(new Uint8Array(await file.arrayBuffer()));
      const photo = await readPhoto(file);
      const entry = strip.add(file, photo);
      if (mine !== turn) return;
      mine = NaN; // the others wait in the strip
      strip.choose(entry);
      await showPhoto(photo);
    });
  }
}

/** Opens a photo of the strip again. */
async function open(file: File): Promise<void> {
  forget();
  const mine = ++turn;
  await attempt(`${file.name} can’t be opened`, async () => {
    const photo = await readPhoto(file);
    if (mine === turn) await showPhoto(photo);
  });
}

async function showPhoto(photo: Photo): Promise<void> {
  stopCamera();
  tellWait();
  await painted(); // a large network takes a second, in which the page stands still
  try {
    const [segmentation, ms] = timed(stage.draw(photo.image, photo.width, photo.height));
    see(photo.name, segmentation);
    tellPhoto(photo, ms, engine.backend);
    tellShares(photo.name, segmentation);
  } catch (error) {
    showNothing();
    throw error;
  }
}

function timed(picture: Picture): [Segmentation, ms: number] {
  const start = performance.now();
  const segmentation = segment(engine, picture);
  return [segmentation, performance.now() - start];
}

function see(name: string, segmentation: Segmentation): void {
  const first = !shown;
  shown = { name, segmentation };
  if (first) reveal();
  stage.show(segmentation);
}

function showNothing(): void {
  shown = null;
  reveal();
}

/** Shows stage, looks and result where there is something to see, else the invitation. */
function reveal(): void {
  find("empty", HTMLElement).hidden = Boolean(shown);
  for (const id of ["stage", "looks", "result"]) find(id, HTMLElement).hidden = !shown;
  dress();
}

function tellShares(name: string, segmentation: Segmentation): void {
  const found = shares(engine.model.header.classes.names, segmentation);
  legend.update(segmentation.areas);
  stage.describe(`${name}: ${found}`);
  announce(`${name}: ${found}.`);
}

function showFrame(video: HTMLVideoElement): void {
  try {
    const [segmentation, ms] = timed(stage.draw(video, video.videoWidth, video.videoHeight));
    see("camera", segmentation);
    if (!rate.count(ms)) return;
    legend.update(segmentation.areas);
    rate.tell(segmentation, engine.backend);
  } catch (error) {
    stopCamera();
    report(sentence(error, "The camera’s picture can’t be segmented"));
  }
}

async function startCamera(): Promise<void> {
  forget();
  turn++;
  cameraButton.disabled = true;
  try {
    rate = new Rate();
    await camera.start();
    if (!camera.isOn) return; // a photo was opened in the meantime
    strip.choose(null);
    stage.describe("The camera’s picture with its mask");
    announce("The camera is on.");
  } finally {
    cameraButton.disabled = false;
    say(cameraButton, camera.isOn ? "Stop the camera" : "Start the camera");
  }
}

/** Stops the camera; its last frame stays. */
function stopCamera(): void {
  const wasOn = camera.isOn;
  camera.stop();
  say(cameraButton, "Start the camera");
  if (wasOn && shown) tellShares("camera", shown.segmentation);
}

/** Shows the photo as the visitor chose: which look, which classes. */
function dress(): void {
  const look = document.querySelector<HTMLInputElement>("[name=look]:checked")?.value as Look;
  find("split", HTMLElement).hidden = look !== "split" || !shown;
  if (engine) stage.dress(engine.model.header, legend.hidden, look);
}

async function save(kind: "mask" | "overlay"): Promise<void> {
  if (!shown) return;
  const { name, segmentation } = shown;
  const { header } = engine.model;
  const { mask, width, height } = segmentation;
  const blob =
    kind === "mask"
      ? await palettePng(mask, width, height, header.classes.colours)
      : await stage.overlayPng(header, legend.hidden);
  download(blob, `${name.replace(/\.[^.]*$/, "")}-${kind}.png`);
}

async function begin(): Promise<void> {
  takeFiles(chooseButton, openAll);
  cameraButton.addEventListener("click", () => {
    if (camera.isOn) stopCamera();
    else void attempt("The camera can’t be started", startCamera);
  });
  find("looks", HTMLElement).addEventListener("change", dress);
  for (const kind of ["mask", "overlay"] as const) {
    const saving = (): void => void attempt(`The ${kind} can’t be saved`, () => save(kind));
    find(`save-${kind}`, HTMLElement).addEventListener("click", saving);
  }
  await attempt("The model can’t be opened", async () => {
    const bytes = await embeddedModel(find("model", HTMLElement));
    if (bytes) await useModel(bytes);
  });
  if (engine) return;
  askForModel();
  say(chooseButton, "Choose a model file");
  chooseButton.disabled = false;
}

void begin();
