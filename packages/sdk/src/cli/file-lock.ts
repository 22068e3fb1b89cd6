/** One process per file: a second one would take the first one's running jobs for abandoned, or forget its keys. */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";

/**
 * Locks the file until the returned function is called, or this process is gone. Throws if another one has it, with
 * `advice`.
 */
export function lockFile(path: string, advice: string): () => void {
  const file = `${path}.lock`;
  const content = `${process.pid} ${startOf(process.pid) ?? "?"}\n`;
  if (existsSync(file) && !isAbandoned(file)) {
    const holder = readFileSync(file, "utf8").split(" ")[0];
    throw new Error(`${path} is in use by another server (process ${holder}); ${advice}`);
  }
  rmSync(file, { force: true });
  writeFileSync(file, content, { flag: "wx", mode: 0o600 });
  return () => {
    if (existsSync(file) && readFileSync(file, "utf8") === content) rmSync(file);
  };
}

function isAbandoned(file: string): boolean {
  const [pid = "", start] = readFileSync(file, "utf8").trim().split(" ");
  if (!/^\d+$/.test(pid)) return true;
  try {
    process.kill(Number(pid), 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
  // Process ids are used again, in containers at once.
  return startOf(Number(pid)) !== (start === "?" ? undefined : start);
}

/** When a process was started, as Linux tells it; `undefined` elsewhere, and for one that is gone but not yet reaped. */
function startOf(pid: number): string | undefined {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ").at(-1)?.split(" ") ?? [];
    return fields[0] === "Z" ? undefined : fields[19];
  } catch {
    // No such file system here: the process id alone has to do.
    return undefined;
  }
}
