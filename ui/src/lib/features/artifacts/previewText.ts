/** Text of a file made ready to be read: lines, and JSON laid out. */

/** Lines drawn at first; a longer text is drawn on request, as each line costs the page an element. */
export const LINES_AT_ONCE = 5_000;

/** The lines of a text, whatever ends them. A last line end begins no further line. */
export function splitLines(text: string): string[] {
  const lines = text.split(/\r\n|\n|\r/);
  if (lines.length > 1 && lines.at(-1) === "") lines.pop();
  return lines;
}

/**
 * JSON with one value per line, or `null` where the text is not JSON or is laid out like that already.
 * Only blanks between tokens change: numbers and keys are shown as they were written.
 */
export function layOutJson(path: string, text: string): string | null {
  if (!/\.(json|geojson|ipynb)$/i.test(path)) return null;
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  let laidOut = "";
  let depth = 0;
  let isEmpty = false;
  const newLine = () => `\n${"  ".repeat(depth)}`;
  for (const token of text.match(/"(?:[^"\\]|\\.)*"|[{}[\]:,]|[^\s{}[\]:,"]+/g) ?? []) {
    if (token === "}" || token === "]") {
      depth -= 1;
      laidOut += (isEmpty ? "" : newLine()) + token;
      isEmpty = false;
      continue;
    }
    if (isEmpty) laidOut += newLine();
    isEmpty = false;
    if (token === "{" || token === "[") {
      depth += 1;
      isEmpty = true;
      laidOut += token;
    } else if (token === ",") {
      laidOut += token + newLine();
    } else {
      laidOut += token === ":" ? ": " : token;
    }
  }
  return laidOut === text.trim() ? null : laidOut;
}
