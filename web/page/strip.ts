/** Thumbnails of the photos that were opened, one of them chosen; their files are decoded when they are. */

import { make } from "../shared/elements.ts";
import type { Photo } from "../shared/photos.ts";

const WIDTH = 160;
const HEIGHT = 120;

interface Entry {
  file: File;
  button: HTMLButtonElement;
}

export class Strip {
  private chosen: Entry | null = null;

  constructor(
    private readonly list: HTMLElement,
    private readonly onChoice: (file: File) => void,
  ) {}

  /** Adds a photo; the strip is seen from two on. */
  add(file: File, photo: Photo): Entry {
    const button = make("button", "", thumbnail(photo));
    const entry = { file, button };
    button.type = "button";
    button.title = photo.name;
    button.setAttribute("aria-label", photo.name);
    button.addEventListener("click", () => {
      this.choose(entry);
      this.onChoice(file);
    });
    this.list.append(make("li", "", button));
    this.list.hidden = this.list.childElementCount < 2;
    return entry;
  }

  /** Marks one, or none: the camera's frames have no thumbnail. */
  choose(entry: Entry | null): void {
    this.chosen?.button.removeAttribute("aria-current");
    entry?.button.setAttribute("aria-current", "true");
    this.chosen = entry;
  }

  /** Chooses the chosen one once more. */
  again(): void {
    if (this.chosen) this.onChoice(this.chosen.file);
  }
}

/** The photo cut to the thumbnail's shape. */
function thumbnail({ image, width, height }: Photo): HTMLCanvasElement {
  const canvas = make("canvas");
  canvas.width = WIDTH;
  canvas.height = HEIGHT;
  const scale = Math.max(WIDTH / width, HEIGHT / height);
  const [wide, high] = [width * scale, height * scale];
  canvas.getContext("2d")?.drawImage(image, (WIDTH - wide) / 2, (HEIGHT - high) / 2, wide, high);
  return canvas;
}
