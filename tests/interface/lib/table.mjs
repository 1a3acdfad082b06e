/** The run table as a person sees it: rows from top to bottom, cells by the names of their columns. */
import { until } from "./tests.mjs";

export class RunTable {
  /** @param {import("playwright-core").Page} page */
  constructor(page) {
    this.page = page;
    this.grid = page.getByRole("grid", { name: "Runs" });
    this.filter = page.getByRole("textbox", { name: "Filter runs" });
  }

  /** The drawn rows in their order: `{ index, top, cells: { Run: "…", auc: "…" } }`. */
  rows() {
    return this.grid.evaluate((grid) => {
      const words = (element) => element.textContent.replaceAll(/\s+/g, " ").trim();
      const columns = new Map(
        [...grid.querySelectorAll("[role=columnheader]")].map((head) => [
          head.getAttribute("aria-colindex"),
          words(head),
        ]),
      );
      const { top } = grid.getBoundingClientRect();
      return [...grid.querySelectorAll("[role=row][aria-rowindex]")]
        .map((row) => ({
          index: Number(row.getAttribute("aria-rowindex")),
          top: Math.round(row.getBoundingClientRect().top - top),
          isBusy: row.getAttribute("aria-busy") === "true",
          cells: Object.fromEntries(
            [...row.querySelectorAll("[role=gridcell]")].map((cell) => [
              columns.get(cell.getAttribute("aria-colindex")),
              words(cell),
            ]),
          ),
        }))
        .filter(({ index }) => index > 1)
        .sort((one, other) => one.index - other.index);
    });
  }

  /** Waits for the rows of one column, from the top. */
  async shows(column, expected) {
    const wanted = JSON.stringify(expected);
    await until(`the column ${column} to be ${wanted}`, async () => {
      const shown = (await this.rows()).map(({ cells }) => cells[column]);
      if (JSON.stringify(shown) === wanted) return true;
      throw new Error(JSON.stringify(shown));
    });
  }

  /** Waits for the drawn row of a run that satisfies a condition. */
  row(name, isRight = () => true) {
    return until(`the row of ${name}`, async () => {
      const row = (await this.rows()).find(({ cells }) => cells.Run === name);
      if (row !== undefined && isRight(row)) return row;
      throw new Error(JSON.stringify(row));
    });
  }

  /** Waits until the table has this many rows, drawn or not. */
  count(expected) {
    return until(`${expected} rows`, async () => {
      const count = Number(await this.grid.getAttribute("aria-rowcount"));
      if (count === expected + 1) return true;
      throw new Error(`aria-rowcount ${count}`);
    });
  }

  /** The row that the keyboard is at: its first cell's text. */
  current() {
    return this.grid.evaluate((grid) => {
      const cell = document.getElementById(grid.getAttribute("aria-activedescendant") ?? "");
      const row = cell?.closest("[role=row]");
      return row?.querySelector("[role=gridcell]")?.textContent.trim();
    });
  }

  header(name) {
    return this.grid.getByRole("columnheader", { name, exact: true });
  }

  /** Clicks a column's head and waits for the order it then has. */
  async order(name, expected) {
    await this.header(name).getByRole("button").click();
    await until(`${name} to be ordered ${expected}`, async () => {
      return (await this.header(name).getAttribute("aria-sort")) === expected;
    });
  }

  /** Types a filter and applies it. */
  async find(filter) {
    await this.filter.fill(filter);
    await this.filter.press("Enter");
  }
}
