/** Painting a drawn pet's mask by hand, with its scores beside the network's while it is painted. */

import type { Header } from "../engine/index.ts";
import { make, say } from "../shared/elements.ts";
import { STEPS } from "./choosers.ts";
import { fitted } from "./maps.ts";
import { drawMask, drawPicture, type Subject } from "./pictures.ts";
import { percent, scoreOf } from "./scores.ts";

const SIDE_PX = 620;
const SIZES_PX = [3, 7, 13]; // diameters of the brush, in the picture's pixels
const KEPT = 50; // strokes that can be taken back

export class PaintView {
  private readonly canvas = make("canvas", "map");
  private readonly photo = make("canvas");
  private readonly layer = make("canvas");
  private readonly text = make("p");
  private readonly seen = make("input");
  private readonly undoing = make("button", "", "Undo");
  private readonly tools: HTMLElement;
  private readonly painted = new Map<string, Uint8Array>();
  private subject: Subject | null = null;
  private mask: Uint8Array = new Uint8Array();
  private before: Uint8Array[] = [];
  private networks: Uint8Array = new Uint8Array();
  private networksScore: string | null = null;
  private brush = SIZES_PX[1]!;
  private colour = 0;
  private cursor: [x: number, y: number] = [0, 0];
  private last: [x: number, y: number] | null = null;
  private isDown = false;
  private isChanged = false; // since the scores were taken

  constructor(
    private readonly host: HTMLElement,
    private readonly header: Header,
  ) {
    const { names, colours } = header.classes;
    this.colour = header.background === 0 ? 1 : 0;
    const classes = names.map((name, id) => {
      const swatch = make("span", "swatch");
      swatch.style.background = `rgb(${colours[id]!.join(" ")})`;
      return radio("brush-class", id === this.colour, () => (this.colour = id), swatch, name);
    });
    const sizes = SIZES_PX.map((size) =>
      radio("brush-size", size === this.brush, () => (this.brush = size), `${size} pixels`),
    );
    const clear = make("button", "", "Start again");
    for (const button of [this.undoing, clear]) button.type = "button";
    this.undoing.addEventListener("click", () => this.undo());
    clear.addEventListener("click", () => this.stroke(() => this.mask.fill(this.ground)));
    [this.seen.type, this.seen.id] = ["checkbox", "show-truth"];
    this.seen.addEventListener("change", () => this.draw());
    this.tools = make(
      "div",
      "tools",
      make("fieldset", "choices row", make("legend", "small soft", "Class"), ...classes),
      make("fieldset", "choices row", make("legend", "small soft", "Brush"), ...sizes),
      make(
        "div",
        "choices row",
        this.undoing,
        clear,
        make("label", "choice", this.seen, "show the true mask"),
      ),
    );
    this.canvas.id = "painting";
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute("aria-roledescription", "painting");
    this.text.setAttribute("role", "status");
    host.append(
      make("h2", "title", "Paint the mask yourself"),
      make(
        "p",
        "",
        "Give each pixel of the drawn pet its class, as people do who label images. The scores say how near you and the network come to the true mask. With the keyboard: arrow keys move, space paints, Ctrl+Z takes back.",
      ),
      this.tools,
      this.canvas,
      this.text,
    );
    this.listen();
    new ResizeObserver(() => this.draw()).observe(host);
  }

  /** Shows a picture with what was painted on it before; `mask` is the network's. */
  show(subject: Subject, mask: Uint8Array): void {
    [this.networks, this.networksScore] = [mask.slice(), null];
    if (subject !== this.subject) {
      this.subject = subject;
      const { width, height } = subject.picture;
      this.mask = this.painted.get(subject.name) ?? new Uint8Array(width * height).fill(this.ground);
      this.painted.set(subject.name, this.mask);
      this.before = [];
      this.cursor = [width >> 1, height >> 1];
      drawPicture(this.photo, subject.picture);
    }
    this.isChanged = true;
    this.draw();
  }

  private get ground(): number {
    return this.header.background ?? 0;
  }

  private listen(): void {
    const { canvas } = this;
    const place = (event: PointerEvent): [number, number] => {
      const { left, top, width, height } = canvas.getBoundingClientRect();
      const { picture } = this.subject!;
      return this.inside(
        Math.floor(((event.clientX - left) / width) * picture.width),
        Math.floor(((event.clientY - top) / height) * picture.height),
      );
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      this.isDown = true;
      this.last = this.cursor = place(event);
      this.stroke(() => this.dab(...this.cursor));
    });
    canvas.addEventListener("pointermove", (event) => {
      this.cursor = place(event);
      if (this.isDown) {
        this.line(this.cursor);
        this.isChanged = true;
      }
      this.draw();
    });
    for (const kind of ["pointerup", "pointercancel"] as const)
      canvas.addEventListener(kind, () => (this.isDown = false));
    canvas.addEventListener("keydown", (event) => {
      if (event.key === "z" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        this.undo();
        return;
      }
      const step = STEPS[event.key];
      if (!step && event.key !== " ") return;
      event.preventDefault();
      if (step) {
        this.cursor = this.inside(this.cursor[0] + step[0], this.cursor[1] + step[1]);
        this.draw();
      } else this.stroke(() => this.dab(...this.cursor));
    });
  }

  private inside(x: number, y: number): [x: number, y: number] {
    const { width, height } = this.subject!.picture;
    return [Math.max(0, Math.min(width - 1, x)), Math.max(0, Math.min(height - 1, y))];
  }

  /** Changes the mask in a way that can be taken back. */
  private stroke(change: () => void): void {
    this.before.push(this.mask.slice());
    if (this.before.length > KEPT) this.before.shift();
    change();
    this.isChanged = true;
    this.draw();
  }

  private undo(): void {
    const before = this.before.pop();
    if (before) this.mask.set(before);
    this.isChanged = true;
    this.draw();
  }

  private line(to: [number, number]): void {
    const [x, y] = this.last ?? to;
    const steps = Math.max(1, Math.abs(to[0] - x), Math.abs(to[1] - y));
    for (let i = 1; i <= steps; i++)
      this.dab(Math.round(x + ((to[0] - x) * i) / steps), Math.round(y + ((to[1] - y) * i) / steps));
    this.last = to;
  }

  private dab(x: number, y: number): void {
    const { width, height } = this.subject!.picture;
    const reach = this.brush / 2;
    for (let row = Math.max(0, Math.ceil(y - reach)); row <= Math.min(height - 1, y + reach); row++) {
      for (
        let column = Math.max(0, Math.ceil(x - reach));
        column <= Math.min(width - 1, x + reach);
        column++
      ) {
        if ((row - y) ** 2 + (column - x) ** 2 <= reach ** 2) this.mask[row * width + column] = this.colour;
      }
    }
  }

  private draw(): void {
    const { subject, host, canvas } = this;
    if (!subject || !host.offsetWidth) return;
    const { picture, truth } = subject;
    const isPossible = truth !== null;
    for (const part of [this.tools, canvas]) part.hidden = !isPossible;
    this.undoing.disabled = !this.before.length;
    if (!isPossible) {
      say(this.text, "The true mask of this picture is unknown. Choose one of the drawn pets above.");
      return;
    }
    const width = Math.min(SIDE_PX, host.clientWidth);
    const scale = width / picture.width;
    canvas.style.width = `${width}px`;
    const context = fitted(canvas, width, picture.height * scale);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.photo, 0, 0, width, picture.height * scale);
    drawMask(this.layer, this.seen.checked ? truth : this.mask, picture.width, this.header, this.ground);
    context.globalAlpha = 0.6;
    context.drawImage(this.layer, 0, 0, width, picture.height * scale);
    context.globalAlpha = 1;
    const [x, y] = this.cursor.map((each) => (each + 0.5) * scale) as [number, number];
    for (const [wide, colour] of [
      [3.5, "#000"],
      [1.75, "#fff"],
    ] as const) {
      [context.lineWidth, context.strokeStyle] = [wide, colour];
      context.beginPath();
      context.arc(x, y, (this.brush / 2) * scale, 0, 2 * Math.PI);
      context.stroke();
    }
    this.tell(truth, picture.width);
  }

  private tell(truth: Uint8Array, width: number): void {
    const { names } = this.header.classes;
    if (this.isChanged) {
      this.networksScore ??= this.score(this.networks, truth, width);
      say(this.text, `You: ${this.score(this.mask, truth, width)}. The network: ${this.networksScore}.`);
    }
    this.isChanged = false;
    const [x, y] = this.cursor;
    const here = names[this.mask[y * width + x] ?? this.ground];
    this.canvas.setAttribute(
      "aria-label",
      `Row ${y}, column ${x}: ${here}. Space paints ${names[this.colour]}.`,
    );
  }

  private score(mask: Uint8Array, truth: Uint8Array, width: number): string {
    const { iou, outline } = scoreOf(mask, truth, width, this.header.classes.names.length);
    return `mean IoU ${percent(iou)}, boundary F1 ${percent(outline)}`;
  }
}

function radio(name: string, checked: boolean, choose: () => void, ...label: (Node | string)[]): HTMLElement {
  const input = make("input");
  [input.type, input.name, input.checked] = ["radio", name, checked];
  input.addEventListener("change", choose);
  return make("label", "choice", input, make("span", "", ...label));
}
