/** What was expected and what was found: one line each, and an exit code that says if they agree. */

const CODE_WIDTH = 22;

export class Proof {
  #failures = 0;
  #checks = 0;

  get hasFailed(): boolean {
    return this.#failures > 0;
  }

  get summary(): string {
    return this.hasFailed
      ? `${this.#failures} of ${this.#checks} checks failed.`
      : `All ${this.#checks} checks hold: what the lease does not grant was refused, and nothing behind it was touched.`;
  }

  title(text: string): void {
    console.log(`\n${text}`);
  }

  /** `code` is what came of `what`; `expected` what had to. */
  code(what: string, code: string, expected: string, note = ""): void {
    this.#line(code === expected, code, code === expected ? what : `${what} (expected ${expected})`, note);
  }

  /** A fact that has to be so. */
  fact(what: string, isSo: boolean, note = ""): void {
    this.#line(isSo, isSo ? "verified" : "WRONG", what, note);
  }

  #line(isSo: boolean, code: string, what: string, note: string): void {
    this.#checks += 1;
    if (!isSo) this.#failures += 1;
    console.log(`  ${isSo ? "✓" : "✗"} ${code.padEnd(CODE_WIDTH)} ${what}`);
    if (note !== "") console.log(`    ${" ".repeat(CODE_WIDTH)} ${note}`);
  }
}
