/** Model files: the one that `segnet export --to html` wrote into the page, or one that a visitor opens. */

import { Engine, readModel } from "../engine/index.ts";
import { Refusal } from "./words.ts";

const OLD =
  "This browser is too old for this page: it can’t unpack the model (DecompressionStream). " +
  "Chrome and Edge from 103, Firefox from 113 and Safari from 16.4 can.";
const DAMAGED = "The model in this page is damaged. Export the page again, or copy its file again.";

/** Returns the bytes of the model file in the page, from base64 of gzip, or null where there is none. */
export async function embeddedModel(element: HTMLElement): Promise<Uint8Array | null> {
  const text = element.textContent.trim();
  if (!text) return null;
  if (!("DecompressionStream" in globalThis)) throw new Refusal(OLD);
  try {
    const letters = atob(text);
    const packed = new Uint8Array(letters.length);
    for (let i = 0; i < letters.length; i++) packed[i] = letters.charCodeAt(i);
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  } catch {
    throw new Refusal(DAMAGED);
  } finally {
    element.textContent = ""; // the text is no longer needed, and as long as the model
  }
}

/** Whether a file begins as model files do. */
export async function isModelFile(file: File): Promise<boolean> {
  try {
    return (await file.slice(0, 6).text()) === "SEGNET";
  } catch {
    throw new Refusal(
      `${file.name} can’t be read. It is a folder, or was moved; choose the files themselves.`,
    );
  }
}

/** Returns what runs a model file on photos. */
export async function openModel(bytes: Uint8Array): Promise<Engine> {
  const model = readModel(bytes);
  const { channels } = model.header.input;
  if (channels !== 3 && channels !== 1) {
    throw new Refusal(
      `This model takes images of ${channels} channels, and a photo has 3: red, green and blue.`,
    );
  }
  return Engine.create(model);
}
