import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

import adapterStatic from "@sveltejs/adapter-static";

const BUILD = "build";

/**
 * Moves the start-up script of the page into a file of its own, so that both hosts can forbid
 * inline scripts (`script-src 'self'`) without knowing a hash.
 * @param {import('@sveltejs/kit').Adapter} inner
 * @returns {import('@sveltejs/kit').Adapter}
 */
function withoutInlineScripts(inner) {
  return {
    ...inner,
    async adapt(builder) {
      await inner.adapt(builder);
      const page = path.join(BUILD, "index.html");
      const html = readFileSync(page, "utf8").replace(
        /<script>([\s\S]*?)<\/script>/g,
        (_, code) => {
          const hash = createHash("sha256").update(code).digest("hex").slice(0, 8);
          writeFileSync(path.join(BUILD, `_app/immutable/start.${hash}.js`), code);
          return `<script src="/_app/immutable/start.${hash}.js"></script>`;
        },
      );
      writeFileSync(page, html);
    },
  };
}

/** @type {import('@sveltejs/kit').Config} */
export default {
  compilerOptions: { runes: true },
  kit: {
    adapter: withoutInlineScripts(
      adapterStatic({ pages: BUILD, assets: BUILD, fallback: "index.html" }),
    ),
    // Both hosts serve the build from `/`, and an unknown path gets index.html.
    paths: { relative: false },
    typescript: {
      config(config) {
        config.include.push("../vite.config.ts");
        return config;
      },
    },
  },
};
