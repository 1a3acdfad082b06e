/**
 * Small things the page remembers between starts: panel sizes, column widths. Storage may be
 * forbidden or full; then they are simply not remembered.
 */
export function remember(name: string, value: unknown): void {
  try {
    localStorage.setItem(`cairn.${name}`, JSON.stringify(value));
  } catch {
    // Not worth a word to the person.
  }
}

/** What was remembered under the name, or `undefined`; whoever asks checks its shape. */
export function recall(name: string): unknown {
  try {
    const text = localStorage.getItem(`cairn.${name}`);
    return text === null ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}
