import type { Attachment } from "svelte/attachments";

/** What in a row answers to a press itself. */
const OWN = "a, button, input, select, label, summary";

/**
 * Rows that lead somewhere, for what holds their table: a press anywhere on a row opens its first link, arrows,
 * Home and End go from row to row, and Enter opens the one with the focus, because that is its link.
 */
export const rowsLead: Attachment<HTMLElement> = (holder) => {
  const links = () =>
    [...holder.querySelectorAll("tbody tr")].flatMap(
      (row) => row.querySelector<HTMLAnchorElement>("a[href]") ?? [],
    );

  function onclick(event: MouseEvent) {
    if (event.button !== 0 || !(event.target instanceof Element)) return;
    const link = event.target.closest("tbody tr")?.querySelector("a[href]");
    if (!link || event.target.closest(OWN) !== null) return;
    // Text that was just marked is to be copied.
    if (getSelection()?.isCollapsed === false) return;
    const { ctrlKey, metaKey, shiftKey } = event;
    const how = { bubbles: true, cancelable: true, ctrlKey, metaKey, shiftKey };
    link.dispatchEvent(new MouseEvent("click", how));
  }

  function onkeydown(event: KeyboardEvent) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const rows = links();
    const here = document.activeElement?.closest("tbody tr");
    const at = rows.findIndex((link) => link.closest("tr") === here);
    const next = {
      ArrowDown: Math.min(at + 1, rows.length - 1),
      ArrowUp: Math.max(at - 1, 0),
      Home: 0,
      End: rows.length - 1,
    }[event.key];
    if (next === undefined || rows.length === 0) return;
    event.preventDefault();
    rows[next]?.focus();
  }

  holder.addEventListener("click", onclick);
  holder.addEventListener("keydown", onkeydown);
  return () => {
    holder.removeEventListener("click", onclick);
    holder.removeEventListener("keydown", onkeydown);
  };
};
