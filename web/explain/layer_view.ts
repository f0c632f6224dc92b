/** One layer: its channels, one of them large, and one of its values as a sum. */

import { make, say } from "../shared/elements.ts";
import { drawMap, fitted, largest } from "./maps.ts";
import { nameOf, parametersOf, sizesOf } from "./network.ts";
import { decimal, sumView } from "./sum_view.ts";
import type { Place } from "./sum.ts";
import type { Thought } from "./thought.ts";
import { about } from "./texts.ts";

const GAP_PX = 3;
const SIDE_PX = 320;

export class LayerView {
  private readonly title = make("h2", "title");
  private readonly text = make("p");
  private readonly facts = make("p", "small soft");
  private readonly channels = make("canvas", "channels");
  private readonly map = make("canvas", "map");
  private readonly channelsText = make("p", "small soft");
  private readonly mapText = make("p", "small soft");
  private readonly sum = make("div", "sums");
  private thought: Thought | null = null;
  private place: Place = { tensor: 1, row: 0, column: 0, channel: 0 };
  private part: number | null = null;

  constructor(
    private readonly host: HTMLElement,
    private readonly onPlace: (place: Place) => void,
    onClose: () => void,
  ) {
    const button = (text: string, act: () => void): HTMLButtonElement => {
      const made = make("button", "", text);
      made.type = "button";
      made.addEventListener("click", act);
      return made;
    };
    const bar = make(
      "div",
      "buttons",
      button("Back to the network", onClose),
      button("Previous layer", () => this.step(-1)),
      button("Next layer", () => this.step(1)),
    );
    bar.firstElementChild!.id = "back";
    this.title.tabIndex = -1;
    const columns = make(
      "div",
      "zoom",
      make("section", "", make("h3", "", "Channels"), this.channels, this.channelsText),
      make("section", "", make("h3", "", "One channel"), this.map, this.mapText),
      make("section", "", make("h3", "", "One value"), this.sum),
    );
    host.append(bar, this.title, this.facts, this.text, columns);
    this.sum.setAttribute("aria-live", "polite");
    for (const canvas of [this.channels, this.map]) {
      canvas.tabIndex = 0;
      canvas.setAttribute("role", "slider");
      canvas.addEventListener("click", (event) => this.click(canvas, event));
      canvas.addEventListener("keydown", (event) => this.key(canvas, event));
    }
    new ResizeObserver(() => this.draw()).observe(host);
  }

  get shown(): Place {
    return this.place;
  }

  /** Shows a layer: its strongest channel, and there the largest value. */
  open(thought: Thought, tensor: number): void {
    this.thought = thought;
    const channel = thought.strongest(tensor)[0]!;
    this.go({ tensor, channel, ...peak(thought, tensor, channel) });
    this.title.focus();
  }

  /** Shows the same place of another run. */
  update(thought: Thought): void {
    this.thought = thought;
    this.go(this.place);
  }

  private step(by: number): void {
    const tensor = this.place.tensor + by;
    if (this.thought && tensor >= 1 && tensor <= this.thought.header.layers.length)
      this.open(this.thought, tensor);
  }

  private go(place: Place): void {
    if (place.tensor !== this.place.tensor || place.channel !== this.place.channel) this.part = null;
    this.place = place;
    this.tell();
    this.draw();
    this.onPlace(place);
  }

  private tell(): void {
    const { thought, place } = this;
    if (!thought) return;
    const { header, model } = thought;
    const layer = header.layers[place.tensor - 1]!;
    const { height, width, channels } = thought.map(place.tensor);
    const parameters = parametersOf(model)[place.tensor]!;
    say(this.title, `Layer ${place.tensor} of ${header.layers.length}: ${nameOf(layer)}`);
    say(
      this.facts,
      `${layer.name} · ${sizesOf(header)[layer.from]!} → ${sizesOf(header)[place.tensor]!}${parameters ? ` · ${parameters.toLocaleString("en-GB")} parameters` : ", no parameters"}`,
    );
    say(this.text, about(layer, header));
    const value = thought.value(place.tensor, place.row, place.column, place.channel);
    say(
      this.channelsText,
      `${channels} channel${channels > 1 ? "s" : ""}, strongest first. Channel ${place.channel} is chosen.`,
    );
    say(
      this.mapText,
      `Channel ${place.channel}, ${width} × ${height}. Row ${place.row}, column ${place.column} is chosen.`,
    );
    const slide = (canvas: HTMLElement, name: string, now: number, most: number, text: string): void => {
      canvas.setAttribute("aria-label", name);
      canvas.setAttribute("aria-valuemin", "0");
      canvas.setAttribute("aria-valuemax", String(most));
      canvas.setAttribute("aria-valuenow", String(now));
      canvas.setAttribute("aria-valuetext", text);
    };
    const order = thought.strongest(place.tensor).indexOf(place.channel);
    slide(this.channels, "Channel", order, channels - 1, `channel ${place.channel}`);
    slide(
      this.map,
      "Pixel",
      place.row * width + place.column,
      width * height - 1,
      `row ${place.row}, column ${place.column}: ${decimal(value)}`,
    );
    const choose = (part: number): void => {
      this.part = part;
      this.tell();
      this.sum.querySelector<HTMLElement>("[aria-pressed=true]")?.focus();
    };
    this.sum.replaceChildren(...sumView(thought, place, this.part, choose));
  }

  private draw(): void {
    const { thought, place, host } = this;
    if (!thought || !host.offsetWidth) return;
    const map = thought.map(place.tensor);
    const order = thought.strongest(place.tensor);
    const accent = getComputedStyle(host).getPropertyValue("--marked");
    const side = Math.min(SIDE_PX * 1.5, this.channels.parentElement!.clientWidth);
    const { columns, cell } = this.grid(side);
    const context = fitted(this.channels, side, Math.ceil(order.length / columns) * cell);
    this.channels.style.width = `${side}px`;
    order.forEach((channel, i) => {
      const at = [
        (i % columns) * cell,
        Math.floor(i / columns) * cell,
        cell - GAP_PX,
        cell - GAP_PX,
      ] as const;
      drawMap(context, map, channel, at);
      if (channel === place.channel) mark(context, at, accent);
    });
    const wide = Math.min(SIDE_PX * 1.5, this.map.parentElement!.clientWidth);
    const scale = wide / Math.max(map.width, map.height);
    const large = fitted(this.map, map.width * scale, map.height * scale);
    this.map.style.width = `${map.width * scale}px`;
    drawMap(
      large,
      map,
      place.channel,
      [0, 0, map.width * scale, map.height * scale],
      largest(map, place.channel),
    );
    mark(large, [place.column * scale, place.row * scale, scale, scale], accent);
  }

  private grid(side: number): { columns: number; cell: number } {
    const columns = Math.ceil(Math.sqrt(this.thought!.map(this.place.tensor).channels));
    return { columns, cell: Math.min(side / columns, 120) };
  }

  private click(canvas: HTMLCanvasElement, event: MouseEvent): void {
    if (!this.thought) return;
    const box = canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const map = this.thought.map(this.place.tensor);
    if (canvas === this.map) {
      const column = Math.min(map.width - 1, Math.floor((x / box.width) * map.width));
      const row = Math.min(map.height - 1, Math.floor((y / box.height) * map.height));
      return this.go({ ...this.place, row: Math.max(0, row), column: Math.max(0, column) });
    }
    const { columns, cell } = this.grid(box.width);
    const channel = this.thought.strongest(this.place.tensor)[
      Math.floor(y / cell) * columns + Math.floor(x / cell)
    ];
    if (channel !== undefined) this.go({ ...this.place, channel });
  }

  private key(canvas: HTMLCanvasElement, event: KeyboardEvent): void {
    const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
    if (!this.thought || !step) return;
    event.preventDefault();
    const [x, y] = step as [number, number];
    const map = this.thought.map(this.place.tensor);
    if (canvas === this.map) {
      const row = Math.max(0, Math.min(map.height - 1, this.place.row + y));
      const column = Math.max(0, Math.min(map.width - 1, this.place.column + x));
      return this.go({ ...this.place, row, column });
    }
    const order = this.thought.strongest(this.place.tensor);
    const { columns } = this.grid(canvas.clientWidth);
    const channel = order[order.indexOf(this.place.channel) + x + columns * y];
    if (channel !== undefined) this.go({ ...this.place, channel });
  }
}

function mark(
  context: CanvasRenderingContext2D,
  [x, y, width, height]: readonly [number, number, number, number],
  colour: string,
): void {
  context.lineWidth = 4;
  context.strokeStyle = "#000";
  context.strokeRect(x, y, width, height);
  context.lineWidth = 2;
  context.strokeStyle = colour;
  context.strokeRect(x, y, width, height);
}

function peak(thought: Thought, tensor: number, channel: number): { row: number; column: number } {
  const { data, channels, width } = thought.map(tensor);
  let best = 0;
  for (let i = 0; i < data.length / channels; i++) {
    if (Math.abs(data[i * channels + channel]!) > Math.abs(data[best * channels + channel]!)) best = i;
  }
  return { row: Math.floor(best / width), column: best % width };
}
