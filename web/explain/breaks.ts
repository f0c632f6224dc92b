/** Switches that break the network: what its positions, its lateral maps and its batch norms are worth. */

import type { Unpooling } from "../engine/index.ts";
import { make, say } from "../shared/elements.ts";
import type { Breakable, Breaks, ForwardPass } from "./forward_pass.ts";
import { UNBROKEN } from "./forward_pass.ts";
import { linksOf } from "./network.ts";
import type { Subject } from "./pictures.ts";
import { boundaryF1, Confusion, mean, meanIou, percent, scoreOf, type Score } from "./scores.ts";

const WAYS: [Unpooling, string][] = [
  ["positions", "by the positions"],
  ["first", "to the first corner"],
  ["random", "to a random corner"],
  ["everywhere", "to all four pixels"],
  ["bilinear", "bilinear"],
];

/** Builds the switches that a network has; returns what sets them all, as a click would. */
export function buildBreaks(
  host: HTMLElement,
  { engine, norms }: Breakable,
  change: (breaks: Breaks) => void,
): (breaks: Breaks) => void {
  const links = linksOf(engine.model.header);
  let chosen = UNBROKEN;
  const inputs: [HTMLInputElement, isChosen: () => boolean][] = [];
  const choose = (breaks: Breaks): void => {
    chosen = breaks;
    for (const [input, isChosen] of inputs) input.checked = isChosen();
    change(chosen);
  };
  const choice = (
    type: string,
    text: string,
    isChosen: () => boolean,
    next: (on: boolean) => Partial<Breaks>,
  ): [HTMLInputElement, HTMLElement] => {
    const input = make("input");
    [input.type, input.checked] = [type, isChosen()];
    input.addEventListener("change", () => choose({ ...chosen, ...next(input.checked) }));
    inputs.push([input, isChosen]);
    return [input, make("label", "choice", input, text)];
  };
  const added: HTMLElement[] = [];
  if (links.some(({ kind }) => kind === "positions")) {
    const choices = WAYS.map(([way, text]) => {
      const [input, label] = choice(
        "radio",
        text,
        () => chosen.unpooling === way,
        () => ({ unpooling: way }),
      );
      [input.name, input.value] = ["unpooling", way];
      return label;
    });
    added.push(make("fieldset", "choices", make("legend", "small soft", "Un-pool …"), ...choices));
  }
  const switches: [keyof Breaks & ("lateral" | "norms"), boolean, string][] = [
    ["lateral", links.some(({ kind }) => kind === "lateral"), "without the lateral maps"],
    ["norms", norms.some(Boolean), "with its batch norms taken out"],
  ];
  for (const [name, isThere, text] of switches) {
    if (!isThere) continue;
    const [input, label] = choice(
      "checkbox",
      text,
      () => !chosen[name],
      (on) => ({ [name]: !on }),
    );
    input.id = `no-${name}`;
    added.push(label);
  }
  if (added.length) host.append(make("h2", "", "Break it"), ...added);
  return choose;
}

export function isBroken(breaks: Breaks): boolean {
  return (Object.keys(UNBROKEN) as (keyof Breaks)[]).some((name) => breaks[name] !== UNBROKEN[name]);
}

/** The table of what a mask is worth: of the picture that is shown, and of all drawn pets. */
export class ScoreTable {
  private readonly table = make("table", "scores small");
  private readonly text = make("p", "small soft");
  private readonly apart: Breakable;
  private readonly ofAll = new Map<string, Promise<Score>>();
  private pets: Subject[] = [];
  private turn = 0;

  /** @param network is scored with memory of its own, so that the maps that are shown stay. */
  constructor(
    host: HTMLElement,
    network: Breakable,
    private readonly open: () => Promise<Subject[]>,
  ) {
    this.apart = network.again();
    host.append(this.table, this.text);
  }

  /** Shows what a pass's mask is worth beside the unbroken network's; the sentence for screen readers is returned. */
  show(pass: ForwardPass, subject: Subject, unbroken: Uint8Array): string {
    const turn = ++this.turn;
    const { header, breaks, mask } = pass;
    const [broken, classes] = [isBroken(breaks), header.classes.names.length];
    const { truth, picture } = subject;
    if (!truth) {
      const same = percent(meanIou(mask, unbroken, classes));
      this.table.hidden = true;
      say(
        this.text,
        broken ? `Mean IoU with the unbroken mask: ${same}. The photo’s true mask is unknown.` : "",
      );
      return this.text.textContent;
    }
    const whole = scoreOf(unbroken, truth, picture.width, classes);
    const own = [whole, broken ? scoreOf(mask, truth, picture.width, classes) : whole];
    this.fill(broken, own, null);
    setTimeout(() => void this.showAll(turn, breaks, own), 50); // after what was clicked is painted
    const [before, now] = own as [Score, Score];
    return broken
      ? `Mean IoU ${percent(now.iou)} in place of ${percent(before.iou)}.`
      : `Mean IoU ${percent(before.iou)}, boundary F1 ${percent(before.outline)}.`;
  }

  private async showAll(turn: number, breaks: Breaks, own: Score[]): Promise<void> {
    if (!this.pets.length) this.pets = await this.open();
    const all = [await this.scoreAll(UNBROKEN), await this.scoreAll(breaks)];
    if (turn === this.turn) this.fill(isBroken(breaks), own, all);
  }

  /** Scores all drawn pets, a few milliseconds at a time. */
  private scoreAll(breaks: Breaks): Promise<Score> {
    const key = JSON.stringify(breaks);
    const found = this.ofAll.get(key) ?? this.computeAll(breaks);
    this.ofAll.set(key, found);
    return found;
  }

  private async computeAll(breaks: Breaks): Promise<Score> {
    const { header } = this.apart.engine.model;
    const classes = header.classes.names.length;
    const confusion = new Confusion(classes);
    const outlines: number[] = [];
    for (const { picture, truth } of this.pets) {
      if (!truth) continue;
      const { mask } = this.apart.run(picture, breaks);
      confusion.add(mask, truth);
      outlines.push(boundaryF1(mask, truth, picture.width, classes));
      await new Promise((done) => setTimeout(done));
    }
    return { iou: confusion.meanIou, outline: mean(outlines) };
  }

  private fill(broken: boolean, own: Score[], all: Score[] | null): void {
    const head = ["", ...(broken ? ["whole", "broken"] : ["score"])];
    const count = this.pets.filter(({ truth }) => truth).length;
    const row = (name: string, scores: Score[] | null, of: keyof Score): HTMLElement =>
      make(
        "tr",
        "",
        cell("row", name),
        ...(broken ? [0, 1] : [0]).map((i) => make("td", "", scores ? percent(scores[i]![of]) : "…")),
      );
    this.table.hidden = false;
    this.table.replaceChildren(
      make("thead", "", make("tr", "", ...head.map((text) => cell("col", text)))),
      make(
        "tbody",
        "",
        row("This pet, mean IoU", own, "iou"),
        row("boundary F1", own, "outline"),
        row(`${count || "All"} pets, mean IoU`, all, "iou"),
        row("boundary F1", all, "outline"),
      ),
    );
    say(this.text, "Against the drawn pets’ true masks. Boundary F1 scores outlines alone.");
  }
}

function cell(scope: "row" | "col", text: string): HTMLElement {
  if (!text) return make("td");
  const made = make("th", "", text);
  made.scope = scope;
  return made;
}
