/** In which order somebody new reads the site, and where each of its pages comes from. */
import type { SiteContent } from "./pages.ts";

export interface NavigationGroup {
  readonly title: string;
  /** Only the group of the page that is open shows its pages. */
  readonly collapsed?: boolean;
  readonly entries: readonly NavigationEntry[];
}

export interface NavigationEntry {
  readonly title: string;
  /** The page, without `.md`. */
  readonly page: string;
  /** Pages whose addresses begin so stand below it. */
  readonly below?: string;
}

const entries = (pages: Readonly<Record<string, string>>): NavigationEntry[] =>
  Object.entries(pages).map(([page, title]) => ({ page, title }));

export const NAVIGATION: readonly NavigationGroup[] = [
  { title: "Start", entries: entries({ start: "Start here", concepts: "Concepts" }) },
  {
    title: "Guides",
    entries: [
      ...entries({
        agents: "Host an agent",
        hosting: "Host it in your service",
        "submit-and-watch": "Submit and watch",
        disconnects: "Survive disconnects",
        "durable-agents": "Survive restarts",
        "bounding-an-agent": "Bound an agent",
        "ask-a-human": "Ask a human",
        delegation: "Delegate",
        "large-results": "Stream large results",
        observability: "Observe",
        webhooks: "Be told by webhooks",
        authentication: "Authenticate",
        browser: "Use it in a browser",
        dashboard: "The dashboard",
        terminal: "In the terminal",
        migrate: "Come from another SDK",
        "wire-1.0": "Come from wire 1.0",
      }),
      { page: "examples/index", title: "Examples", below: "examples/" },
    ],
  },
  { title: "Transports", entries: entries({ transports: "Which one", http: "HTTP and REST" }) },
  {
    title: "Reference",
    entries: [
      ...entries({ cli: "The command line" }),
      { page: "reference/cli", title: "Commands", below: "reference/cli/" },
      ...entries({ "reference/configuration": "Configuration", leases: "Leases", errors: "Errors" }),
      { page: "packages/client", title: "Packages", below: "packages/" },
      { page: "api/index", title: "API", below: "api/" },
    ],
  },
  {
    title: "Protocol",
    entries: entries({ "project/protocol": "Decisions", "project/interop": "Other SDKs" }),
  },
  {
    title: "Operations",
    entries: entries({
      deploy: "Deploy",
      operations: "Operate",
      storage: "The database",
      cluster: "Several nodes",
      upgrade: "Upgrade",
    }),
  },
  { title: "Performance", entries: entries({ performance: "How fast it is", "project/measurements": "Measurements" }) },
  {
    title: "Security",
    entries: entries({
      security: "The model",
      "project/security": "Bounds and close codes",
      "hostile-input": "Hostile input",
      audit: "The audit",
    }),
  },
  {
    title: "Conformance",
    entries: entries({
      "conformance-suite": "Does a runtime keep it?",
      "conformance-client": "Does a client keep it?",
      "project/conformance": "Every requirement",
      "project/requirements": "How they are written",
      chaos: "The fault harness",
    }),
  },
  {
    title: "The project",
    collapsed: true,
    entries: entries({
      "project/architecture": "Architecture",
      "project/contributing": "Contributing",
      "project/changelog": "Changelog",
      "project/releasing": "Releasing",
    }),
  },
];

/** Pages of the site that are documents outside `docs`. */
const DOCUMENTS: Readonly<Record<string, string>> = {
  "README.md": "project/readme",
  "ARCHITECTURE.md": "project/architecture",
  "PROTOCOL.md": "project/protocol",
  "SECURITY.md": "project/security",
  "CONTRIBUTING.md": "project/contributing",
  "RELEASING.md": "project/releasing",
  "CHANGELOG.md": "project/changelog",
  "CONFORMANCE.md": "project/conformance",
  "bench/README.md": "project/measurements",
  "conformance/README.md": "project/requirements",
  "interop/README.md": "project/interop",
  "examples/README.md": "examples/index",
};

/** The page, without `.md`, that a document of the repository is on the site; `undefined` if it is none. */
export function pageOf(document: string): string | undefined {
  const known = DOCUMENTS[document];
  if (known !== undefined) return known;
  const [, guide] = /^docs\/([^/]+)\.md$/.exec(document) ?? [];
  if (guide !== undefined) return guide;
  const [, example] = /^examples\/([^/]+)\/README\.md$/.exec(document) ?? [];
  if (example !== undefined) return `examples/${example}`;
  const [, name] = /^packages\/([^/]+)\/README\.md$/.exec(document) ?? [];
  return name === undefined ? undefined : `packages/${name}`;
}

/** Guides that no group leads to, and entries that lead nowhere. */
export function navigationProblems(pages: SiteContent["pages"]): string[] {
  const entries = NAVIGATION.flatMap((group) => group.entries.map(({ page }) => `${page}.md`));
  const lost = [...pages.keys()].filter(
    (page) => !page.includes("/") && page !== "index.md" && !entries.includes(page),
  );
  return [
    ...lost.map((page) => `docs/${page}: docs/site/navigation.ts does not say where it stands`),
    ...entries.filter((page) => !pages.has(page)).map((page) => `docs/site/navigation.ts: there is no ${page}`),
  ];
}
