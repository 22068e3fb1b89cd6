/** Runs under Bun: the dashboard beside an application. Prints its port, and runs until it is killed. */
import { dashboard, oidcSignIn } from "@arcp/dashboard";

/** The part of Bun that is used here. */
interface Bun {
  serve(options: object): { readonly port: number };
}
const { Bun: bun } = globalThis as unknown as { readonly Bun: Bun };

const signIn = oidcSignIn({
  ...{ issuer: "https://id.example", clientId: "dashboard", publicUrls: ["https://agents.example/"] },
});
const pages = dashboard({ path: process.argv[2] ?? "/", signIn });
const { port } = bun.serve({
  ...{ hostname: "127.0.0.1", port: 0 },
  fetch: (request: Request) => pages.fetch(request) ?? new Response("hello"),
});
console.log(port);
