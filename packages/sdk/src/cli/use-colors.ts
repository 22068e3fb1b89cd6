/** `--no-color`: as if the environment had said so, for everything in this process that looks. */
export function useColors(isWanted: boolean): void {
  if (isWanted) return;
  process.env["NO_COLOR"] = "1";
  delete process.env["FORCE_COLOR"];
}
