/** Switches that break the network: what its positions and its lateral maps are worth. */

import type { Header, Unpooling } from "../engine/index.ts";
import { make, say } from "../shared/elements.ts";
import { linksOf } from "./network.ts";
import { meanIou, UNBROKEN, type Breaks } from "./forward_pass.ts";

const WAYS: [Unpooling, string][] = [
  ["positions", "by the positions"],
  ["first", "to the first corner"],
  ["random", "to a random corner"],
  ["everywhere", "to all four pixels"],
  ["bilinear", "bilinear"],
];

/** Builds the switches that a network has; `change` is called with what is chosen. */
export function buildBreaks(host: HTMLElement, header: Header, change: (breaks: Breaks) => void): void {
  const links = linksOf(header);
  const chosen = { ...UNBROKEN };
  if (!links.length) return;
  host.append(make("h2", "", "Break it"));
  if (links.some(({ kind }) => kind === "positions")) {
    const choices = WAYS.map(([way, text]) => {
      const input = make("input");
      [input.type, input.name, input.value, input.checked] = [
        "radio",
        "unpooling",
        way,
        way === chosen.unpooling,
      ];
      input.addEventListener("change", () => {
        chosen.unpooling = way;
        change({ ...chosen });
      });
      return make("label", "choice", input, text);
    });
    host.append(make("fieldset", "choices", make("legend", "small soft", "Un-pool …"), ...choices));
  }
  if (links.some(({ kind }) => kind === "lateral")) {
    const input = make("input");
    [input.type, input.id] = ["checkbox", "no-lateral"];
    input.addEventListener("change", () => {
      chosen.lateral = !input.checked;
      change({ ...chosen });
    });
    host.append(make("label", "choice", input, "without the lateral maps"));
  }
}

/** Says what the mask is worth: against the truth, or where there is none against the unbroken mask. */
export function tellScore(
  element: HTMLElement,
  { classes }: Header,
  masks: { mask: Uint8Array; unbroken: Uint8Array; truth: Uint8Array | null },
  isBroken: boolean,
): void {
  const count = classes.names.length;
  const { mask, unbroken, truth } = masks;
  const percent = (iou: number): string => `${(100 * iou).toFixed(1)} %`;
  if (!truth) {
    const same = percent(meanIou(mask, unbroken, count));
    say(
      element,
      isBroken ? `Mean IoU with the unbroken mask: ${same}. The photo’s true mask is unknown.` : "",
    );
    return;
  }
  const [now, before] = [meanIou(mask, truth, count), meanIou(unbroken, truth, count)];
  const cost = 100 * (before - now);
  const change = cost >= 0 ? `${cost.toFixed(1)} points less` : `${(-cost).toFixed(1)} points more`;
  const compared = isBroken ? `, ${change} than unbroken (${percent(before)})` : "";
  say(element, `Mean IoU with the drawn pet’s true mask: ${percent(now)}${compared}.`);
}
