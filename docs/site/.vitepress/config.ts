import { defineConfig } from "vitepress";
import { headingAnchor } from "../../../scripts/docs-links.ts";
import { diagramOf } from "../diagram.ts";
import { sidebar } from "../sidebar.ts";

const base = process.env["DOCS_BASE"] ?? "/";
const staged = new URL("../pages/", import.meta.url);

/** The pages are put into `pages` by `build.ts`, which runs VitePress, too. */
export default defineConfig({
  title: "arcp",
  description: "The runtime, client and command line of the Agent Runtime Control Protocol",
  lang: "en",
  base,
  srcDir: "pages",
  outDir: "dist",
  cleanUrls: false,
  head: [["link", { rel: "icon", href: `${base}icon.svg`, type: "image/svg+xml" }]],
  // The built pages are searched for broken links, with their anchors.
  ignoreDeadLinks: true,
  vite: { logLevel: "warn", build: { chunkSizeWarningLimit: 2_000 } },
  markdown: {
    theme: { light: "github-light-high-contrast", dark: "github-dark" },
    anchor: { slugify: headingAnchor },
    toc: { slugify: headingAnchor },
    languageAlias: { haproxy: "ini", caddyfile: "nginx", console: "text" },
    codeTransformers: [
      {
        // What is typed stands out from what is printed.
        line(node, line) {
          if (["console", "text"].includes(this.options.lang) && this.source.split("\n")[line - 1]?.startsWith("$ ")) {
            this.addClassToHast(node, "typed");
          }
        },
      },
    ],
    config: (md) => {
      const { fence, text } = md.renderer.rules;
      md.renderer.rules.fence = (...args) => {
        const token = args[0][args[1]];
        return token?.info === "mermaid" ? diagramOf(token.content) : (fence?.(...args) ?? "");
      };
      // Text is no template.
      md.renderer.rules.text = (...args) =>
        (text?.(...args) ?? md.utils.escapeHtml(args[0][args[1]]?.content ?? "")).replaceAll("{{", "&#123;&#123;");
    },
  },
  themeConfig: {
    siteTitle: "arcp",
    search: {
      provider: "local",
      options: {
        // What is found has no colours: highlighting everything for it, too, would take as long as the rest.
        _render: async (text, env, md) => {
          if (/^---\nsearch: false\n/.test(text)) return "";
          return md.renderAsync(text.replaceAll(/^( *`{3,})(?!mermaid)\w.*$/gm, "$1"), env);
        },
      },
    },
    outline: { level: [2, 3], label: "On this page" },
    nav: [
      { text: "Start", link: "/start" },
      { text: "Examples", link: "/examples/" },
      { text: "Command line", link: "/cli" },
      { text: "API", link: "/api/" },
    ],
    sidebar: sidebar(staged),
    docFooter: { prev: "Before", next: "Next" },
  },
});
