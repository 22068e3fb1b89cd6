/** What `arcp doctor` has found out. */
import { EXIT, type ExitCode } from "../exit-code.ts";
import { reasonOf } from "../failure.ts";

export type Level = "ok" | "warning" | "error";

export interface Finding {
  /** What was looked at: `node`, `database`, … */
  readonly check: string;
  readonly level: Level;
  /** What is so, in one line. */
  readonly message: string;
  /** What to do about it. Everything that is not as it should be has one. */
  readonly fix?: string;
}

/** The findings of one check. */
export class Check {
  readonly #name: string;
  readonly #findings: Finding[];

  constructor(name: string, findings: Finding[]) {
    this.#name = name;
    this.#findings = findings;
  }

  ok(message: string): void {
    this.#findings.push({ check: this.#name, level: "ok", message });
  }

  warning(message: string, fix: string): void {
    this.#findings.push({ check: this.#name, level: "warning", message, fix });
  }

  error(message: string, fix: string): void {
    this.#findings.push({ check: this.#name, level: "error", message, fix });
  }

  /** What `work` returns; if it throws, that is an error, and the result `undefined`. */
  async attempt<Result>(work: () => Result | Promise<Result>, fix: string): Promise<Result | undefined> {
    try {
      return await work();
    } catch (thrown) {
      this.error(reasonOf(thrown), fix);
      return undefined;
    }
  }
}

const RANK: Readonly<Record<Level, number>> = { ok: 0, warning: 1, error: 2 };

/** The worst of them. */
export const worstOf = (findings: readonly Finding[]): Level =>
  findings.reduce<Level>((worst, { level }) => (RANK[level] > RANK[worst] ? level : worst), "ok");

/** What to exit with. */
export const exitCodeOf = (worst: Level, isStrict: boolean): ExitCode =>
  worst === "error" || (worst === "warning" && isStrict) ? EXIT.failure : EXIT.success;
