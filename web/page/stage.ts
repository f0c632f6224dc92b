/** The photo and the mask over it: looks, the split, and the name of the class under the pointer. */

import type { Header, Picture, Segmentation } from "../engine/index.ts";
import { find, make, say } from "../shared/elements.ts";
import { maskPaints, overlayPaints, Painter, type Paints } from "./paint.ts";
import { drawPhoto, FULL } from "../shared/photos.ts";
import { Refusal } from "../shared/words.ts";

export type Look = "overlay" | "photo" | "mask" | "split";

export class Stage {
  private readonly frame = find("frame", HTMLElement);
  private readonly tip = find("tip", HTMLElement);
  private readonly place = find("place", HTMLInputElement);
  private readonly photo = surface(find("photo", HTMLCanvasElement));
  private readonly layer = surface(find("layer", HTMLCanvasElement));
  private readonly painter = new Painter();
  private pixels = new ImageData(1, 1);
  private pointer: { x: number; y: number } | null = null;
  private look: Look = "overlay";
  private paints: Paints | null = null;
  private names: string[] = [];
  private segmentation: Segmentation | null = null;

  constructor() {
    this.place.addEventListener("input", () => this.split(this.place.valueAsNumber));
    this.frame.addEventListener("pointerdown", (event) => this.point(event));
    this.frame.addEventListener("pointermove", (event) => this.point(event));
    this.frame.addEventListener("pointerleave", (event) => this.leave(event));
  }

  /** Draws a photo at its own size and returns its pixels. */
  draw(image: CanvasImageSource, width: number, height: number): Picture {
    const { canvas } = this.photo;
    if (canvas.width !== width || canvas.height !== height) {
      for (const { canvas: each } of [this.photo, this.layer]) [each.width, each.height] = [width, height];
      this.frame.style.setProperty("--ratio", (width / height).toFixed(5));
    }
    return drawPhoto(this.photo, image, width, height);
  }

  /** Chooses what is seen, and which classes. */
  dress(header: Header, hidden: ReadonlySet<number>, look: Look): void {
    this.look = look;
    this.names = header.classes.names;
    this.paints = (look === "mask" ? maskPaints : overlayPaints)(header, hidden);
    this.frame.dataset["look"] = look;
    this.repaint();
  }

  show(segmentation: Segmentation): void {
    this.segmentation = segmentation;
    this.repaint();
    this.name();
  }

  describe(text: string): void {
    this.photo.canvas.setAttribute("aria-label", text);
  }

  /** The photo with the shown classes over it, as a PNG file of the photo's own size. */
  async overlayPng(header: Header, hidden: ReadonlySet<number>): Promise<Blob> {
    const { width, height } = this.photo.canvas;
    const both = surface(make("canvas"));
    [both.canvas.width, both.canvas.height] = [width, height];
    const pixels = new ImageData(width, height);
    if (this.segmentation) this.paint(this.segmentation, overlayPaints(header, hidden), pixels);
    both.putImageData(pixels, 0, 0);
    both.globalCompositeOperation = "destination-over"; // the photo goes behind what is there
    both.drawImage(this.photo.canvas, 0, 0);
    const blob = await new Promise<Blob | null>((done) => both.canvas.toBlob(done, "image/png"));
    if (!blob) throw new Refusal(FULL);
    return blob;
  }

  private paint(segmentation: Segmentation, paints: Paints, pixels: ImageData): void {
    this.painter.paint(segmentation, paints, new Uint32Array(pixels.data.buffer));
  }

  private repaint(): void {
    const { segmentation, paints, layer } = this;
    if (!segmentation || !paints || this.look === "photo") return;
    const { width, height } = segmentation;
    if (this.pixels.width !== width || this.pixels.height !== height)
      this.pixels = new ImageData(width, height);
    this.paint(segmentation, paints, this.pixels);
    layer.putImageData(this.pixels, 0, 0);
  }

  private split(percent: number): void {
    this.place.value = String(percent);
    this.frame.style.setProperty("--place", `${percent}%`);
  }

  private point(event: PointerEvent): void {
    const { left, top, width, height } = this.frame.getBoundingClientRect();
    this.pointer = { x: (event.clientX - left) / width, y: (event.clientY - top) / height };
    if (this.look === "split" && event.buttons) {
      this.split(Math.min(100, Math.max(0, this.pointer.x * 100)));
      if (event.type === "pointerdown") this.frame.setPointerCapture(event.pointerId);
    }
    this.name();
  }

  private leave(event: PointerEvent): void {
    if (event.pointerType === "touch") return; // a finger that is lifted has pointed
    this.pointer = null;
    this.name();
  }

  /** Names the class under the pointer. */
  private name(): void {
    const { pointer, segmentation, tip } = this;
    const name = pointer && segmentation ? this.names[classAt(segmentation, pointer)] : undefined;
    tip.hidden = name === undefined;
    if (!pointer || name === undefined) return;
    say(tip, name);
    const [x, y] = [pointer.x * this.frame.clientWidth, pointer.y * this.frame.clientHeight];
    const flip = pointer.x > 0.6 ? `calc(${x}px - 100% - 0.8rem)` : `calc(${x}px + 0.8rem)`;
    tip.style.transform = `translate(${flip}, ${Math.max(0, y - 40)}px)`;
  }
}

function classAt({ mask, width, height }: Segmentation, { x, y }: { x: number; y: number }): number {
  const column = Math.min(width - 1, Math.max(0, Math.floor(x * width)));
  const row = Math.min(height - 1, Math.max(0, Math.floor(y * height)));
  return mask[row * width + column] ?? -1;
}

/** What draws on a canvas whose pixels stay where the page can read them quickly. */
function surface(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Refusal(FULL);
  return context;
}
