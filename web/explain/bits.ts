/** The two bits: where each window's maximum stood, over the photo, and what the decoder makes of it. */

import type { Header } from "../engine/index.ts";
import { make, say } from "../shared/elements.ts";
import { count } from "../shared/words.ts";
import { CORNERS, drawCodes, enlarged, unpooled } from "./codes.ts";
import { drawMap, fitted, largest } from "./maps.ts";
import { sizesOf } from "./network.ts";
import { drawPicture } from "./pictures.ts";
import type { ForwardPass } from "./forward_pass.ts";

const NAMES = ["00 upper left", "01 upper right", "10 lower left", "11 lower right"];
const SIDE_PX = 560;

export class BitsView {
  private readonly over = make("canvas", "map");
  private readonly byPositions = make("canvas", "map");
  private readonly byBlending = make("canvas", "map");
  private readonly channel = make("input");
  private readonly text = make("p");
  private readonly photo = make("canvas");
  private readonly pools: number[];
  private pass: ForwardPass | null = null;
  private pool: number;

  constructor(
    private readonly host: HTMLElement,
    header: Header,
  ) {
    const sizes = sizesOf(header);
    this.pools = header.layers
      .flatMap((layer) => (layer.op === "unpool" ? [layer.codes] : []))
      .sort((a, b) => a - b);
    this.pool = this.pools[1] ?? this.pools[0] ?? 0;
    const pools = this.pools.map((tensor, i) => {
      const input = make("input");
      [input.type, input.name, input.checked] = ["radio", "pool", tensor === this.pool];
      input.addEventListener("change", () => {
        this.pool = tensor;
        this.strongest();
      });
      return make("label", "choice", input, `Pool ${i + 1}: ${sizes[tensor]!}`);
    });
    [this.channel.type, this.channel.min, this.channel.id] = ["number", "0", "bits-channel"];
    this.channel.addEventListener("input", () => this.draw());
    const label = make("label", "choice", "Channel", this.channel);
    const legend = make(
      "p",
      "legend small",
      ...NAMES.map((name, i) => {
        const swatch = make("span", "swatch");
        swatch.style.background = CORNERS[i]!;
        return make("span", "", swatch, name);
      }),
    );
    const figures: [HTMLCanvasElement, string, string][] = [
      [this.over, "Codes over the photo", "Where the maximum of each window stood, over the photo"],
      [this.byPositions, "Un-pooled by the positions", "The pooled channel, un-pooled by its positions"],
      [this.byBlending, "Enlarged bilinearly", "The pooled channel, enlarged bilinearly"],
    ];
    for (const [canvas, , text] of figures) {
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", text);
    }
    host.append(
      make("h2", "title", "The two bits"),
      make(
        "p",
        "",
        "A pool keeps one value of four. Two bits say which of the four it was. The decoder puts each value back to that very pixel, so outlines stay sharp; a bilinear enlargement blurs them.",
      ),
      make("fieldset", "choices row", make("legend", "small soft", "Which positions"), ...pools, label),
      legend,
      make(
        "div",
        "zoom",
        ...figures.map(([canvas, title]) => make("section", "", make("h3", "", title), canvas)),
      ),
      this.text,
    );
    new ResizeObserver(() => this.draw()).observe(host);
  }

  get isPossible(): boolean {
    return this.pools.length > 0;
  }

  show(pass: ForwardPass): void {
    const isFirst = !this.pass;
    this.pass = pass;
    drawPicture(this.photo, pass.picture);
    if (isFirst) this.strongest();
    else this.draw();
  }

  private strongest(): void {
    if (this.pass) this.channel.value = String(this.pass.strongest(this.pool)[0]!);
    this.draw();
  }

  private draw(): void {
    const { pass, pool, host } = this;
    if (!pass || !host.offsetWidth || !pool) return;
    const map = pass.map(pool);
    this.channel.max = String(map.channels - 1);
    const channel = Math.min(map.channels - 1, Math.max(0, Math.floor(Number(this.channel.value)) || 0));
    const codes = pass.codes(pool);
    const before = pass.map(pass.header.layers[pool - 1]!.from);
    const most = largest(map, channel);
    this.drawLarge(this.over, (context, [, , width, height]) => {
      context.imageSmoothingEnabled = false;
      context.drawImage(this.photo, 0, 0, width, height);
      context.fillStyle = "#0009";
      context.fillRect(0, 0, width, height);
      drawCodes(context, [width, height], codes, map, channel);
    });
    for (const [canvas, shown] of [
      [this.byPositions, unpooled(map, codes, channel, before)],
      [this.byBlending, enlarged(map, channel, before)],
    ] as const) {
      this.drawLarge(canvas, (context, side) => drawMap(context, shown, 0, side, most));
    }
    const [all, bytes] = [map.data.length, Math.ceil(map.data.length / 4)];
    say(
      this.text,
      `${count(all)} codes of two bits are ${count(bytes)} bytes. ` +
        `The map before the pool has ${count(4 * before.data.length)} bytes in float32.`,
    );
  }

  private drawLarge(
    canvas: HTMLCanvasElement,
    draw: (context: CanvasRenderingContext2D, side: readonly [number, number, number, number]) => void,
  ): void {
    const { picture } = this.pass!;
    const width = Math.min(SIDE_PX, canvas.parentElement!.clientWidth);
    const height = (width * picture.height) / picture.width;
    canvas.style.width = `${width}px`;
    draw(fitted(canvas, width, height), [0, 0, width, height]);
  }
}
