import { describe, expect, it } from "vitest";

import { LINE_PX, lineAt, pageOf, scrollHeight, scrollTo } from "./window";

describe("lines of a log on the screen", () => {
  it.each([10, 1_000, 400_000, 30_000_000])(
    "of %i: the first and the last can be reached",
    (total) => {
      const height = 900;
      expect(lineAt(0, height, total)).toBe(0);
      const end = Math.max(0, scrollHeight(total) - height);
      expect(lineAt(end, height, total)).toBe(Math.max(0, total - height / LINE_PX));
    },
  );

  it.each([0, 17, 5_000, 20_000_000])("line %i is near the top after going to it", (line) => {
    const [height, total] = [900, 30_000_000];
    const seen = lineAt(scrollTo(line, height, total), height, total);
    expect(Math.abs(seen - line)).toBeLessThan(80);
  });

  it("questions begin at whole pages, before the line", () => {
    expect(pageOf(0)).toBe(0);
    expect(pageOf(201)).toBe(0);
    expect(pageOf(260)).toBe(200);
  });
});
