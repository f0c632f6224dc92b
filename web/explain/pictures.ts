/** Drawn pets that the page carries, and photos of the visitor, as pictures of the network's size. */

import { prepare, type Header, type Picture } from "../engine/index.ts";
import { drawPhoto, readPhoto } from "../shared/photos.ts";
import type { Example } from "./contents.ts";
import { context2d } from "./maps.ts";

/** What the network looks at. */
export interface Subject {
  name: string;
  picture: Picture;
  /** The class of each pixel where it is known. */
  truth: Uint8Array | null;
}

export async function openExample({ name, image, mask }: Example, header: Header): Promise<Subject> {
  const picture = prepare(await pixelsOf(image), header);
  const truth = mask === null ? null : (await pixelsOf(mask)).data.filter((_, i) => i % 4 === 0);
  return { name, picture, truth: truth && Uint8Array.from(truth) };
}

async function pixelsOf(base64: string): Promise<Picture> {
  const image = new Image();
  image.src = `data:image/webp;base64,${base64}`;
  await image.decode();
  return pixels(image, image.naturalWidth, image.naturalHeight);
}

/** Opens a file of the visitor's; throws a Refusal where that can't be done. */
export async function openFile(file: File, header: Header): Promise<Subject> {
  const { name, image, width, height } = await readPhoto(file);
  return { name, picture: prepare(pixels(image, width, height), header), truth: null };
}

function pixels(image: CanvasImageSource, width: number, height: number): Picture {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  return drawPhoto(context2d(canvas), image, width, height);
}

/** Draws a picture on a canvas, a pixel for each of its own. */
export function drawPicture(canvas: HTMLCanvasElement, { width, height, channels, data }: Picture): void {
  const shown = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) shown.data[4 * i + c] = data[i * channels + (channels < 3 ? 0 : c)]!;
    shown.data[4 * i + 3] = 255;
  }
  [canvas.width, canvas.height] = [width, height];
  context2d(canvas).putImageData(shown, 0, 0);
}

/** Draws a mask in the classes' colours; the class `bare` stays transparent. */
export function drawMask(
  canvas: HTMLCanvasElement,
  mask: Uint8Array,
  width: number,
  { classes }: Header,
  bare: number | null = null,
): void {
  const height = mask.length / width;
  const shown = new ImageData(width, height);
  mask.forEach((id, i) => shown.data.set([...classes.colours[id]!, id === bare ? 0 : 255], 4 * i));
  [canvas.width, canvas.height] = [width, height];
  context2d(canvas).putImageData(shown, 0, 0);
}
