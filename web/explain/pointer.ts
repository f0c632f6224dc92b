/** Pointing at the photo or the mask, with a pointer or with arrow keys. */

import { find } from "../shared/elements.ts";
import { placeField, showFields, showPixel, stageFields } from "./inspect.ts";
import type { Place } from "./sum.ts";
import type { ForwardPass } from "./forward_pass.ts";

const KEY_PX = 4; // of the picture, that an arrow key goes
const STEPS: Record<string, [row: number, column: number]> = {
  ArrowRight: [0, 1],
  ArrowLeft: [0, -1],
  ArrowDown: [1, 0],
  ArrowUp: [-1, 0],
};

export class Pointer {
  private readonly fields = find("fields", HTMLCanvasElement);
  private readonly text = find("field", HTMLElement);
  private readonly table = find("pixel", HTMLTableElement);
  private row = 0;
  private column = 0;

  /**
   * @param pass returns the pass that is shown.
   * @param chosen returns the place of a map that is chosen, or null.
   */
  constructor(
    private readonly pass: () => ForwardPass,
    private readonly chosen: () => Place | null,
  ) {}

  listen(mask: HTMLCanvasElement): void {
    for (const canvas of [this.fields, mask]) {
      for (const kind of ["pointermove", "pointerdown"] as const) {
        canvas.addEventListener(kind, (event) => this.point(canvas, event));
      }
      canvas.addEventListener("pointerleave", () => this.leave());
    }
    mask.tabIndex = 0;
    mask.addEventListener("blur", () => this.leave());
    mask.addEventListener("keydown", (event) => {
      const step = STEPS[event.key];
      if (!step) return;
      event.preventDefault();
      this.go(this.row + KEY_PX * step[0], this.column + KEY_PX * step[1]);
    });
  }

  /** Shows the field of what is chosen, and the pixel in the middle, while nothing is pointed at. */
  leave(): void {
    const pass = this.pass();
    const place = this.chosen();
    showFields(this.fields, this.text, pass, place ? [placeField(pass, place)] : []);
    [this.row, this.column] = [pass.picture.height >> 1, pass.picture.width >> 1];
    showPixel(this.table, pass, this.row, this.column);
  }

  /** Shows what each stage sees around the pixel in the middle. */
  middle(): void {
    const { height, width } = this.pass().picture;
    this.go(height >> 1, width >> 1);
  }

  private point(canvas: HTMLElement, event: PointerEvent): void {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    const { picture } = this.pass();
    const row = Math.floor(((event.clientY - top) / height) * picture.height);
    this.go(row, Math.floor(((event.clientX - left) / width) * picture.width));
  }

  private go(row: number, column: number): void {
    const pass = this.pass();
    const { height, width } = pass.picture;
    this.row = Math.max(0, Math.min(height - 1, row));
    this.column = Math.max(0, Math.min(width - 1, column));
    showFields(this.fields, this.text, pass, stageFields(pass, this.row, this.column));
    showPixel(this.table, pass, this.row, this.column);
  }
}
