import { defineConfig } from "vitest/config";

// Node has relaxed SIMD by itself since version 22 (V8 11.4 and later), and behind a flag before.
const isOld = Number(process.versions.node.split(".")[0]) < 22;

export default defineConfig({
  test: {
    include: ["test/*.test.ts"],
    testTimeout: 120_000,
    maxWorkers: 1,
    pool: "forks",
    execArgv: isOld ? ["--experimental-wasm-relaxed-simd"] : [],
  },
});
