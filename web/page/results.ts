/** What was found and how quickly, as text on the screen and for screen readers. */

import type { Backend, Segmentation } from "../engine/index.ts";
import { find, say } from "../shared/elements.ts";
import type { Photo } from "../shared/photos.ts";
import { BACKENDS, count, milliseconds, percent } from "../shared/words.ts";

const about = find("about", HTMLElement);
const speed = find("speed", HTMLElement);
const live = find("live", HTMLElement);

export function announce(text: string): void {
  say(live, text);
}

export function tellWait(): void {
  say(about, "Segmenting …");
}

export function tellPhoto({ name, width, height, reduced }: Photo, ms: number, backend: Backend): void {
  say(about, `${name}: ${reduced || `${count(width)} × ${count(height)} pixels.`}`);
  say(speed, `The mask took ${milliseconds(ms)}, ${BACKENDS[backend]}.`);
}

/** `pet 31.0 %, background 60.2 %, border 8.8 %`. */
export function shares(names: readonly string[], { areas }: Segmentation): string {
  return names.map((name, id) => `${name} ${percent(areas[id] ?? 0)}`).join(", ");
}

/** The camera's masks in the last second: how many, and the median of their times. */
export class Rate {
  private masks: { at: number; ms: number }[] = [];
  private told = 0;

  /** Counts a mask; returns whether it is time to say something: not oftener than can be read. */
  count(ms: number): boolean {
    const at = performance.now();
    this.masks = [...this.masks.filter((mask) => mask.at > at - 1000), { at, ms }];
    if (at - this.told < 400) return false;
    this.told = at;
    return true;
  }

  tell({ width, height }: Segmentation, backend: Backend): void {
    const seconds = (this.masks.at(-1)!.at - this.masks[0]!.at) / 1000;
    const rate = seconds > 0 ? `, ${Math.round((this.masks.length - 1) / seconds)} masks a second` : "";
    const times = this.masks.map(({ ms }) => ms).sort((a, b) => a - b);
    say(about, `Camera: ${width} × ${height} pixels${rate}.`);
    say(speed, `A mask takes ${milliseconds(times[times.length >> 1]!)}, ${BACKENDS[backend]}.`);
  }
}
