import { fireEvent, screen } from "@testing-library/svelte";
import { describe, expect, it } from "vitest";

import { draw } from "$lib/testing";

import TokenDialog from "./TokenDialog.svelte";

const TOKEN = "5e".repeat(32);
const settings = { theme: "system", recent_stores: [], port: null } as const;

function dialog(requiresToken: boolean) {
  return draw(
    TokenDialog,
    {},
    {
      "settings.get": () => ({ ...settings, recent_stores: [], requires_token: requiresToken }),
      "settings.set_requires_token": ({ required }) => ({
        ...settings,
        recent_stores: [],
        requires_token: required,
      }),
      "token.get": () => ({ token: TOKEN, path: "/home/ada/.config/cairn/token" }),
    },
  );
}

describe("the token of MLflow clients", () => {
  it("is asked for only when the dialog opens, and is never shown", async () => {
    const { host, actions } = dialog(false);
    expect(host.callsOf("token.get")).toEqual([]);
    actions.find("settings.token")?.run();
    await screen.findByText("/home/ada/.config/cairn/token");
    await screen.findByRole("button", { name: "Copy the token" });
    expect(document.body.textContent).not.toContain(TOKEN);
    expect(host.callsOf("token.get")).toEqual([{}]);
  });

  it("is switched on and off by one switch", async () => {
    const { host, actions } = dialog(false);
    actions.find("settings.token")?.run();
    const box = await screen.findByRole<HTMLInputElement>("checkbox");
    await expect.poll(() => box.disabled).toBe(false);
    expect(box.checked).toBe(false);
    await fireEvent.click(box);
    await expect
      .poll(() => host.callsOf("settings.set_requires_token"))
      .toEqual([{ required: true }]);
    await expect.poll(() => box.checked && !box.disabled).toBe(true);
  });
});
