import { describe, expect, it } from "vitest";
import { layOutJson, splitLines } from "./previewText";

describe("lines", () => {
  it("end as any system ends them", () => {
    expect(splitLines("a\nb\r\nc\rd")).toEqual(["a", "b", "c", "d"]);
  });

  it("do not count a last line end", () => {
    expect(splitLines("a\n")).toEqual(["a"]);
    expect(splitLines("a\n\n")).toEqual(["a", ""]);
    expect(splitLines("")).toEqual([""]);
  });
});

describe("JSON", () => {
  it("is laid out when it is on one line", () => {
    expect(layOutJson("a.json", '{"a":[1,2],"b":"x y"}')).toBe(
      '{\n  "a": [\n    1,\n    2\n  ],\n  "b": "x y"\n}',
    );
  });

  it("stays as it is when it is laid out already", () => {
    expect(layOutJson("a.json", '{\n  "a": 1\n}\n')).toBeNull();
  });

  it("stays as it is when it is cut, not JSON, or in another kind of file", () => {
    expect(layOutJson("a.json", '{"a":')).toBeNull();
    expect(layOutJson("a.txt", '{"a":1}')).toBeNull();
  });

  it("keeps numbers and keys as they were written", () => {
    expect(layOutJson("a.json", '{"id":12345678901234567890,"a":1.0,"a":"{,\\"}"}')).toBe(
      '{\n  "id": 12345678901234567890,\n  "a": 1.0,\n  "a": "{,\\"}"\n}',
    );
  });

  it("keeps what is empty on one line", () => {
    expect(layOutJson("a.json", '[{},[ ],{"a":[]}]')).toBe(
      '[\n  {},\n  [],\n  {\n    "a": []\n  }\n]',
    );
  });
});
