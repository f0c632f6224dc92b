/** The whole network as maps: encoder down, bottleneck, decoder up, and what passes between them. */

import type { Model } from "../engine/index.ts";
import { make } from "../shared/elements.ts";
import { count } from "../shared/words.ts";
import { drawMap, fitted } from "./maps.ts";
import { linksOf, nameOf, parametersOf, sizesOf, stagesOf, type Link } from "./network.ts";
import type { ForwardPass } from "./forward_pass.ts";

const GAP_PX = 4;
const LONG = 7; // layers; a longer stage has two columns
const COLUMN_PX = 84; // narrower ones can't be read: the stages then stand below each other
const COLOURS = { positions: "--positions", lateral: "--lateral" } as const;

type Rectangle = readonly [x: number, y: number, width: number, height: number];

export class Overview {
  private readonly canvas = make("canvas", "lines");
  private readonly buttons: HTMLButtonElement[] = [];
  private readonly stages: HTMLElement[] = [];
  private readonly links: Link[];
  private readonly columns: number;
  private pass: ForwardPass | null = null;

  /** @param open is called with a layer's tensor when a visitor opens it. */
  constructor(
    private readonly host: HTMLElement,
    model: Model,
    private readonly open: (tensor: number) => void,
  ) {
    const { header } = model;
    const [sizes, parameters] = [sizesOf(header), parametersOf(model)];
    const stages = stagesOf(header);
    this.links = linksOf(header);
    const list = make("ol", "stages");
    for (const { title, level, tensors } of stages) {
      const layers = make("div", "layers");
      const total = tensors.reduce((sum, tensor) => sum + parameters[tensor]!, 0);
      const cost = make("p", "size", total ? `${count(total)} params` : "no params");
      const stage = make("li", "stage", make("h3", "", title), cost, layers);
      stage.style.setProperty("--level", String(level));
      if (tensors.length > LONG) stage.classList.add("double");
      for (const tensor of tensors) {
        const layer = header.layers[tensor - 1]!;
        const lateral = this.links.some(({ kind, from }) => kind === "lateral" && from === tensor);
        const cost = parameters[tensor] ? `, ${count(parameters[tensor]!)} parameters` : "";
        const name =
          lateral && layer.op === "conv" ? `lateral ${layer.kernel}×${layer.kernel}` : nameOf(layer, true);
        const what = make("span", "what", name);
        const size = make("span", "size", sizes[tensor]!);
        const button = make("button", "layer-button", what, size, make("span", "strip"));
        button.type = "button";
        button.title = `${nameOf(layer)}: ${sizes[tensor]!}${cost}`;
        button.dataset["tensor"] = String(tensor);
        button.addEventListener("click", () => this.open(tensor));
        button.addEventListener("keydown", (event) => this.walk(event, tensor));
        button.addEventListener("focus", () => this.moveTabStop(tensor));
        button.tabIndex = tensor === 1 ? 0 : -1;
        this.buttons[tensor] = button;
        layers.append(button);
      }
      this.stages.push(stage);
      list.append(stage);
    }
    const widths = stages.map(({ tensors }) => (tensors.length > LONG ? 1.98 : 1));
    this.columns = widths.reduce((sum, width) => sum + width, 0);
    host.style.setProperty("--columns", widths.map((width) => `minmax(0, ${width}fr)`).join(" "));
    this.canvas.setAttribute("aria-hidden", "true");
    host.append(list, this.canvas);
    new ResizeObserver(() => this.draw()).observe(host);
  }

  show(pass: ForwardPass): void {
    this.pass = pass;
    this.draw();
  }

  focus(tensor: number): void {
    this.buttons[tensor]?.focus();
  }

  /** Lets Tab come back to the layer that had the focus last; arrow keys go to the others. */
  private moveTabStop(tensor: number): void {
    this.buttons.forEach((button, each) => (button.tabIndex = each === tensor ? 0 : -1));
  }

  private walk(event: KeyboardEvent, tensor: number): void {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const next = step && this.buttons[tensor + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
  }

  private draw(): void {
    const { host, pass, canvas } = this;
    if (!pass || !host.offsetWidth) return;
    const isWide = host.offsetWidth >= this.columns * COLUMN_PX;
    host.classList.toggle("wide", isWide);
    const context = fitted(canvas, host.offsetWidth, host.offsetHeight);
    this.buttons.forEach((button, tensor) => this.drawStrip(context, pass, button, tensor));
    this.links.forEach((link, index) => this.drawLink(context, link, index, isWide));
  }

  /** Draws as many of a layer's maps as fit, the strongest first. */
  private drawStrip(
    context: CanvasRenderingContext2D,
    pass: ForwardPass,
    button: HTMLButtonElement,
    tensor: number,
  ): void {
    const [left, top, room, height] = this.place(button.lastElementChild as HTMLElement);
    const map = pass.map(tensor);
    const width = Math.min(2 * height, (height * map.width) / map.height);
    const count = Math.max(1, Math.floor((room + GAP_PX) / (width + GAP_PX)));
    const channels = pass.strongest(tensor).slice(0, count);
    channels.forEach((channel, i) => {
      drawMap(context, map, channel, [left + i * (width + GAP_PX), top, width, height]);
    });
  }

  private drawLink(
    context: CanvasRenderingContext2D,
    { kind, from, to }: Link,
    index: number,
    isWide: boolean,
  ): void {
    const [x, y, width, height] = this.place(this.buttons[from]!);
    const [left, top, wide, high] = this.place(this.buttons[to]!);
    const isPositions = kind === "positions";
    const broken = isPositions ? this.pass!.breaks.unpooling !== "positions" : !this.pass!.breaks.lateral;
    context.strokeStyle = context.fillStyle = getComputedStyle(this.host).getPropertyValue(COLOURS[kind]);
    context.lineWidth = 1.75;
    context.globalAlpha = broken ? 0.35 : 1;
    context.setLineDash(broken ? [3, 4] : []);
    context.beginPath();
    if (isWide) {
      const aside = isPositions ? 6 : 11;
      const band = this.bandOf(from) + (isPositions ? 7 : 17);
      const [start, end] = [y + height / 2, top + (isPositions ? high / 3 : (2 * high) / 3)];
      context.moveTo(x + width, start);
      for (const [px, py] of [
        [x + width + aside, start],
        [x + width + aside, band],
        [left - aside, band],
        [left - aside, end],
        [left - 1, end],
      ] as const)
        context.lineTo(px, py);
      this.tip(context, left, end, 1);
    } else {
      const aside = x + width + 6 + 5 * index;
      const [start, end] = [y + height / 2, top + (isPositions ? high / 3 : (2 * high) / 3)];
      context.moveTo(x + width, start);
      for (const [px, py] of [
        [aside, start],
        [aside, end],
        [left + wide + 1, end],
      ] as const)
        context.lineTo(px, py);
      this.tip(context, left + wide, end, -1);
    }
    context.stroke();
    context.globalAlpha = 1;
    context.setLineDash([]);
  }

  private tip(context: CanvasRenderingContext2D, x: number, y: number, way: 1 | -1): void {
    context.moveTo(x - 5 * way, y - 3.5);
    context.lineTo(x - way, y);
    context.lineTo(x - 5 * way, y + 3.5);
  }

  /** Returns where the band above the deeper stages begins: the top of the layer's own stage. */
  private bandOf(tensor: number): number {
    const stage = this.stages.find((each) => each.contains(this.buttons[tensor]!))!;
    return this.place(stage)[1];
  }

  private place(element: HTMLElement): Rectangle {
    const [at, base] = [element.getBoundingClientRect(), this.host.getBoundingClientRect()];
    return [at.left - base.left, at.top - base.top, at.width, at.height];
  }
}
