import { sveltekit } from "@sveltejs/kit/vite";
import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [sveltekit()],
  build: {
    // WebKitGTK 2.40 and later; Chromium and WKWebView of the same years.
    target: ["safari16.4", "chrome111"],
    // Fonts stay files: data: URLs would need a wider content security policy.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 900,
  },
  server: { host: "127.0.0.1" },
  test: {
    environment: "jsdom",
    include: ["src/**/*.test.ts"],
    setupFiles: ["src/test-setup.ts"],
    restoreMocks: true,
  },
  // Components run in jsdom as they do in the browser.
  ...(process.env["VITEST"] === undefined ? {} : { resolve: { conditions: ["browser"] } }),
});
