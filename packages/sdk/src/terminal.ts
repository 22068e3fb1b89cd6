/** `@arcp/sdk/terminal`: the view of a job that the `arcp` command has, for programs of your own. */
export type { JobView, Outcome, WatchedChild, WatchedJob } from "./cli/job-view.ts";
export { JsonView } from "./cli/json-view.ts";
export { Terminal, type TerminalStream } from "./cli/terminal.ts";
export { TerminalView, type TerminalViewOptions } from "./cli/terminal-view.ts";
