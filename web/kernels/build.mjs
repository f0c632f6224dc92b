/** Compile kernels/kernels.ts twice, with and without relaxed SIMD, into engine/kernels.generated.ts. */

import { writeFileSync } from "node:fs";
import asc from "assemblyscript/asc";

const OPTIONS = [
  "--optimizeLevel",
  "3",
  "--shrinkLevel",
  "0",
  "--noAssert",
  "--runtime",
  "stub",
  "--importMemory",
];

async function compile(...features) {
  const enabled = ["simd", "bulk-memory", ...features].flatMap((name) => ["--enable", name]);
  const { error, stdout, stderr } = await asc.main(
    ["kernels/kernels.ts", "--outFile", "kernels.wasm", ...OPTIONS, ...enabled],
    { writeFile: (name, content) => void (name === "kernels.wasm" && (compile.bytes = content)) },
  );
  if (error) throw new Error(`${stdout}${stderr}${error.message}`);
  return Buffer.from(compile.bytes).toString("base64");
}

const lines = [
  "/** The kernels as WebAssembly in base64; `npm run kernels` writes this file. */",
  `export const SIMD = "${await compile()}";`,
  `export const RELAXED_SIMD = "${await compile("relaxed-simd")}";`,
];
writeFileSync("engine/kernels.generated.ts", `${lines.join("\n")}\n`);
