/** What each channel that a convolution reads brings to its sum. */

import { make } from "../shared/elements.ts";
import { drawMap, fitted } from "./maps.ts";
import { bar, decimal } from "./numbers.ts";
import type { Part } from "./sum.ts";
import type { Of } from "./sum_view.ts";
import type { ForwardPass } from "./forward_pass.ts";

const MOST_PARTS = 8;
const THUMB_PX = 30;

/** A channel's number, or its colour in the image. */
export function channelName(pass: ForwardPass, from: number, channel: number): string {
  const isColour = from === 0 && pass.header.input.channels === 3;
  return isColour ? `${["red", "green", "blue"][channel]!}` : `channel ${channel}`;
}

/** Lists what each input channel brings, the largest first. */
export function bars(
  sorted: Part[],
  size: number,
  chosen: Part,
  pass: ForwardPass,
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
        ? channelName(pass, from, part.channel)
        : `${decimal(part.window[0] ?? 0)} × ${decimal(part.kernel[0]!)}`;
    const content = [
      thumb(pass, from, part.channel, found),
      make("span", "", text),
      bar(part.sum, most),
      make("span", "number", decimal(part.sum)),
    ];
    if (size === 1) {
      const row = make("li", "part", ...content);
      row.title = `input ${channelName(pass, from, part.channel)}: value × weight`;
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

/** A channel that the convolution reads, small, with its window. */
function thumb(
  pass: ForwardPass,
  from: number,
  channel: number,
  { top, left, size }: Of<"convolution">,
): HTMLElement {
  const canvas = make("canvas", "thumb");
  const map = pass.map(from);
  const context = fitted(canvas, THUMB_PX, THUMB_PX);
  drawMap(context, map, channel, [0, 0, THUMB_PX, THUMB_PX]);
  const [x, y] = [THUMB_PX / map.width, THUMB_PX / map.height];
  context.strokeStyle = "#fff";
  context.strokeRect(left * x, top * y, Math.max(3, size * x), Math.max(3, size * y));
  canvas.setAttribute("aria-hidden", "true");
  return canvas;
}
