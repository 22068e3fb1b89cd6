/** The `arcp` command. */
import { reportFailure } from "./failure.ts";
import { createProgram } from "./program.ts";

/** A reader that has seen enough (`| head`) is no error. */
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(0);
});

try {
  const program = await createProgram(process.argv[2] ?? "");
  if (process.argv.length <= 2) program.outputHelp();
  else await program.parseAsync();
} catch (thrown) {
  process.exitCode = reportFailure(thrown);
}
