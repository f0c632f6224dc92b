/** The two bits: where each window's maximum stood, over the photo, and what the decoder makes of it. */

import type { FeatureMap, Header } from "../engine/index.ts";
import { make, say } from "../shared/elements.ts";
import { context2d, drawMap, fitted, largest } from "./maps.ts";
import { sizesOf } from "./network.ts";
import { drawPicture } from "./pictures.ts";
import type { Thought } from "./thought.ts";

/** Upper left, upper right, lower left, lower right: told apart also without red and green. */
const CORNERS = ["#56b4e9", "#f0e442", "#d55e00", "#ffffff"];
const NAMES = ["00 upper left", "01 upper right", "10 lower left", "11 lower right"];
const ARROWS_FROM_PX = 14;
const SIDE_PX = 420;

export class BitsView {
  private readonly over = make("canvas", "map");
  private readonly byPositions = make("canvas", "map");
  private readonly byBlending = make("canvas", "map");
  private readonly channel = make("input");
  private readonly text = make("p");
  private readonly photo = make("canvas");
  private readonly pools: number[];
  private thought: Thought | null = null;
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

  show(thought: Thought): void {
    const isFirst = !this.thought;
    this.thought = thought;
    drawPicture(this.photo, thought.picture);
    if (isFirst) this.strongest();
    else this.draw();
  }

  private strongest(): void {
    if (this.thought) this.channel.value = String(this.thought.strongest(this.pool)[0]!);
    this.draw();
  }

  private draw(): void {
    const { thought, pool, host } = this;
    if (!thought || !host.offsetWidth || !pool) return;
    const map = thought.map(pool);
    this.channel.max = String(map.channels - 1);
    const channel = Math.min(map.channels - 1, Math.max(0, Math.floor(Number(this.channel.value)) || 0));
    const codes = thought.codes(pool);
    const before = thought.map(thought.header.layers[pool - 1]!.from);
    this.drawCodes(codes, map, channel);
    const most = largest(map, channel);
    const restored = unpooled(map, codes, channel, before);
    this.drawLarge(this.byPositions, (context, side) => drawMap(context, restored, 0, side, most));
    this.drawLarge(this.byBlending, (context, [x, y, width, height]) => {
      const small = document.createElement("canvas");
      [small.width, small.height] = [map.width, map.height];
      drawMap(context2d(small), map, channel, [0, 0, map.width, map.height], most);
      context.imageSmoothingEnabled = true;
      context.drawImage(small, x, y, width, height);
    });
    const bytes = Math.ceil((map.data.length * 2) / 8);
    say(
      this.text,
      `${map.data.length.toLocaleString("en-GB")} codes of two bits are ${bytes.toLocaleString("en-GB")} bytes. The map before the pool has ${(before.data.length * 4).toLocaleString("en-GB")} bytes in float32.`,
    );
  }

  private drawLarge(
    canvas: HTMLCanvasElement,
    draw: (context: CanvasRenderingContext2D, side: readonly [number, number, number, number]) => void,
  ): void {
    const { picture } = this.thought!;
    const width = Math.min(SIDE_PX, canvas.parentElement!.clientWidth);
    const height = (width * picture.height) / picture.width;
    canvas.style.width = `${width}px`;
    draw(fitted(canvas, width, height), [0, 0, width, height]);
  }

  /** Draws arrows to the corners where there is room for them, else a square of the corner's colour. */
  private drawCodes(codes: Uint8Array, map: FeatureMap, channel: number): void {
    this.drawLarge(this.over, (context, [, , width, height]) => {
      context.imageSmoothingEnabled = false;
      context.drawImage(this.photo, 0, 0, width, height);
      context.fillStyle = "#0009";
      context.fillRect(0, 0, width, height);
      const [w, h] = [width / map.width, height / map.height];
      for (let row = 0; row < map.height; row++) {
        for (let column = 0; column < map.width; column++) {
          const at = (row * map.width + column) * map.channels + channel;
          const code = codes[at]!;
          context.strokeStyle = context.fillStyle = CORNERS[code]!;
          const corner = [column * w + ((code & 1) * w) / 2, row * h + ((code >> 1) * h) / 2] as const;
          context.globalAlpha = map.data[at] ? 1 : 0.35; // of four zeros the first is as good as any
          if (w < ARROWS_FROM_PX) context.fillRect(...corner, w / 2, h / 2);
          else
            arrow(
              context,
              (column + 0.5) * w,
              (row + 0.5) * h,
              code & 1 ? 1 : -1,
              code >> 1 ? 1 : -1,
              w * 0.32,
            );
        }
      }
      context.globalAlpha = 1;
    });
  }
}

function arrow(
  context: CanvasRenderingContext2D,
  x: number,
  y: number,
  right: number,
  down: number,
  size: number,
): void {
  const [tx, ty] = [x + right * size, y + down * size];
  context.lineWidth = Math.max(1.25, size / 5);
  context.beginPath();
  context.moveTo(x - right * size * 0.7, y - down * size * 0.7);
  context.lineTo(tx, ty);
  context.moveTo(tx - right * size * 0.8, ty);
  context.lineTo(tx, ty);
  context.lineTo(tx, ty - down * size * 0.8);
  context.stroke();
}

/** Returns one channel with each value at its maximum's place, 0 elsewhere, in the size before the pool. */
function unpooled(
  map: FeatureMap,
  codes: Uint8Array,
  channel: number,
  { height, width }: FeatureMap,
): FeatureMap {
  const data = new Float32Array(height * width);
  for (let row = 0; row < map.height; row++) {
    for (let column = 0; column < map.width; column++) {
      const at = (row * map.width + column) * map.channels + channel;
      const code = codes[at]!;
      data[(2 * row + (code >> 1)) * width + 2 * column + (code & 1)] = map.data[at]!;
    }
  }
  return { height, width, channels: 1, data };
}
