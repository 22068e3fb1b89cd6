/** `error`, or, if it says that the port is taken, one that says what to do about it. */
export function portInUse(error: unknown, host: string, port: number, owner?: string): unknown {
  if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") return error;
  const where = `${owner === undefined ? "" : `${owner}: `}port ${port} of ${host}`;
  return new Error(`${where} is in use: choose another one with --port, or any free one with --port 0`);
}
