/** A mask as a PNG file with a palette: values are class ids, the look is the classes' colours. */

import { crc32 } from "../engine/read.ts";

type Colour = readonly [red: number, green: number, blue: number];

/** Returns the file. A canvas would not do: it writes colours, and the class ids would be lost. */
export async function palettePng(
  mask: Uint8Array,
  width: number,
  height: number,
  colours: readonly Colour[],
): Promise<Blob> {
  const rows = new Uint8Array((width + 1) * height); // each begins with its filter, 0: none
  for (let y = 0; y < height; y++) {
    rows.set(mask.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  }
  const zipped = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint16(8, 0x0803); // 8 bits a pixel, by palette
  return new Blob(
    [
      Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
      chunk("IHDR", new Uint8Array(header.buffer)),
      chunk("PLTE", Uint8Array.from(colours.flat())),
      chunk("IDAT", new Uint8Array(await new Response(zipped).arrayBuffer())),
      chunk("IEND", new Uint8Array(0)),
    ],
    { type: "image/png" },
  );
}

/** Length, name, data and checksum. */
function chunk(name: string, data: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(data.length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  for (let i = 0; i < 4; i++) bytes[4 + i] = name.charCodeAt(i);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}
