/** A training as it went: a slider over its epochs, its loss curve, and what the network made of a few pictures. */

import { make, say } from "../shared/elements.ts";
import type { Learning } from "./contents.ts";
import { fitted } from "./maps.ts";

const HEIGHT_PX = 190;
const EDGE_PX = 34;
const STEP_MS = 500;

export class LearnView {
  private readonly slider = make("input");
  private readonly curve = make("canvas", "curve");
  private readonly text = make("p");
  private readonly play = make("button", "", "Play");
  private readonly masks: HTMLImageElement[];
  private timer = 0;

  constructor(
    private readonly host: HTMLElement,
    private readonly learning: Learning,
  ) {
    const { epochs, pictures, classes } = learning;
    const { slider, play } = this;
    [slider.type, slider.min, slider.max, slider.id] = ["range", "0", String(epochs.length - 1), "epoch"];
    slider.value = slider.max;
    slider.addEventListener("input", () => {
      this.stop();
      this.show();
    });
    [play.type, play.id] = ["button", "play"];
    play.addEventListener("click", () => (this.timer ? this.stop() : this.start()));
    this.curve.setAttribute("role", "img");
    this.masks = pictures.map(({ name }) => picture("", `The network’s mask of ${name}`));
    const rows = pictures.map(({ name, image, truth }, i) =>
      make(
        "li",
        "",
        figure(picture(image, name), "picture"),
        figure(this.masks[i]!, "mask"),
        figure(picture(truth, `The true mask of ${name}`), "truth"),
      ),
    );
    const legend = Object.entries(classes).map(([name, colour]) => {
      const swatch = make("span", "swatch");
      swatch.style.background = colour;
      return make("span", "", swatch, name);
    });
    host.append(
      make("h2", "title", "How it learns"),
      make(
        "p",
        "",
        "Before training, masks are noise. Each epoch shows the network all training images once. First it learns what is background, then where the pet is, and last its outline.",
      ),
      make("p", "small soft", learning.run),
      make("div", "choices row", make("label", "choice epoch", "Epoch", slider), play),
      this.text,
      this.curve,
      make("p", "legend small", ...legend),
      make("ul", "learnt", ...rows),
    );
    this.show();
    new ResizeObserver(() => this.drawCurves()).observe(host);
  }

  /** Ends what plays, when another view is shown. */
  stop(): void {
    clearInterval(this.timer);
    this.timer = 0;
    say(this.play, "Play");
  }

  private start(): void {
    const { slider } = this;
    if (slider.value === slider.max) slider.value = "0";
    say(this.play, "Pause");
    this.show();
    this.timer = window.setInterval(() => {
      slider.value = String(Number(slider.value) + 1);
      this.show();
      if (slider.value === slider.max) this.stop();
    }, STEP_MS);
  }

  private get now(): Learning["epochs"][number] {
    return this.learning.epochs[Number(this.slider.value)]!;
  }

  private show(): void {
    const { now, curve, slider } = this;
    now.masks.forEach((mask, i) => (this.masks[i]!.src = `data:image/webp;base64,${mask}`));
    const said = `Epoch ${now.epoch}: training loss ${shown(now.loss)}, mean IoU ${shown(now.iou)} on validation images.`;
    say(this.text, said);
    slider.setAttribute("aria-valuetext", said);
    curve.setAttribute("aria-label", `Training loss and mean IoU over the epochs. ${said}`);
    this.drawCurves();
  }

  private drawCurves(): void {
    const width = this.curve.clientWidth;
    if (!width) return;
    const context = fitted(this.curve, width, HEIGHT_PX);
    const { epoch } = this.now;
    const { epochs } = this.learning;
    const style = getComputedStyle(this.host);
    const [first, last] = [epochs[0]!.epoch, epochs.at(-1)!.epoch];
    const x = (at: number): number =>
      EDGE_PX + ((at - first) / Math.max(1, last - first)) * (width - 2 * EDGE_PX);
    const highest = Math.max(...epochs.map(({ loss }) => loss ?? 0));
    const lines = [
      ["loss", "--lateral", highest],
      ["iou", "--positions", 1],
    ] as const;
    context.font = style.font;
    context.strokeStyle = style.getPropertyValue("--rule");
    context.strokeRect(EDGE_PX, 10, width - 2 * EDGE_PX, HEIGHT_PX - 36);
    for (const [name, colour, most] of lines) {
      const y = (value: number): number => HEIGHT_PX - 26 - (value / most) * (HEIGHT_PX - 36);
      context.strokeStyle = context.fillStyle = style.getPropertyValue(colour);
      context.lineWidth = 2;
      context.beginPath();
      for (const each of epochs) {
        const value = each[name];
        if (value !== null) context.lineTo(x(each.epoch), y(value));
      }
      context.stroke();
      for (const each of epochs) {
        const value = each[name];
        if (value === null || each.epoch !== epoch) continue;
        context.beginPath();
        context.arc(x(epoch), y(value), 4.5, 0, 2 * Math.PI);
        context.fill();
      }
      const isLoss = name === "loss";
      context.textAlign = isLoss ? "left" : "right";
      context.fillText(
        isLoss ? `loss, 0 to ${most.toFixed(2)}` : "mean IoU, 0 to 1",
        isLoss ? EDGE_PX : width - EDGE_PX,
        HEIGHT_PX - 6,
      );
    }
  }
}

function shown(value: number | null): string {
  return value === null ? "unknown" : value.toFixed(3);
}

function picture(webp: string, alt: string): HTMLImageElement {
  const image = make("img");
  if (webp) image.src = `data:image/webp;base64,${webp}`;
  image.alt = alt;
  return image;
}

function figure(image: HTMLImageElement, caption: string): HTMLElement {
  return make("figure", "", image, make("figcaption", "small soft", caption));
}
