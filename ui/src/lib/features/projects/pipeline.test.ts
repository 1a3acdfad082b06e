import { describe, expect, it } from "vitest";

import { layersOf } from "./pipeline";

const step = (name: string, ...needs: string[]) => ({ name, entry_point: name, needs, last: null });

describe("steps of a pipeline", () => {
  it("stand after what they need, beside what needs the same", () => {
    const steps = [
      step("train", "clean"),
      step("download"),
      step("clean", "download"),
      step("plot", "clean"),
    ];
    expect(layersOf(steps).map((layer) => layer.map(({ name }) => name))).toEqual([
      ["download"],
      ["clean"],
      ["train", "plot"],
    ]);
  });

  it("in a circle end the drawing, not the page", () => {
    expect(layersOf([step("a", "b"), step("b", "a"), step("c")]).flat()).toHaveLength(3);
  });
});
