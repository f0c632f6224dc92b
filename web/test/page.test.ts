/** What the page of `segnet export --to html` does for a visitor. */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Engine, readModel, segment } from "../engine/index.ts";
import { buildPage, give, launch, pageWith, pixelsOf, visit, write, type Visit } from "./browser.ts";
import { fixture, missing } from "./surroundings.ts";
import { blackPng, readPalettePng } from "./images.ts";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
describe.skipIf(missing)(`the page${missing && ` (skipped: needs ${missing})`}`, { timeout: 60_000 }, () => {
  let browser: Browser;
  let built: string;
  let address: string;
  let model: Uint8Array;
  let visits: Visit[] = [];

  beforeAll(async () => {
    built = buildPage();
    model = readFileSync(fixture("squeezed.segnet"));
    address = pageWith(built, model, "nano.html");
    browser = await launch();
  }, 60_000);

  afterAll(() => browser?.close());

  afterEach(async () => {
    const faults = visits.flatMap((each) => each.faults);
    await Promise.all(visits.map(({ page }) => page.context().close()));
    visits = [];
    expect(faults).toEqual([]); // nothing on the console, and no request
  });

  async function open(options: Parameters<typeof visit>[2] = {}, at = address): Promise<Page> {
    const opened = await visit(browser, at, options);
    visits.push(opened);
    await opened.page.waitForSelector("#choose:enabled");
    return opened.page;
  }

  async function choose(page: Page, ...files: string[]): Promise<void> {
    await page.setInputFiles("#files", files.map(fixture));
    await page.waitForSelector("#result:visible");
    await page.waitForFunction(() => !document.querySelector("#about")!.textContent!.includes("…"));
  }

  /** The mask that the engine gives here, under Node, for the pixels that the browser decodes. */
  async function expected(page: Page, file: string) {
    return segment(await Engine.create(readModel(model)), await pixelsOf(page, { file: fixture(file) }));
  }

  const text = (page: Page, selector: string): Promise<string> => page.innerText(selector);

  test("introduces its model, and says that nothing leaves the computer", async () => {
    const page = await open();
    expect(await page.title()).toBe("pet, border · segnet");
    expect(await text(page, "header")).toMatch(
      /segnet-nano\s+Paints each pixel .* pet, background or border\./,
    );
    expect(await text(page, "header")).toContain("Nothing leaves this computer.");
    await page.click("summary");
    expect(await text(page, "footer")).toContain("CC BY-SA 4.0");
  });

  test("segments a photo, and tells each class's share", async () => {
    const page = await open();
    await choose(page, "pet-0.png");
    const { areas } = await expected(page, "pet-0.png");
    const shares = await page.locator("#legend .share").allInnerTexts();
    expect(shares).toEqual(areas.map((area) => `${(area * 100).toFixed(1)} %`));
    expect(await text(page, "#live")).toContain(`pet-0.png: pet ${shares[0]}, background ${shares[1]}`);
  });

  test.each(["drop", "paste"] as const)("takes a photo by %s", async (how) => {
    const page = await open();
    await give(page, how, fixture("pet-1.png"), "pet-1.png");
    await page.waitForSelector("#result:visible");
    expect(await text(page, "#about")).toMatch(/^pet-1\.png: \d+ × \d+ pixels\.$/);
  });

  test("keeps several photos in a strip, and shows the one that is chosen", async () => {
    const page = await open();
    await choose(page, "pet-0.png", "pet-1.png", "pet-2.png");
    await page.waitForFunction(() => document.querySelectorAll("#strip li").length === 3);
    expect(await text(page, "#about")).toMatch(/^pet-0\.png/);
    await page.click("#strip [aria-label='pet-2.png']");
    await page.waitForFunction(() => document.querySelector("#about")!.textContent!.startsWith("pet-2.png"));
    expect(await page.locator("#strip [aria-current=true]").getAttribute("aria-label")).toBe("pet-2.png");
  });

  test("leaves a hidden class out of the overlay and the mask, and shows it again", async () => {
    const page = await open();
    await choose(page, "pet-0.png");
    const pet = page.locator("#legend button", { hasText: "pet" });
    const orange = async (): Promise<boolean> => {
      const { data } = await pixelsOf(page, { canvas: "#layer" });
      return data.some((value, i) => i % 4 === 0 && value === 240 && data[i + 1] === 140 && data[i + 3]! > 0);
    };
    for (const look of ["Overlay", "Mask"]) {
      await page.click(`#looks >> text=${look}`);
      expect(await orange()).toBe(true);
      await pet.click();
      expect(await pet.getAttribute("aria-pressed")).toBe("false");
      expect(await orange()).toBe(false);
      await pet.click();
    }
  });

  test("names the class under the pointer", async () => {
    const page = await open();
    await choose(page, "pet-0.png");
    const { mask, width } = await expected(page, "pet-0.png");
    const place = mask.indexOf(0, mask.length / 2); // a pixel of a pet
    const box = (await page.locator("#frame").boundingBox())!;
    const scale = box.width / width;
    await page.mouse.move(
      box.x + ((place % width) + 0.5) * scale,
      box.y + (Math.floor(place / width) + 0.5) * scale,
    );
    expect(await text(page, "#tip")).toBe("pet");
    await page.mouse.move(1, 1);
    expect(await page.isVisible("#tip")).toBe(false);
  });

  test("splits the photo from the overlay where the slider or the pointer says", async () => {
    const page = await open();
    await choose(page, "pet-0.png");
    await page.click("#looks >> text=Split");
    await page.fill("#place", "30");
    const left = (): Promise<string> =>
      page.evaluate("getComputedStyle(document.querySelector('#layer')).clipPath");
    expect(await left()).toBe("inset(0px 0px 0px 30%)");
    await page.click("#frame", { position: { x: 1, y: 50 } });
    expect(Number(await page.inputValue("#place"))).toBeLessThan(2);
  });

  test("saves the mask as a PNG whose values are the engine's class ids", async () => {
    const page = await open();
    await choose(page, "pet-0.png");
    const saved = page.waitForEvent("download");
    await page.click("#save-mask");
    const download = await saved;
    expect(download.suggestedFilename()).toBe("pet-0-mask.png");
    const { values, palette, ...size } = readPalettePng(readFileSync(await download.path()));
    const { mask, width, height } = await expected(page, "pet-0.png");
    expect(size).toEqual({ width, height });
    expect(Buffer.compare(values, mask)).toBe(0);
    expect(palette).toEqual(readModel(model).header.classes.colours.flat());
  });

  test("saves the overlay at the photo's own size, bare where there is background", async () => {
    const page = await open();
    await choose(page, "pet-0.png");
    const saved = page.waitForEvent("download");
    await page.click("#save-overlay");
    const photo = await pixelsOf(page, { file: fixture("pet-0.png") });
    const overlay = await pixelsOf(page, { file: await (await saved).path() });
    const { mask, width, height } = await expected(page, "pet-0.png");
    expect([overlay.width, overlay.height]).toEqual([width, height]);
    const same = (i: number): boolean =>
      [0, 1, 2].every((c) => overlay.data[4 * i + c] === photo.data[4 * i + c]);
    const corner = mask.findIndex((id, i) => id === 1 && mask[i + 1] === 1 && mask[i + 2 * width] === 1);
    expect(same(corner)).toBe(true);
    expect(same(mask.indexOf(0, mask.length / 2))).toBe(false);
  });

  test("segments the camera's frames until it is stopped, and keeps the last", async () => {
    const page = await open();
    await page.click("#camera");
    await page.waitForFunction(() =>
      /\d+ masks a second/.test(document.querySelector("#about")!.textContent!),
    );
    const before = await pixelsOf(page, { canvas: "#photo" });
    await page.waitForTimeout(300);
    expect(Buffer.compare(before.data, (await pixelsOf(page, { canvas: "#photo" })).data)).not.toBe(0);
    await page.click("text=Stop the camera");
    const last = await pixelsOf(page, { canvas: "#photo" });
    await page.waitForTimeout(300);
    expect(Buffer.compare(last.data, (await pixelsOf(page, { canvas: "#photo" })).data)).toBe(0);
    expect(await text(page, "#live")).toMatch(/^camera: pet/);
  });

  test("leaves the camera for a photo", async () => {
    const page = await open();
    await page.click("#camera");
    await page.waitForSelector("#result:visible");
    await choose(page, "pet-0.png");
    await expect.poll(() => text(page, "#about")).toMatch(/^pet-0\.png/);
    expect(await text(page, "#camera")).toBe("Start the camera");
  });

  test("is used with the keyboard alone", async () => {
    const page = await open();
    /** Presses Tab until an element has the focus. */
    const tabTo = async (selector: string): Promise<void> => {
      await expect
        .poll(async () => {
          await page.keyboard.press("Tab");
          return page.evaluate((selector) => document.activeElement?.matches(selector), selector);
        })
        .toBe(true);
    };
    const chooser = page.waitForEvent("filechooser"); // asked for before it is near: the browser answers late
    await tabTo("#choose");
    await page.keyboard.press("Enter");
    await (await chooser).setFiles([fixture("pet-0.png"), fixture("pet-1.png")]);
    await page.waitForSelector("#strip li + li");
    await tabTo("[value=overlay]");
    for (let i = 0; i < 3; i++) await page.keyboard.press("ArrowRight");
    expect(await page.isChecked("[value=split]")).toBe(true);
    await tabTo("#place");
    await page.keyboard.press("ArrowLeft");
    expect(await page.inputValue("#place")).toBe("49");
    await tabTo("#strip [aria-label='pet-1.png']");
    await page.keyboard.press("Enter");
    await expect.poll(() => text(page, "#about")).toMatch(/^pet-1\.png/);
    await tabTo("#legend button");
    await page.keyboard.press("Space");
    expect(await page.locator("#legend button").first().getAttribute("aria-pressed")).toBe("false");
    await tabTo("#save-mask");
    const saved = page.waitForEvent("download");
    await page.keyboard.press("Enter");
    expect((await saved).suggestedFilename()).toBe("pet-1-mask.png");
  });

  describe("refuses in one sentence", () => {
    test("a file that is no photo, or none that a browser opens", async () => {
      const page = await open();
      for (const [name, content, sentence] of [
        ["notes.txt", "hello", /^notes\.txt is no image that a browser knows\. JPEG, PNG/],
        ["empty.png", "", /^empty\.png is empty \(0 bytes\)\.$/],
        [
          "photo.heic",
          "\0\0\0\x18ftypheic",
          /^photo\.heic is a HEIC image.* Save it as JPEG, PNG or WebP\.$/,
        ],
        ["scan.tif", "II*\0 and so on", /^scan\.tif is a TIFF image/],
        ["cut.png", blackPng(64, 64).toString("latin1", 0, 40), /^cut\.png can’t be decoded: .* damaged/],
      ] as const) {
        const buffer = Buffer.from(content, "latin1");
        await page.setInputFiles("#files", { name, mimeType: "image/png", buffer });
        await expect
          .poll(() => page.locator("#errors p").allInnerTexts())
          .toEqual([expect.stringMatching(sentence)]);
      }
      await page.click("#errors button");
      expect(await page.locator(".error").count()).toBe(0);
    });

    test("a camera that is blocked, absent or in use", async () => {
      const page = await open();
      for (const [name, sentence] of [
        ["NotAllowedError", /^The camera is blocked for this page\./],
        ["NotFoundError", /^This computer has no camera/],
        ["NotReadableError", /^The camera is in use by another program\./],
      ] as const) {
        const refusal = `navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("", "${name}"); }`;
        await page.evaluate(refusal);
        await page.click("#camera");
        await expect
          .poll(() => page.locator("#errors p").allInnerTexts())
          .toEqual([expect.stringMatching(sentence)]);
        expect(await text(page, "#camera")).toBe("Start the camera");
      }
    });

    test("what is dropped without a file", async () => {
      const page = await open();
      await page.evaluate(() => {
        const dataTransfer = new DataTransfer();
        dataTransfer.setData("text/plain", "a photo’s address");
        document.dispatchEvent(new DragEvent("drop", { dataTransfer, cancelable: true }));
      });
      expect(await text(page, "#errors p")).toMatch(/^What was dropped is no file\./);
    });

    test("a browser that can't unpack the model", async () => {
      const page = await open({ before: "delete globalThis.DecompressionStream" });
      expect(await text(page, "#errors p")).toMatch(/^This browser is too old .* Firefox from 113/);
    });

    test("a page whose model is damaged", async () => {
      const page = await open({}, write("damaged.html", built.replace('id="model">', 'id="model">H4sIAAAA')));
      expect(await text(page, "#errors p")).toMatch(/^The model in this page is damaged\./);
    });

    test("a model file that is cut, of a later version, or another file", async () => {
      const page = await open({}, write("empty.html", built));
      const later = Buffer.from(model);
      later[6] = 9;
      for (const [name, buffer, sentence] of [
        ["cut.segnet", Buffer.from(model.subarray(0, 9000)), /cut/],
        ["later.segnet", later, /version 9/],
        ["notes.txt", Buffer.from("hello"), /no model file/],
      ] as const) {
        await page.setInputFiles("#files", { name, mimeType: "", buffer });
        await expect.poll(() => text(page, "#errors")).toMatch(sentence);
      }
    });
  });

  test("without a model inside opens a model file", async () => {
    const page = await open({}, write("empty.html", built));
    expect(await text(page, "#work")).toContain("Choose or drop a .segnet file");
    await page.setInputFiles("#files", fixture("squeezed.segnet"));
    await page.waitForSelector("#camera:enabled");
    await choose(page, "pet-0.png");
    expect(await text(page, "#about")).toMatch(/^pet-0\.png/);
  });

  test("reduces a photo of 100 megapixels, and says so", async () => {
    const page = await open();
    const buffer = blackPng(12_500, 8_000);
    await page.setInputFiles("#files", { name: "wall.png", mimeType: "image/png", buffer });
    await page.waitForSelector("#result:visible");
    await expect
      .poll(() => text(page, "#about"), { timeout: 30_000 })
      .toMatch(/^wall\.png: 5,120 × 3,276 pixels, reduced from 12,500 × 8,000 \(100\.0 megapixels\)/);
  });

  test("says that it is slower without SIMD, and gives the same mask", async () => {
    const page = await open({ before: "WebAssembly.validate = () => false" });
    await choose(page, "pet-0.png");
    expect(await text(page, "#speed")).toContain("in plain JavaScript, which is slower");
    const { areas } = await expected(page, "pet-0.png");
    expect(await text(page, "#legend .share")).toBe(`${(areas[0]! * 100).toFixed(1)} %`);
  });

  for (const colorScheme of ["light", "dark"] as const) {
    for (const width of [400, 1280]) {
      test(`has no fault that axe finds, ${colorScheme}, ${width} pixels wide`, async () => {
        const page = await open({ colorScheme, viewport: { width, height: 900 }, reducedMotion: "reduce" });
        await page.evaluate(axe);
        const violations = (): Promise<string[]> =>
          page.evaluate(
            "axe.run().then(({ violations }) => violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html)}`))",
          );
        expect(await violations()).toEqual([]);
        await choose(page, "pet-0.png", "pet-1.png");
        await page.click("#looks >> text=Split");
        await page.locator("#legend button").first().click();
        await page.setInputFiles("#files", resolve("package.json"));
        await page.waitForSelector(".error");
        await page.click("summary");
        expect(await violations()).toEqual([]);
        expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
      });
    }
  }

  test("is built to the same bytes from the same input, within its size, and loads nothing", () => {
    expect(buildPage()).toBe(built);
    expect(Buffer.byteLength(built)).toBeLessThan(60_000);
    expect(built).toContain("default-src 'none'; script-src 'sha256-");
    expect(built).not.toMatch(/unsafe-inline|style="|https?:\/\/(?!www\.w3\.org)/);
  });
});
