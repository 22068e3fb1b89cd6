/** A process that opens a database, says how that went, and holds on to it until its input ends. */
import { type SqliteStoreOptions, StoreError, sqliteStore } from "@arcp/runtime";

const [options = "{}"] = process.argv.slice(2);

// It begins when it is told to, so that several can begin at once.
process.stdin.once("data", () => {
  try {
    sqliteStore(JSON.parse(options) as SqliteStoreOptions);
    say({ outcome: "open" });
  } catch (error) {
    const reason = error instanceof StoreError ? error.reason : "other";
    say({ outcome: "refused", reason, message: String((error as Error).message) });
    process.exit();
  }
});
process.stdin.once("end", () => process.exit());

function say(line: object): void {
  process.stdout.write(`${JSON.stringify({ pid: process.pid, ...line })}\n`);
}
