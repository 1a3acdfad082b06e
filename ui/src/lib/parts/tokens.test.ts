// @vitest-environment node
import { readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

const css = readFileSync(new URL("./tokens.css", import.meta.url), "utf8");

type Colour = [lightness: number, chroma: number, hue: number];

function tokensOf(selector: string): Map<string, Colour> {
  const start = css.indexOf(`${selector} {`);
  const block = css.slice(start, css.indexOf("\n}", start));
  const found = block.matchAll(/--([\w-]+): oklch\(([\d.]+) ([\d.]+) ([\d.]+)\);/g);
  return new Map(
    [...found].map(([, name, l, c, h]) => [name ?? "", [Number(l), Number(c), Number(h)]]),
  );
}

/** Relative luminance (WCAG 2.2) of an OKLCH colour, by Björn Ottosson's matrices. */
function luminance([lightness, chroma, hue]: Colour): number {
  const a = chroma * Math.cos((hue * Math.PI) / 180);
  const b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const clamp = (value: number) => Math.min(1, Math.max(0, value));
  const red = clamp(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s);
  const green = clamp(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s);
  const blue = clamp(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one: Colour, other: Colour): number {
  const [dark = 0, light = 0] = [luminance(one), luminance(other)].toSorted((x, y) => x - y);
  return (light + 0.05) / (dark + 0.05);
}

const GROUNDS = ["ground", "surface", "surface-raised", "surface-sunken", "hover", "selected"];
const STATES = ["running", "finished", "failed", "killed", "scheduled"];

/** Pairs that stand on one another, and how far apart they have to be. */
const PAIRS: [text: string, ground: string, least: number][] = [
  ...["text", "text-2", "text-3", "accent-ink", "danger", "warning", ...STATES].flatMap((text) =>
    GROUNDS.map((ground): [string, string, number] => [text, ground, 4.5]),
  ),
  ...Array.from({ length: 16 }, (_, colour) => `ansi-${String(colour)}`).flatMap((text) =>
    ["surface", "selected"].map((ground): [string, string, number] => [text, ground, 4.5]),
  ),
  ["text", "found", 4.5],
  ["accent-text", "accent", 4.5],
  ["accent-text", "accent-hover", 4.5],
  ["danger-text", "danger", 4.5],
  ["danger", "danger-soft", 4.5],
  ["text-2", "danger-soft", 4.5],
  ["text", "warning-soft", 4.5],
  ["warning", "warning-soft", 4.5],
  ["text-2", "selected-hover", 4.5],
  ["line-strong", "surface", 3],
  ["line-strong", "surface-raised", 3],
  ["focus", "surface", 3],
  ["focus", "ground", 3],
  ["focus", "selected", 3],
];

describe.each([
  ["light", ":root"],
  ["dark", ':root[data-theme="dark"]'],
])("%s", (_, selector) => {
  const tokens = tokensOf(selector);

  it.each(PAIRS)("%s on %s has a contrast of at least %d", (text, ground, least) => {
    const front = tokens.get(text);
    const back = tokens.get(ground);
    if (front === undefined || back === undefined) throw new Error(`no token ${text} or ${ground}`);
    expect(contrast(front, back)).toBeGreaterThanOrEqual(least);
  });
});

it("dark names every colour that light names", () => {
  const dark = tokensOf(':root[data-theme="dark"]');
  expect([...tokensOf(":root").keys()].filter((name) => !dark.has(name))).toEqual([]);
});
