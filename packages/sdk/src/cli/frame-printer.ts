/** Messages of wire 1.0 on standard output: as lines of JSON, as text for people, or as they came. */
import type { JsonObject } from "@arcp/core";
import type { Received } from "../conversation.ts";
import { escapeLine, escapeText } from "./escape.ts";
import { frameLine } from "./frame-line.ts";
import { printJson } from "./json-view.ts";
import { Terminal } from "./terminal.ts";

export interface FramePrinterOptions {
  readonly raw?: boolean;
  /** Default: where standard output is not a terminal. */
  readonly json?: boolean;
  /** Says above its messages of which job they are, where messages of several may come. Default: false. */
  readonly namesJobs?: boolean;
}

export class FramePrinter {
  readonly #isRaw: boolean;
  readonly #isJson: boolean;
  readonly #namesJobs: boolean;
  readonly #terminal = new Terminal(process.stdout);
  #jobId: unknown;

  constructor({ raw = false, json = !process.stdout.isTTY, namesJobs = false }: FramePrinterOptions) {
    this.#isRaw = raw;
    this.#isJson = json;
    this.#namesJobs = namesJobs;
  }

  /** Resolves when there is room for more. */
  async print({ text, frame }: Received): Promise<void> {
    // A terminal would act on what is in it.
    if (this.#isRaw) await this.#terminal.print(process.stdout.isTTY ? escapeText(text) : text);
    else if (this.#isJson) await printJson(process.stdout, frame);
    else {
      await this.#nameJob(frame);
      await this.#terminal.print(frameLine(frame, this.#terminal));
    }
  }

  async #nameJob({ job_id }: JsonObject): Promise<void> {
    if (!this.#namesJobs || job_id === this.#jobId) return;
    this.#jobId = job_id;
    const terminal = this.#terminal;
    const name = job_id === undefined ? "the session" : String(job_id);
    await terminal.print(`${terminal.style("cyan", "●")} ${terminal.style("bold", escapeLine(name))}`);
  }
}
