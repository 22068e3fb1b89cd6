/** The audit of an older version of the embedded store becomes a chain. */
import type Database from "better-sqlite3";
import { linked } from "./audit-chain.ts";
import { canonicalJson } from "./canonical-json.ts";
import type { AuditTableRow } from "./sqlite-rows.ts";
import type { AuditHead } from "./store.ts";

/** Makes a chain of the rows of an audit that was none. To be called once, in the transaction that makes the columns. */
export function sealAudit(db: Database.Database): void {
  const rows = db.prepare("SELECT * FROM audit ORDER BY key").all() as AuditTableRow[];
  db.exec("DELETE FROM audit");
  const insert = db.prepare("INSERT INTO audit (key, at, action, principal, facts, hash) VALUES (?, ?, ?, ?, ?, ?)");
  let head: AuditHead | undefined;
  for (const { at, action, principal, facts } of rows) {
    const row = linked(head, { at, action, principal, facts: canonicalJson(JSON.parse(facts)) });
    insert.run(row.seq, at, action, principal, row.facts, row.hash);
    head = row;
  }
}
