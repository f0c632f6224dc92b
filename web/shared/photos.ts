/** From a file to a photo that a canvas holds, or a sentence that says why not. */

import type { Picture } from "../engine/index.ts";
import { count, megapixels, Refusal } from "./words.ts";

/** What a canvas holds in every browser; Safari's limit is the lowest. Larger photos are reduced to it. */
const MOST_PIXELS = 2 ** 24;
const LONGEST_SIDE = 2 ** 14;

export interface Photo {
  name: string;
  image: CanvasImageSource;
  width: number;
  height: number;
  /** Says that and how the photo was reduced; else empty. */
  reduced: string;
}

/** What is said where a canvas can't hold a photo. */
export const FULL =
  "This browser has no memory left for a photo of this size. Close other pages, or reduce the photo.";

/** Draws a photo on a canvas of its size and returns its pixels. What is transparent lies on white, as in Python. */
export function drawPhoto(
  context: CanvasRenderingContext2D,
  image: CanvasImageSource,
  width: number,
  height: number,
): Picture {
  context.imageSmoothingQuality = "high";
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(image, 0, 0, width, height);
  try {
    const { data } = context.getImageData(0, 0, width, height);
    return { width, height, channels: 4, data };
  } catch {
    throw new Refusal(FULL);
  }
}

/** Beginnings of files: what the file is, and whether browsers open such files. */
const KINDS: [pattern: RegExp, kind: string, opens: boolean][] = [
  [/^\xff\xd8\xff/, "JPEG", true],
  [/^\x89PNG/, "PNG", true],
  [/^GIF8/, "GIF", true],
  [/^RIFF[^]{4}WEBP/, "WebP", true],
  [/^BM/, "BMP", true],
  [/^[^]{4}ftypavi/, "AVIF", true],
  [/^[^]{4}ftyp(hei|hev|mif1|msf1)/, "HEIC", false],
  [/^(II\*\0|MM\0\*|II\+\0|MM\0\+)/, "TIFF", false],
  [/^(\0\0\0\x0cjP|\xff\x4f\xff\x51)/, "JPEG 2000", false],
  [/^(\xff\x0a|\0\0\0\x0cJXL)/, "JPEG XL", false],
  [/^8BPS/, "Photoshop", false],
];

/** Decodes a file, upright; throws a Refusal where that can't be done. */
export async function readPhoto(file: File): Promise<Photo> {
  const name = file.name || "The photo";
  if (file.size === 0) throw new Refusal(`${name} is empty (0 bytes).`);
  const image = new Image();
  const address = URL.createObjectURL(file);
  try {
    image.src = address;
    await image.decode();
  } catch {
    throw new Refusal(await whyNot(file, name));
  } finally {
    URL.revokeObjectURL(address);
  }
  const { naturalWidth: wide, naturalHeight: high } = image;
  if (!wide || !high) throw new Refusal(`${name} has no size of its own. Save it as JPEG, PNG or WebP.`);
  const scale = Math.min(1, Math.sqrt(MOST_PIXELS / (wide * high)), LONGEST_SIDE / Math.max(wide, high));
  const width = Math.max(1, Math.floor(wide * scale));
  const height = Math.max(1, Math.floor(high * scale));
  const reduced =
    scale < 1
      ? `${count(width)} × ${count(height)} pixels, reduced from ${count(wide)} × ${count(high)} ` +
        `(${megapixels(wide, high)}), which is more than a page can hold. Mask and overlay have the reduced size.`
      : "";
  return { name, image, width, height, reduced };
}

async function whyNot(file: File, name: string): Promise<string> {
  const start = String.fromCharCode(...new Uint8Array(await file.slice(0, 16).arrayBuffer()));
  const [, kind, opens] = KINDS.find(([pattern]) => pattern.test(start)) ?? [];
  if (!kind) return `${name} is no image that a browser knows. JPEG, PNG, WebP, GIF, AVIF and BMP work.`;
  if (!opens)
    return `${name} is a ${kind} image, which this browser can’t open. Save it as JPEG, PNG or WebP.`;
  return `${name} can’t be decoded: this ${kind} image is damaged, or too large for this browser.`;
}
