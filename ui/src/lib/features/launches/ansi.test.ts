import { describe, expect, it } from "vitest";

import { parseAnsi, piecesOf, plainText, type Span } from "./ansi";

const ESC = "\u001b";

describe("terminal colours", () => {
  it.each<[string, string, Span[]]>([
    ["plain text stays", "loss 0.5", [{ text: "loss 0.5", style: {} }]],
    [
      "a colour lasts until it is reset",
      `a${ESC}[31mred${ESC}[0mb`,
      [
        { text: "a", style: {} },
        { text: "red", style: { fg: 1 } },
        { text: "b", style: {} },
      ],
    ],
    [
      "several at once",
      `${ESC}[1;92;44mx`,
      [{ text: "x", style: { isBold: true, fg: 10, bg: 4 } }],
    ],
    [
      "one is taken back",
      `${ESC}[1;3mx${ESC}[22my`,
      [
        { text: "x", style: { isBold: true, isItalic: true } },
        { text: "y", style: { isItalic: true } },
      ],
    ],
    ["of 256", `${ESC}[38;5;196mx`, [{ text: "x", style: { fg: 9 } }]],
    ["of 24 bits", `${ESC}[38;2;10;120;20mx`, [{ text: "x", style: { fg: 2 } }]],
    [
      "what follows a long colour counts",
      `${ESC}[38;5;9;1mx`,
      [{ text: "x", style: { fg: 9, isBold: true } }],
    ],
    [
      "cursors and titles are left out",
      `${ESC}[2K${ESC}]0;title\u0007a${ESC}[1Ab`,
      [
        { text: "a", style: {} },
        { text: "b", style: {} },
      ],
    ],
    ["an unfinished escape is not drawn", `a${ESC}`, [{ text: "a", style: {} }]],
    [
      "markup is text",
      "<img src=x onerror=alert(1)>",
      [{ text: "<img src=x onerror=alert(1)>", style: {} }],
    ],
  ])("%s", (_, line, spans) => {
    expect(parseAnsi(line)).toEqual(spans);
  });

  it("are left out of copies", () => {
    expect(plainText(`${ESC}[31mred${ESC}[0m\t1\u0008`)).toBe("red\t1");
  });
});

describe("what a search found", () => {
  it("is marked across styles, in any case", () => {
    const pieces = piecesOf(`an ${ESC}[31mErr${ESC}[0mor here`, "error");
    expect(pieces.map(({ text, isFound }) => [text, isFound])).toEqual([
      ["an ", false],
      ["Err", true],
      ["or", true],
      [" here", false],
    ]);
  });

  it("is marked each time, and two beside each other are two", () => {
    expect(piecesOf("abab", "ab").map((piece) => piece.isFound)).toEqual([true, true]);
  });
});
