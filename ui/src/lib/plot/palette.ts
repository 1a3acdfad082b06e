/**
 * Series colours: eight hues that people with a colour-vision deficiency can tell apart, each with a
 * value for light and for dark ground.
 *
 * They were searched for numerically in OKLab: the smallest distance between any two of them is as
 * large as possible for normal sight and for simulated protanopia, deuteranopia and tritanopia at
 * once, with at least 3:1 contrast to the ground. Green and teal are missing on purpose: they fall
 * together with the yellows and violets, and the accent of the interface lives there.
 */

/** Ground that a colour is drawn on. */
export type Ground = "light" | "dark";

/** One hue of the palette: sRGB, as a canvas takes it. */
export interface SeriesColor {
  /** What a person would call it. */
  readonly name: string;
  /** On light ground. */
  readonly light: string;
  /** On dark ground. */
  readonly dark: string;
}

/** The palette, in the order in which it is handed out. */
export const SERIES_COLORS: readonly [SeriesColor, ...SeriesColor[]] = [
  { name: "azure", light: "#2781ef", dark: "#8cc9fa" },
  { name: "rust", light: "#920f01", dark: "#f06c4c" },
  { name: "olive", light: "#998f27", dark: "#c2bf18" },
  { name: "plum", light: "#673567", dark: "#af70a1" },
  { name: "rose", light: "#c35e7f", dark: "#f197b4" },
  { name: "navy", light: "#1b439a", dark: "#4281e5" },
  { name: "umber", light: "#966030", dark: "#ffca87" },
  { name: "violet", light: "#7b62a9", dark: "#a594fd" },
];

/**
 * The colour of a run. The same run has the same colour on every screen, in every session and on
 * every machine, whatever it is shown beside.
 */
export function seriesColor(runId: string, ground: Ground): string {
  const color = SERIES_COLORS[hash(runId) % SERIES_COLORS.length] ?? SERIES_COLORS[0];
  return color[ground];
}

/** How a line is drawn among others: a hue, and dashes once every hue is taken. */
export interface SeriesStyle {
  readonly color: SeriesColor;
  /** Lengths of dashes and gaps in pixels; empty for a solid line. */
  readonly dash: readonly number[];
}

/** Told apart at the width of a line; solid first. */
const DASHES: readonly (readonly number[])[] = [[], [7, 3], [2, 3], [9, 3, 2, 3]];

/**
 * How the lines of some runs (or groups) are drawn side by side, by id.
 *
 * A run keeps the colour that it has elsewhere unless another one beside it has the same: then one of
 * the two takes the next that is free. Once all are taken, each is taken again with other dashes. The
 * order of `ids` makes no difference.
 */
export function seriesStyles(ids: readonly string[]): Map<string, SeriesStyle> {
  const styles = new Map<string, SeriesStyle>();
  const taken = SERIES_COLORS.map(() => 0);
  const take = (id: string, place: number) => {
    const level = taken[place] ?? 0;
    taken[place] = level + 1;
    styles.set(id, {
      color: SERIES_COLORS[place] ?? SERIES_COLORS[0],
      dash: DASHES[level % DASHES.length] ?? [],
    });
  };
  const own = (id: string) => hash(id) % SERIES_COLORS.length;
  const left = [...new Set(ids)].sort().filter((id) => {
    if (taken[own(id)] !== 0) return true;
    take(id, own(id));
    return false;
  });
  for (const id of left) {
    const least = Math.min(...taken);
    let place = own(id);
    while (taken[place] !== least) place = (place + 1) % SERIES_COLORS.length;
    take(id, place);
  }
  return styles;
}

/** FNV-1a over UTF-16 units, 32 bits: small, and even enough for run ids. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    value ^= text.charCodeAt(index);
    value = Math.imul(value, 0x01000193);
  }
  return value >>> 0;
}
