import { describe, expect, it } from "vitest";
import { SERIES_COLORS, seriesColor, seriesStyles, type Ground } from "./palette";

type Triple = readonly [number, number, number];
type Matrix = readonly [Triple, Triple, Triple];

/** Full deficiency, linear sRGB to linear sRGB. Source: Machado, Oliveira, Fernandes 2009. */
const SIGHTS = {
  normal: [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
  protanopia: [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  deuteranopia: [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ],
  tritanopia: [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.3039],
  ],
} satisfies Record<string, Matrix>;

function toLinear(hex: string): Triple {
  const channel = (start: number) => {
    const value = Number.parseInt(hex.slice(start, start + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  return [channel(1), channel(3), channel(5)];
}

function apply(matrix: Matrix, [r, g, b]: Triple): Triple {
  const row = (weights: Triple) => Math.max(0, weights[0] * r + weights[1] * g + weights[2] * b);
  return [row(matrix[0]), row(matrix[1]), row(matrix[2])];
}

function toOklab(rgb: Triple): Triple {
  const [l, m, s] = apply(
    [
      [0.4122214708, 0.5363325363, 0.0514459929],
      [0.2119034982, 0.6806995451, 0.1073969566],
      [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    rgb,
  ).map(Math.cbrt) as unknown as Triple;
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

function smallestDistance(ground: Ground, sight: Matrix): number {
  const seen = SERIES_COLORS.map((color) => toOklab(apply(sight, toLinear(color[ground]))));
  let smallest = Infinity;
  seen.forEach((a, index) => {
    for (const b of seen.slice(index + 1)) {
      smallest = Math.min(smallest, Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]));
    }
  });
  return smallest;
}

function contrast(a: string, b: string): number {
  const luminance = (hex: string) => {
    const [r, g, blue] = toLinear(hex);
    return 0.2126 * r + 0.7152 * g + 0.0722 * blue;
  };
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

describe("palette", () => {
  for (const ground of ["light", "dark"] as const) {
    it(`is told apart with normal sight on ${ground} ground`, () => {
      expect(smallestDistance(ground, SIGHTS.normal)).toBeGreaterThan(0.12);
    });
    for (const sight of ["protanopia", "deuteranopia", "tritanopia"] as const) {
      it(`is told apart with ${sight} on ${ground} ground`, () => {
        expect(smallestDistance(ground, SIGHTS[sight])).toBeGreaterThan(0.078);
      });
    }
  }

  it("stands out from the ground", () => {
    for (const color of SERIES_COLORS) {
      expect(contrast(color.light, "#ffffff")).toBeGreaterThan(3);
      expect(contrast(color.dark, "#1c1b19")).toBeGreaterThan(3);
    }
  });

  it("gives a run the same hue on both grounds and in every session", () => {
    const runId = "0123456789abcdef0123456789abcdef";
    const light = SERIES_COLORS.findIndex((c) => c.light === seriesColor(runId, "light"));
    const dark = SERIES_COLORS.findIndex((c) => c.dark === seriesColor(runId, "dark"));
    expect(light).toBe(dark);
    expect(SERIES_COLORS[light]?.name).toBe("navy");
  });

  it("spreads run ids over all hues", () => {
    const used = new Set<string>();
    for (let index = 0; index < 200; index += 1) {
      used.add(seriesColor(index.toString(16).padStart(32, "0"), "light"));
    }
    expect(used.size).toBe(SERIES_COLORS.length);
  });
});

describe("styles of runs side by side", () => {
  const ids = Array.from({ length: 40 }, (_, index) => index.toString(16).padStart(32, "0"));
  const nameOf = (id: string, among: string[]) => seriesStyles(among).get(id)?.color.name;

  it("are all different as far as hues and dashes go", () => {
    const drawn = [...seriesStyles(ids.slice(0, 32)).values()];
    expect(new Set(drawn.map(({ color, dash }) => `${color.name} ${dash.join()}`)).size).toBe(32);
    // Dashes only once all hues are taken.
    const few = [...seriesStyles(ids.slice(0, 8)).values()];
    expect(new Set(few.map(({ color }) => color.name)).size).toBe(8);
    expect(few.every(({ dash }) => dash.length === 0)).toBe(true);
    expect(seriesStyles(ids).size).toBe(40);
  });

  it("are the colour that a run has elsewhere, unless another has it", () => {
    for (const id of ids) {
      expect(seriesStyles([id]).get(id)?.color.light).toBe(seriesColor(id, "light"));
    }
  });

  it("do not depend on the order", () => {
    const turned = [...ids].reverse();
    for (const id of ids) expect(nameOf(id, ids)).toBe(nameOf(id, turned));
  });
});
