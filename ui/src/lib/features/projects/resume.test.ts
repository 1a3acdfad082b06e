import { screen, waitFor } from "@testing-library/svelte";
import { userEvent } from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";

import { CommandFailure } from "$lib/host";
import type { LaunchView } from "$lib/rpc/bindings/LaunchView";
import { draw } from "$lib/testing";

import { resume } from "./again";
import ResumePage from "./ResumePage.svelte";

const LAUNCH = { launch_id: "l1", title: "churn: pipeline", run: null } as LaunchView;
const PLAN = {
  command: "# clean\npython clean.py",
  folder: "~/churn",
  environment: {
    kind: "local",
    summary: "This computer’s",
    files: [],
    is_built: null,
    folder: null,
  },
  params: [],
  variables: [],
  content_hash: "h2",
  is_allowed: false,
  problems: [],
  warnings: [],
};

function refuse(code: "needs_consent" | "invalid_input", message: string) {
  return () => {
    throw new CommandFailure({ code, message, hint: null, detail: null, span: null });
  };
}

async function press(answer: () => LaunchView) {
  const [goTo, onstarted] = [vi.fn(), vi.fn()];
  draw(
    ResumePage,
    { runId: "r1", onstarted },
    { "resume.start": answer, "resume.plan": () => PLAN, "run.get": refuse("invalid_input", "–") },
  );
  await resume("r1", { goTo, onstarted });
  return { goTo, onstarted };
}

describe("going on with a pipeline or sweep", () => {
  it("is one press where nothing changed", async () => {
    const { goTo, onstarted } = await press(() => LAUNCH);
    expect(onstarted).toHaveBeenCalledWith(LAUNCH);
    expect(goTo).not.toHaveBeenCalled();
  });

  it("asks on its own page where files changed since, and only then", async () => {
    const asked = await press(refuse("needs_consent", "not allowed"));
    expect(asked.goTo).toHaveBeenCalledWith("/runs/r1/resume");
    expect(asked.onstarted).not.toHaveBeenCalled();
    const failed = await press(refuse("invalid_input", "The pipeline is still at work"));
    expect(failed.goTo).not.toHaveBeenCalled();
  });

  it("allows what is on the screen by one press", async () => {
    const onstarted = vi.fn();
    const { host } = draw(
      ResumePage,
      { runId: "r1", onstarted },
      {
        "resume.start": () => LAUNCH,
        "resume.plan": () => PLAN,
        "run.get": refuse("invalid_input", "–"),
      },
    );
    expect(await screen.findByText(/python clean\.py/)).toBeTruthy();
    await userEvent.click(screen.getByRole("button", { name: "Allow and resume" }));
    await waitFor(() => expect(onstarted.mock.calls[0]?.[0]).toEqual(LAUNCH));
    expect(host.callsOf("resume.start")).toEqual([{ run_id: "r1", allow: "h2" }]);
  });
});
