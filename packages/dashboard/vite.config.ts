import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

export default defineConfig({
  root: fileURLToPath(new URL("src/app", import.meta.url)),
  // Relative, so that the page works wherever it is mounted.
  base: "./",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  resolve: { conditions: ["browser", "module", "import", "default"] },
  build: {
    outDir: fileURLToPath(new URL("dist/app", import.meta.url)),
    emptyOutDir: true,
    target: "es2024",
    // What it would add is a script in the page.
    modulePreload: { polyfill: false },
    // Everything is a file: the policy of the page lets nothing in from `data:`.
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
});
