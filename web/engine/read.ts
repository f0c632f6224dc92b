/** Read a model file for the web; FORMAT.md describes the bytes. */

import { ModelError, type Header, type Model, type Weights } from "./model.ts";
import { channelsOf } from "./shapes.ts";

const MAGIC = "SEGNET";
const VERSION = 1;
const FIXED_BYTES = 12;
const DAMAGED = "The model file is damaged; export it again.";

/**
 * Read a model file.
 *
 * @throws ModelError for another file, one of a later version, and one that is cut or damaged.
 */
export function readModel(bytes: Uint8Array): Model {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const magic = String.fromCharCode(...bytes.subarray(0, MAGIC.length));
  if (bytes.length < FIXED_BYTES || magic !== MAGIC) {
    throw new ModelError("This is no model file for the web; segnet export RUN --to web writes one.");
  }
  const version = view.getUint16(6, true);
  if (version > VERSION) {
    throw new ModelError(
      `The model file has version ${version}, and this page reads ${VERSION}; use the page of a newer segnet.`,
    );
  }
  const begin = FIXED_BYTES + view.getUint32(8, true);
  const header = readHeader(bytes.subarray(FIXED_BYTES, begin));
  const weights = new Uint8Array(bytes.subarray(begin)); // a copy, so that it begins at a multiple of 4
  const expected = header.weights.bytes;
  if (weights.length !== expected) {
    const what = weights.length < expected ? "is cut" : "is too long";
    throw new ModelError(
      `The model file ${what}: it has ${weights.length} bytes of weights in place of ${expected}; copy it again.`,
    );
  }
  if (crc32(weights) !== header.weights.crc32) throw new ModelError(DAMAGED);
  return { header, weights: readWeights(header, weights) };
}

function readHeader(bytes: Uint8Array): Header {
  try {
    const header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) as Header;
    channelsOf(header);
    return header;
  } catch (error) {
    throw error instanceof ModelError ? error : new ModelError(DAMAGED);
  }
}

function readWeights(header: Header, bytes: Uint8Array<ArrayBuffer>): Weights[] {
  const channels = channelsOf(header);
  let position = 0;

  /** Return the bytes of the next part, which begins at a multiple of 4. */
  function take(length: number): ArrayBuffer {
    const begin = position;
    position = begin + Math.ceil(length / 4) * 4;
    if (begin + length > bytes.length) throw new ModelError(DAMAGED);
    return bytes.buffer.slice(begin, begin + length);
  }

  return header.layers.map((layer, index) => {
    if (layer.op !== "conv" && layer.op !== "depthwise")
      return { kernel: new Float32Array(), bias: new Float32Array() };
    const given = channels[index + 1]!;
    const taken = layer.op === "conv" ? channels[layer.from]! : 1;
    const count = layer.kernel ** 2 * taken * given;
    const { precision } = header.weights;
    if (precision !== "int8") {
      const isHalf = precision === "float16";
      const kernel = isHalf ? halves(new Uint16Array(take(2 * count))) : new Float32Array(take(4 * count));
      return { kernel, bias: new Float32Array(take(4 * given)) };
    }
    const scales = new Float32Array(take(4 * given));
    const kernel = Float32Array.from(new Int8Array(take(count)), (value, i) => value * scales[i % given]!);
    return { kernel, bias: new Float32Array(take(4 * given)) };
  });
}

/** Return float16 values, given as their bits, as float32: through bits too, as 2^112 scales the exponent. */
export function halves(bits: Uint16Array): Float32Array {
  const result = new Float32Array(bits.length);
  const asBits = new Uint32Array(result.buffer);
  for (let i = 0; i < bits.length; i++) {
    const half = bits[i]!;
    asBits[i] = ((half & 0x8000) << 16) | ((half & 0x7fff) << 13);
    result[i] = result[i]! * 2 ** 112;
  }
  return result;
}

/** Return the CRC-32 of zlib. */
export function crc32(bytes: Uint8Array): number {
  const table = Uint32Array.from({ length: 256 }, (_, value) => {
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
    return value;
  });
  let crc = 0xffffffff;
  for (const byte of bytes) crc = table[(crc ^ byte) & 255]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
