/**
 * The colours that programs write for a terminal, as styles. Text stays text: nothing here makes
 * HTML. What moves a cursor or names a window is left out.
 */

/** How a part of a line is drawn. Colours are the terminal's 16, from 0. */
export interface Style {
  fg?: number;
  bg?: number;
  isBold?: boolean;
  isDim?: boolean;
  isItalic?: boolean;
  isUnderlined?: boolean;
  isStruck?: boolean;
  isInverse?: boolean;
}

export interface Span {
  text: string;
  style: Style;
}

/** `ESC [ … letter`, `ESC ] … (BEL or ESC \)`, and other escapes of two characters. */
const ESCAPE =
  // eslint-disable-next-line no-control-regex
  /\u001b(?:\[([0-9;:?<=>]*)[ -/]*([@-~])|\][^\u0007\u001b]*(?:\u0007|\u001b\\|$)|[ -~])/g;
/** Signs that are not drawn. Tabs are. */
// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f]/g;

/** Takes a line apart where its style changes. */
export function parseAnsi(line: string): Span[] {
  const spans: Span[] = [];
  let style: Style = {};
  let end = 0;
  const push = (text: string) => {
    const shown = text.replaceAll(CONTROL, "");
    if (shown !== "") spans.push({ text: shown, style });
  };
  for (const match of line.matchAll(ESCAPE)) {
    push(line.slice(end, match.index));
    end = match.index + match[0].length;
    if (match[2] === "m") style = restyled(style, match[1] ?? "");
  }
  push(line.slice(end));
  return spans;
}

/** The words of a line without its colours. */
export function plainText(line: string): string {
  return parseAnsi(line)
    .map((span) => span.text)
    .join("");
}

function restyled(before: Style, parameters: string): Style {
  let style: Style = { ...before };
  const codes = parameters === "" ? [0] : parameters.split(/[;:]/).map((code) => Number(code));
  for (let index = 0; index < codes.length; index += 1) {
    const code = codes[index] ?? 0;
    if (code === 0) {
      style = {};
    } else if (code === 1) style.isBold = true;
    else if (code === 2) style.isDim = true;
    else if (code === 3) style.isItalic = true;
    else if (code === 4) style.isUnderlined = true;
    else if (code === 7) style.isInverse = true;
    else if (code === 9) style.isStruck = true;
    else if (code === 22) {
      delete style.isBold;
      delete style.isDim;
    } else if (code === 23) delete style.isItalic;
    else if (code === 24) delete style.isUnderlined;
    else if (code === 27) delete style.isInverse;
    else if (code === 29) delete style.isStruck;
    else if (code >= 30 && code <= 37) style.fg = code - 30;
    else if (code >= 90 && code <= 97) style.fg = code - 82;
    else if (code === 39) delete style.fg;
    else if (code >= 40 && code <= 47) style.bg = code - 40;
    else if (code >= 100 && code <= 107) style.bg = code - 92;
    else if (code === 49) delete style.bg;
    else if (code === 38 || code === 48) {
      const isLong = codes[index + 1] === 2;
      const colour = isLong
        ? nearest(codes[index + 2] ?? 0, codes[index + 3] ?? 0, codes[index + 4] ?? 0)
        : ofPalette(codes[index + 2] ?? 0);
      if (code === 38) style.fg = colour;
      else style.bg = colour;
      index += isLong ? 4 : 2;
    }
  }
  return style;
}

/** One of the 256 colours as the nearest of the 16, which are made to be read in both themes. */
function ofPalette(colour: number): number {
  if (colour < 16) return Math.max(0, colour);
  if (colour >= 232) return grey(((colour - 232) * 10 + 8) / 255);
  const cube = colour - 16;
  const level = (value: number) => (value === 0 ? 0 : 55 + value * 40);
  return nearest(level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6));
}

function nearest(red: number, green: number, blue: number): number {
  const [most, least] = [Math.max(red, green, blue), Math.min(red, green, blue)];
  if (most - least < 40) return grey(most / 255);
  const middle = (most + least) / 2;
  const bits = (red > middle ? 1 : 0) | (green > middle ? 2 : 0) | (blue > middle ? 4 : 0);
  return bits + (most > 170 ? 8 : 0);
}

function grey(lightness: number): number {
  if (lightness < 0.25) return 0;
  if (lightness < 0.6) return 8;
  return lightness < 0.85 ? 7 : 15;
}

/** A part of a line: as it is styled, and whether a search found it. */
export interface Piece extends Span {
  isFound: boolean;
}

/** A line in pieces that are styled alike and are found or not. An empty search finds nothing. */
export function piecesOf(line: string, search: string): Piece[] {
  const spans = parseAnsi(line);
  if (search === "") return spans.map((span) => ({ ...span, isFound: false }));
  const text = spans.map((span) => span.text).join("");
  const [low, wanted] = [text.toLowerCase(), search.toLowerCase()];
  const found: [number, number][] = [];
  // Letters whose small form is longer would shift every place after them.
  if (low.length === text.length) {
    for (let at = low.indexOf(wanted); at !== -1; at = low.indexOf(wanted, at + wanted.length)) {
      found.push([at, at + wanted.length]);
    }
  }
  const pieces: Piece[] = [];
  let begin = 0;
  for (const span of spans) {
    const end = begin + span.text.length;
    const cuts = [...new Set(found.flat())].filter((cut) => cut > begin && cut < end);
    for (const [index, from] of [begin, ...cuts].entries()) {
      const to = cuts[index] ?? end;
      const isFound = found.some(([first, last]) => from >= first && to <= last);
      pieces.push({ text: span.text.slice(from - begin, to - begin), style: span.style, isFound });
    }
    begin = end;
  }
  return pieces;
}
