/** Scores of a mask beside the true one, as Python takes them (`src/segnet/scoring/`). */

const TOLERANCE = 0.0075; // of the image's diagonal: how far an outline may be off

/** Counts pixels by true and predicted class, of one mask after another. */
export class Confusion {
  private readonly both: Float64Array;
  private readonly either: Float64Array;

  constructor(classes: number) {
    [this.both, this.either] = [new Float64Array(classes), new Float64Array(classes)];
  }

  add(mask: Uint8Array, truth: Uint8Array): void {
    mask.forEach((id, i) => {
      const other = truth[i]!;
      this.either[id]!++;
      if (id === other) this.both[id]!++;
      else this.either[other]!++;
    });
  }

  /** The mean over the classes that masks or truth have. */
  get meanIou(): number {
    return mean([...this.both].flatMap((shared, id) => (this.either[id] ? [shared / this.either[id]] : [])));
  }
}

export function meanIou(mask: Uint8Array, truth: Uint8Array, classes: number): number {
  const confusion = new Confusion(classes);
  confusion.add(mask, truth);
  return confusion.meanIou;
}

/** Returns the mean boundary F1 of the classes that have an outline in truth; NaN where none has. */
export function boundaryF1(mask: Uint8Array, truth: Uint8Array, width: number, classes: number): number {
  const height = truth.length / width;
  const near = offsetsWithin(TOLERANCE * Math.hypot(width, height));
  const [drawn, real] = [edges(mask, width), edges(truth, width)];
  const scores: number[] = [];
  for (let id = 0; id < classes; id++) {
    const isDrawn = drawn.map((edge, i) => (edge && mask[i] === id ? 1 : 0));
    const isReal = real.map((edge, i) => (edge && truth[i] === id ? 1 : 0));
    if (!isReal.includes(1)) continue;
    const recall = shareNear(isReal, isDrawn, width, near);
    const precision = shareNear(isDrawn, isReal, width, near);
    scores.push(precision + recall > 0 ? (2 * precision * recall) / (precision + recall) : 0);
  }
  return mean(scores);
}

/** Mean IoU and mean boundary F1, 0 to 1. */
export interface Score {
  iou: number;
  outline: number;
}

export function scoreOf(mask: Uint8Array, truth: Uint8Array, width: number, classes: number): Score {
  return { iou: meanIou(mask, truth, classes), outline: boundaryF1(mask, truth, width, classes) };
}

/** A score as people read it. */
export function percent(score: number): string {
  return `${(100 * score).toFixed(1)} %`;
}

export function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

/** Marks pixels beside another class, above, below, left or right; the image's own edge is none. */
function edges(mask: Uint8Array, width: number): Uint8Array {
  return mask.map((id, i) => {
    const column = i % width;
    const differs = (at: number): boolean => at >= 0 && at < mask.length && mask[at] !== id;
    const beside = (column > 0 && differs(i - 1)) || (column < width - 1 && differs(i + 1));
    return beside || differs(i - width) || differs(i + width) ? 1 : 0;
  });
}

function offsetsWithin(radius: number): [row: number, column: number][] {
  const reach = Math.ceil(radius);
  const steps = Array.from({ length: 2 * reach + 1 }, (_, i) => i - reach);
  return steps.flatMap((row) =>
    steps.flatMap((column): [number, number][] =>
      row ** 2 + column ** 2 < radius ** 2 ? [[row, column]] : [],
    ),
  );
}

/** Returns which share of the points has one of the others near; 0 where there are no points. */
function shareNear(
  points: Uint8Array,
  others: Uint8Array,
  width: number,
  near: readonly [number, number][],
): number {
  const height = points.length / width;
  let [found, all] = [0, 0];
  points.forEach((point, i) => {
    if (!point) return;
    const [row, column] = [Math.floor(i / width), i % width];
    const isNear = near.some(([down, right]) => {
      const [r, c] = [row + down, column + right];
      return r >= 0 && c >= 0 && r < height && c < width && others[r * width + c];
    });
    all++;
    if (isNear) found++;
  });
  return all ? found / all : 0;
}
