/** Canvases on which a channel or a pixel is chosen, by pointer or by arrow keys. */

import { make } from "../shared/elements.ts";
import { drawMap, fitted } from "./maps.ts";
import type { Place } from "./sum.ts";
import type { ForwardPass } from "./forward_pass.ts";

const GAP_PX = 3;
const WIDEST_PX = 560;
const LARGEST_CELL_PX = 120;
/** Which way each arrow key goes. */
export const STEPS: Record<string, [x: number, y: number]> = {
  ArrowRight: [1, 0],
  ArrowLeft: [-1, 0],
  ArrowDown: [0, 1],
  ArrowUp: [0, -1],
};

abstract class Chooser {
  readonly canvas = make("canvas");
  protected pass!: ForwardPass;
  protected place!: Place;

  constructor(name: string, choose: (place: Place) => void) {
    const { canvas } = this;
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "slider");
    canvas.setAttribute("aria-label", name);
    canvas.setAttribute("aria-valuemin", "0");
    canvas.addEventListener("click", (event) => {
      const { left, top, width, height } = canvas.getBoundingClientRect();
      const found = this.at((event.clientX - left) / width, (event.clientY - top) / height);
      if (found) choose(found);
    });
    canvas.addEventListener("keydown", (event) => {
      const step = STEPS[event.key];
      if (!step) return;
      event.preventDefault();
      const found = this.moved(...step);
      if (found) choose(found);
    });
  }

  show(pass: ForwardPass, place: Place): void {
    [this.pass, this.place] = [pass, place];
    const [now, most, text] = this.said();
    this.canvas.setAttribute("aria-valuemax", String(most));
    this.canvas.setAttribute("aria-valuenow", String(now));
    this.canvas.setAttribute("aria-valuetext", text);
    this.draw();
  }

  draw(): void {
    const room = Math.min(WIDEST_PX, this.canvas.parentElement?.clientWidth ?? 0);
    if (room && this.pass) this.paint(room);
  }

  /** Takes the size, in CSS pixels, and returns how to draw. */
  protected sized(width: number, height: number): CanvasRenderingContext2D {
    this.canvas.style.width = `${width}px`;
    return fitted(this.canvas, width, height);
  }

  protected mark(context: CanvasRenderingContext2D, place: readonly [number, number, number, number]): void {
    const colour = getComputedStyle(this.canvas).getPropertyValue("--marked");
    for (const [width, style] of [
      [4, "#000"],
      [2, colour],
    ] as const) {
      [context.lineWidth, context.strokeStyle] = [width, style];
      context.strokeRect(...place);
    }
  }

  /** Returns the number that is chosen, the last that can be, and its text. */
  protected abstract said(): [now: number, most: number, text: string];
  protected abstract paint(room: number): void;
  /** Returns what lies at a place of the canvas, 0 to 1. */
  protected abstract at(x: number, y: number): Place | null;
  protected abstract moved(x: number, y: number): Place | null;
}

/** All channels of a layer, the strongest first. */
export class ChannelGrid extends Chooser {
  protected said(): [number, number, string] {
    const { channel } = this.place;
    return [this.order.indexOf(channel), this.order.length - 1, `channel ${channel}`];
  }

  protected paint(room: number): void {
    const { columns, rows } = this;
    const cell = Math.min(room / columns, LARGEST_CELL_PX);
    const context = this.sized(columns * cell, rows * cell);
    const map = this.pass.map(this.place.tensor);
    this.order.forEach((channel, i) => {
      const [x, y] = [(i % columns) * cell, Math.floor(i / columns) * cell];
      drawMap(context, map, channel, [x, y, cell - GAP_PX, cell - GAP_PX]);
      if (channel === this.place.channel) this.mark(context, [x, y, cell - GAP_PX, cell - GAP_PX]);
    });
  }

  protected at(x: number, y: number): Place | null {
    return this.nth(Math.floor(y * this.rows) * this.columns + Math.floor(x * this.columns));
  }

  protected moved(x: number, y: number): Place | null {
    return this.nth(this.order.indexOf(this.place.channel) + x + y * this.columns);
  }

  private nth(index: number): Place | null {
    const channel = this.order[index];
    return channel === undefined ? null : { ...this.place, channel };
  }

  private get order(): number[] {
    return this.pass.strongest(this.place.tensor);
  }

  private get columns(): number {
    return Math.ceil(Math.sqrt(this.order.length));
  }

  private get rows(): number {
    return Math.ceil(this.order.length / this.columns);
  }
}

/** One channel, large. */
export class LargeMap extends Chooser {
  protected said(): [number, number, string] {
    const { row, column, tensor } = this.place;
    const { width, height } = this.pass.map(tensor);
    return [row * width + column, width * height - 1, `row ${row}, column ${column}`];
  }

  protected paint(room: number): void {
    const { tensor, channel, row, column } = this.place;
    const map = this.pass.map(tensor);
    const scale = room / Math.max(map.width, map.height);
    const context = this.sized(map.width * scale, map.height * scale);
    drawMap(context, map, channel, [0, 0, map.width * scale, map.height * scale]);
    this.mark(context, [column * scale, row * scale, scale, scale]);
  }

  protected at(x: number, y: number): Place {
    const { width, height } = this.pass.map(this.place.tensor);
    return this.limited(Math.floor(y * height), Math.floor(x * width));
  }

  protected moved(x: number, y: number): Place {
    return this.limited(this.place.row + y, this.place.column + x);
  }

  private limited(row: number, column: number): Place {
    const { width, height } = this.pass.map(this.place.tensor);
    const within = (place: number, count: number): number => Math.max(0, Math.min(count - 1, place));
    return { ...this.place, row: within(row, height), column: within(column, width) };
  }
}
