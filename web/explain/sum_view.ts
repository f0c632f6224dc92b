/** One value of a map as a sum with its real numbers. */

import { make } from "../shared/elements.ts";
import { colourOf, drawMap, fitted } from "./maps.ts";
import { explain, type Explanation, type Part, type Place } from "./sum.ts";
import type { Thought } from "./thought.ts";

const MOST_PARTS = 8;
const THUMB_PX = 30;

type Of<Kind extends Explanation["kind"]> = Extract<Explanation, { kind: Kind }>;

/** A number with three decimals and a true minus. */
export function decimal(value: number): string {
  const text = value.toFixed(3).replace("-", "−");
  return text === "−0.000" ? "0.000" : text;
}

/** Returns what shows how a value comes about; `chosen` is the channel whose window is shown, by default the largest part. */
export function sumView(
  thought: Thought,
  place: Place,
  chosen: number | null,
  choose: (channel: number) => void,
): Node[] {
  const found = explain(thought, place);
  const nodes = body(found, thought, place, chosen, choose);
  const value = make("p", "equals", `Value: `, make("output", "", decimal(found.value)));
  return [...nodes, value];
}

function body(
  found: Explanation,
  thought: Thought,
  place: Place,
  chosen: number | null,
  choose: (channel: number) => void,
): Node[] {
  const from = place.tensor ? thought.header.layers[place.tensor - 1]!.from : 0;
  switch (found.kind) {
    case "convolution":
      return convolution(found, thought, from, place, chosen, choose);
    case "pool":
      return pool(found);
    case "unpool":
      return unpool(found);
    case "spread":
      return [
        make("p", "", "This un-pool doesn’t follow positions: it spreads the smaller map over all pixels."),
        equation([["from the smaller map", found.put], ...addition(found.added, "lateral map")]),
      ];
    case "copy":
      return [
        make(
          "p",
          "",
          `Nothing is computed: the value comes from channel ${found.channel} at row ${found.row}, column ${found.column}. Channels become neighbouring pixels.`,
        ),
      ];
    case "pixel":
      return [make("p", "sum", `${found.byte} × ${found.scale.toFixed(5)} + ${decimal(found.shift)}`)];
  }
}

function convolution(
  found: Of<"convolution">,
  thought: Thought,
  from: number,
  place: Place,
  chosen: number | null,
  choose: (channel: number) => void,
): Node[] {
  const { parts, size, bias, added, sum, activation, value } = found;
  const sorted = [...parts].sort((a, b) => Math.abs(b.sum) - Math.abs(a.sum));
  const part = parts.find(({ channel }) => channel === chosen) ?? sorted[0]!;
  const nodes: Node[] = [];
  if (size > 1) {
    const isAlone = parts.length === 1;
    const which = isAlone
      ? "A depthwise convolution reads its own channel alone."
      : `The window of input ${channelName(thought, from, part.channel)}:`;
    nodes.push(make("p", "small", which), windows(part, size));
  }
  if (parts.length > 1) nodes.push(bars(sorted, size, part, thought, from, found, choose));
  const products = parts.reduce((total, each) => total + each.sum, 0);
  const terms: [string, number][] = [["products", products], ["bias", bias], ...addition(added, "added map")];
  nodes.push(equation(terms, sum));
  if (activation !== "none") {
    const name = activation === "relu" ? "ReLU" : "ReLU6";
    const what = value === sum ? "leaves it as it is" : sum < 0 ? "makes it 0" : "limits it to 6";
    nodes.push(make("p", "sum", `${name} ${what}: ${decimal(sum)} → ${decimal(value)}`));
  }
  const isLateral = place.tensor > 0 && activation === "none" && size === 1;
  if (isLateral) nodes.push(make("p", "small soft", "No ReLU here: the value may stay negative."));
  return nodes;
}

/** A channel's number, or its colour in the image. */
function channelName(thought: Thought, from: number, channel: number): string {
  const isColour = from === 0 && thought.header.input.channels === 3;
  return isColour ? `${["red", "green", "blue"][channel]!}` : `channel ${channel}`;
}

function addition(added: number | null, name: string): [string, number][] {
  return added === null ? [] : [[name, added]];
}

/** Window, kernel and products as three tables of numbers. */
function windows({ window, kernel, sum }: Part, size: number): HTMLElement {
  const products = window.map((value, i) => (value ?? 0) * kernel[i]!);
  return make(
    "div",
    "windows",
    grid("window", window, size),
    make("span", "sign", "×"),
    grid("kernel", kernel, size),
    make("span", "sign", "="),
    grid(`products, sum ${decimal(sum)}`, products, size),
  );
}

function grid(name: string, values: readonly (number | null)[], size: number, marked = -1): HTMLElement {
  const most = Math.max(...values.map((value) => Math.abs(value ?? 0)));
  const rows = Array.from({ length: size }, (_, r) => {
    const cells = values.slice(r * size, (r + 1) * size).map((value, c) => {
      const cell = make("td", r * size + c === marked ? "marked" : "", value === null ? "0" : decimal(value));
      if (value === null) cell.title = "beyond the edge of the map a convolution reads 0";
      paintCell(cell, value ?? 0, most);
      return cell;
    });
    return make("tr", "", ...cells);
  });
  return make(
    "table",
    `grid${size > 4 ? " dense" : ""}`,
    make("caption", "", name),
    make("tbody", "", ...rows),
  );
}

function paintCell(cell: HTMLElement, value: number, most: number): void {
  const colour = colourOf(value, most);
  const [red, green, blue] = colour.match(/\d+/g)!.map((byte) => (Number(byte) / 255) ** 2.2) as [
    number,
    number,
    number,
  ];
  cell.style.background = colour;
  cell.style.color = 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18 ? "#000" : "#fff";
}

/** What each input channel brings, the largest first. */
function bars(
  sorted: Part[],
  size: number,
  chosen: Part,
  thought: Thought,
  from: number,
  found: Of<"convolution">,
  choose: (channel: number) => void,
): HTMLElement {
  const shown = sorted.slice(0, MOST_PARTS);
  const others = sorted.slice(MOST_PARTS);
  const most = Math.abs(sorted[0]!.sum) || 1;
  const rows = shown.map((part) => {
    const text =
      size > 1
        ? channelName(thought, from, part.channel)
        : `${decimal(part.window[0] ?? 0)} × ${decimal(part.kernel[0]!)}`;
    const content = [
      thumb(thought, from, part.channel, found),
      make("span", "", text),
      bar(part.sum, most),
      make("span", "number", decimal(part.sum)),
    ];
    if (size === 1) {
      const row = make("li", "part", ...content);
      row.title = `input ${channelName(thought, from, part.channel)}: value × weight`;
      return row;
    }
    const button = make("button", "part", ...content);
    button.type = "button";
    button.setAttribute("aria-pressed", String(part === chosen));
    button.addEventListener("click", () => choose(part.channel));
    return make("li", "", button);
  });
  if (others.length) {
    const sum = others.reduce((total, part) => total + part.sum, 0);
    const text = `${others.length} other${others.length > 1 ? "s" : ""}`;
    rows.push(
      make(
        "li",
        "part",
        make("span"),
        make("span", "", text),
        bar(sum, most),
        make("span", "number", decimal(sum)),
      ),
    );
  }
  return make("ul", "parts", ...rows);
}

/** A bar from the middle: to the right for what adds, to the left for what takes away. */
function bar(value: number, most: number): HTMLElement {
  const inner = make("i", value < 0 ? "minus" : "plus");
  inner.style.width = `${Math.min(50, (50 * Math.abs(value)) / most)}%`;
  const outer = make("span", "signed", inner);
  outer.setAttribute("aria-hidden", "true");
  return outer;
}

/** A channel that the convolution reads, small, with its window. */
function thumb(
  thought: Thought,
  from: number,
  channel: number,
  { top, left, size }: Of<"convolution">,
): HTMLElement {
  const canvas = make("canvas", "thumb");
  const map = thought.map(from);
  const context = fitted(canvas, THUMB_PX, THUMB_PX);
  drawMap(context, map, channel, [0, 0, THUMB_PX, THUMB_PX]);
  const [x, y] = [THUMB_PX / map.width, THUMB_PX / map.height];
  context.strokeStyle = "#fff";
  context.strokeRect(left * x, top * y, Math.max(3, size * x), Math.max(3, size * y));
  canvas.setAttribute("aria-hidden", "true");
  return canvas;
}

function pool({ window, code, value }: Of<"pool">): Node[] {
  const bits = code.toString(2).padStart(2, "0");
  return [
    make("div", "windows", grid("window", window, 2, code)),
    make("p", "sum", `Largest of the four: ${decimal(value)}`),
    make(
      "p",
      "",
      `It stands in the ${PLACES[code]!}: code `,
      make("b", "", bits),
      `, two bits. The decoder gets this code, not the value’s row and column.`,
    ),
  ];
}

const PLACES = ["upper left", "upper right", "lower left", "lower right"];

function unpool({ from, row, column, code, lands, put, added }: Of<"unpool">): Node[] {
  const bits = code.toString(2).padStart(2, "0");
  const where = `The smaller map has ${decimal(from)} at row ${row}, column ${column}. Its code is `;
  const what = lands
    ? `: ${PLACES[code]!}. That is this pixel, so the value lands here.`
    : `: ${PLACES[code]!}. That is a neighbour of this pixel, so this pixel gets 0.`;
  const corners = [0, 1, 2, 3].map((each) => (each === code ? from : 0));
  return [
    make("p", "", where, make("b", "", bits), what),
    make("div", "windows", grid("the four pixels", corners, 2, code)),
    equation([["un-pooled", put], ...addition(added, "lateral map")]),
  ];
}

function equation(
  terms: [string, number][],
  sum = terms.reduce((total, [, value]) => total + value, 0),
): HTMLElement {
  const parts = terms.flatMap(([name, value], i) => [
    ...(i ? [make("span", "sign", "+")] : []),
    make("span", "term", make("b", "", decimal(value)), make("small", "", name)),
  ]);
  const total = make("span", "term", make("b", "", decimal(sum)), make("small", "", "sum"));
  return make("p", "equation", ...parts, make("span", "sign", "="), total);
}
