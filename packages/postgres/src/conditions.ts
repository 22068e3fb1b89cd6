import type { Value } from "./connections.ts";

/** The conditions of a query, which are added one by one, with the values that they bind. */
export class Conditions {
  readonly values: Value[] = [];
  readonly #list: string[] = [];

  /** `column =`, and what it is compared with: several values are a row. */
  add(comparison: string, ...values: readonly (string | number)[]): void {
    const places = values.map((value) => this.bind(value));
    this.#list.push(`${comparison} ${places.length === 1 ? places[0] : `(${places.join(", ")})`}`);
  }

  oneOf(column: string, values: readonly (string | number)[]): void {
    this.#list.push(
      values.length === 0 ? "false" : `${column} IN (${values.map((value) => this.bind(value)).join(", ")})`,
    );
  }

  /** The place of a value in the statement. */
  bind(value: Value): string {
    this.values.push(value);
    return `$${this.values.length}`;
  }

  get text(): string {
    return this.#list.length === 0 ? "" : `WHERE ${this.#list.join(" AND ")}`;
  }
}
