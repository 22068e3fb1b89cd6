/**
 * Milliseconds of processor time that this process has used: what a bound on work is compared with. Unlike the time of day, it does
 * not pass while other processes have the machine.
 */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}
