import { screen, waitFor } from "@testing-library/svelte";
import { userEvent } from "@testing-library/user-event";
import { beforeEach, describe, expect, it, vi } from "vitest";

import type { LogLines } from "$lib/rpc/bindings/LogLines";
import type { LogRequest } from "$lib/rpc/bindings/LogRequest";
import { draw } from "$lib/testing";

import LogView from "./LogView.svelte";

const LOG = { of: "run", id: "r1" } as const;

beforeEach(() => {
  // jsdom lays nothing out: a log of ten lines' height.
  vi.spyOn(HTMLElement.prototype, "clientHeight", "get").mockReturnValue(180);
  vi.stubGlobal(
    "ResizeObserver",
    class {
      observe() {}
      unobserve() {}
      disconnect() {}
    },
  );
});

function open(lines: string[], more: Partial<LogLines> = {}) {
  let all = lines;
  let facts = more;
  const page = draw(
    LogView,
    { log: LOG },
    {
      "log.lines": ({ first, count }: LogRequest) => ({
        total: all.length,
        first,
        lines: all.slice(first, first + count),
        bytes: all.join("\n").length,
        skipped_bytes: 0,
        gap_line: null,
        is_open: false,
        ...facts,
      }),
      "log.find": ({ text }) => {
        const found = all.flatMap((line, index) =>
          line.toLowerCase().includes((text ?? "error:").toLowerCase()) ? [index] : [],
        );
        return { lines: found, total: found.length };
      },
    },
  );
  return {
    ...page,
    grow(added: string[], now: Partial<LogLines> = {}) {
      all = [...all, ...added];
      facts = { ...facts, ...now };
      page.host.emit({ type: "log", launch_id: "l1", run_id: "r1" });
    },
  };
}

describe("log", () => {
  it("shows lines with their colours as text, never as markup", async () => {
    open(["plain", "\u001b[31mred\u001b[0m", "<b>not bold</b>"]);
    expect(await screen.findByText("<b>not bold</b>")).toBeTruthy();
    expect(screen.getByText("red").getAttribute("style")).toContain("--ansi-1");
  });

  it("grows while the run prints", async () => {
    const { grow } = open(["first"], { is_open: true });
    await screen.findByText("first");
    grow(["second"]);
    expect(await screen.findByText("second")).toBeTruthy();
    expect(screen.getByText(/2\s+lines/)).toBeTruthy();
  });

  it("asks only for what is near the screen", async () => {
    const { host } = open(Array.from({ length: 100_000 }, (_, line) => `line ${String(line)}`));
    await screen.findByText("line 0");
    expect(host.callsOf("log.lines").map(({ first, count }) => [first, count])).toEqual([[0, 400]]);
    expect(
      screen.getByRole("region", { name: "Lines of the log" }).querySelectorAll(".line").length,
    ).toBeLessThan(30);
  });

  it("finds a text, marks it and steps through", async () => {
    open(["loss 1", "other", "LOSS 2"]);
    await screen.findByText("other");
    await userEvent.type(screen.getByLabelText("Search the log"), "loss{enter}");
    expect(await screen.findByText("1 of 2")).toBeTruthy();
    await userEvent.keyboard("{enter}");
    expect(screen.getByText("2 of 2")).toBeTruthy();
    expect([...document.querySelectorAll("mark")].map((mark) => mark.textContent)).toEqual([
      "loss",
      "LOSS",
    ]);
  });

  it("goes to the first error", async () => {
    open(["fine", "ValueError: no"]);
    await screen.findByText("fine");
    await userEvent.keyboard("e");
    await waitFor(() => expect(screen.getByText("ValueError: no").closest(".here")).toBeTruthy());
  });

  it("says what was not kept, where it was", async () => {
    open(["a", "", "b"], { gap_line: 1, skipped_bytes: 5_000_000 });
    expect(await screen.findByText("5 MB in the middle were not kept")).toBeTruthy();
  });

  it("says that nothing was written yet", async () => {
    open([], { is_open: true });
    expect(await screen.findByText("Nothing was written yet")).toBeTruthy();
  });
});
