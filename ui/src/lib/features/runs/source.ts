/** A source as a column shows it: the file's name of a path, the last part of an address. */
export function sourceName(name: string): string {
  const parts = name.replace(/[#?].*$/, "").split(/[\\/]/);
  return parts.findLast((part) => part !== "") ?? name;
}
