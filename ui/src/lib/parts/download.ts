/** Lets the browser save a file: where there are no dialogs of the system. */
export function download(name: string, mime: string, base64: string): void {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const address = URL.createObjectURL(new Blob([bytes], { type: mime }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  // The browser reads the file after the press.
  setTimeout(() => {
    URL.revokeObjectURL(address);
  }, 10_000);
}
