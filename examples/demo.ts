/** `npm run demo [-- <name>] [-- …]`: runs a demo by its name; without one, the report on a repository. */
const demos: Readonly<Record<string, string>> = {
  "repo-report": "./repo-report/demo.ts",
  authority: "./authority/run.ts",
  crash: "./durable-research/run.ts",
  cluster: "./cluster/run.ts",
  browser: "./browser/run.ts",
  trace: "./observability/browser.ts",
  dashboard: "./dashboard/start.ts",
};

const name = process.argv[2] ?? "";
const isNamed = Object.hasOwn(demos, name);
// What follows the name is the demo's own.
if (isNamed) process.argv.splice(2, 1);
await import(demos[isNamed ? name : "repo-report"] ?? "");
