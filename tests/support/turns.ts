/** Lets everything that is in flight inside this process arrive, and what it sets off. Nothing is known of sockets. */
export async function turns(count = 12): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
