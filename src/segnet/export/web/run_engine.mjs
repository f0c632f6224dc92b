// Runs the engine for `segnet export`: images come in on standard input, logits go out on standard output.
//
//   node run_engine.mjs ENGINE MODEL
//
// First it says in one line of JSON which backend computes. Then for each image, numbers little-endian:
// in    height and width as uint32, then height * width * channels bytes
// out   the number of logits as uint32, then the logits, height by width by classes, as float32
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [enginePath, modelPath] = process.argv.slice(2);
const { Engine, readModel } = await import(pathToFileURL(enginePath).href);
const model = readModel(new Uint8Array(readFileSync(modelPath)));
const engine = await Engine.create(model);
const { channels } = model.header.input;
process.stdout.write(JSON.stringify({ backend: engine.backend }) + "\n");

let waiting = Buffer.alloc(0);
for await (const chunk of process.stdin) {
  waiting = Buffer.concat([waiting, chunk]);
  while (waiting.length >= 8) {
    const [height, width] = [waiting.readUInt32LE(0), waiting.readUInt32LE(4)];
    const end = 8 + height * width * channels;
    if (waiting.length < end) break;
    const data = new Uint8Array(waiting.subarray(8, end));
    waiting = waiting.subarray(end);
    const logits = engine.run({ width, height, channels, data }).data;
    const length = Buffer.alloc(4);
    length.writeUInt32LE(logits.length);
    process.stdout.write(length);
    process.stdout.write(Buffer.from(logits.slice().buffer)); // a copy: the engine's memory is written to again
  }
}
