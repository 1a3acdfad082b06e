import js from "@eslint/js";
import svelte from "eslint-plugin-svelte";
import globals from "globals";
import ts from "typescript-eslint";

import svelteConfig from "./svelte.config.js";

const FEATURES = [
  "artifacts",
  "compare",
  "environments",
  "experiments",
  "launches",
  "models",
  "projects",
  "run",
  "runs",
  "settings",
  "stores",
];

export default ts.config(
  { ignores: ["build/", ".svelte-kit/", "src/lib/rpc/bindings/"] },
  js.configs.recommended,
  ...ts.configs.strict,
  ...svelte.configs.recommended,
  {
    languageOptions: { globals: { ...globals.browser, ...globals.node } },
    rules: {
      // TypeScript knows better which names exist.
      "no-undef": "off",
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/switch-exhaustiveness-check": "off",
      // Plain maps and sets are for what nothing on the screen reads.
      "svelte/prefer-svelte-reactivity": "off",
      // Addresses are written from the root; both hosts serve from `/`.
      "svelte/no-navigation-without-resolve": "off",
      "no-restricted-imports": [
        "error",
        {
          patterns: [
            { group: ["@tauri-apps/*"], message: "Only lib/host talks to the window." },
            {
              regex: "^@lucide/svelte$",
              message: "Import icons by path: the whole set takes half a minute to compile.",
            },
          ],
        },
      ],
    },
  },
  {
    files: ["**/*.svelte", "**/*.svelte.ts"],
    languageOptions: { parserOptions: { parser: ts.parser, svelteConfig } },
  },
  { files: ["src/lib/host/**"], rules: { "no-restricted-imports": "off" } },
  // A feature imports no other feature: what two of them need lives one level down.
  ...FEATURES.map((feature) => ({
    files: [`src/lib/features/${feature}/**`],
    rules: {
      "no-restricted-imports": [
        "error",
        {
          patterns: [
            { group: ["@tauri-apps/*"], message: "Only lib/host talks to the window." },
            { regex: "^@lucide/svelte$", message: "Import icons by path." },
            {
              regex: `features/(?!${feature}(/|$))`,
              message: "A feature imports no other feature; move the shared part below.",
            },
          ],
        },
      ],
    },
  })),
);
