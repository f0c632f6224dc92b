/** Numbers as the page shows them: three decimals, tables, bars, sums. */

import { make } from "../shared/elements.ts";
import { colourOf } from "./maps.ts";

/** A number with three decimals and a true minus. */
export function decimal(value: number): string {
  const text = value.toFixed(3).replace("-", "−");
  return text === "−0.000" ? "0.000" : text;
}

/** A table of a window, coloured as maps are; null is what lies beyond the edge. */
export function grid(
  name: string,
  values: readonly (number | null)[],
  size: number,
  marked = -1,
): HTMLElement {
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

/** A bar from the middle: to the right for what adds, to the left for what takes away. */
export function bar(value: number, most: number): HTMLElement {
  const inner = make("i", value < 0 ? "minus" : "plus");
  inner.style.width = `${Math.min(50, (50 * Math.abs(value)) / most)}%`;
  const outer = make("span", "signed", inner);
  outer.setAttribute("aria-hidden", "true");
  return outer;
}

/** Terms with their names, and their sum. */
export function equation(
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
