/** A web server on this machine with a few pages about street lamps. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

interface Page {
  readonly title: string;
  readonly paragraphs: readonly string[];
}

const PAGES: Readonly<Record<string, Page>> = {
  energy: {
    title: "The energy report",
    paragraphs: [
      `The town has 4,200 lamps, and most of them are of the eighties. They burn sodium, all through the night, at full power.
       Lamps with LEDs take 62 % less energy for the same light on the road, as the trial in the harbour has shown.`,
      `The trial went on for a year. What surprised the engineers was the dimming: where lamps were turned down after eleven,
       another 14 % were saved, and nobody complained.`,
      `Poles and cables are as good as new. Only the heads have to be replaced, which takes two people 20 minutes each.`,
    ],
  },
  insects: {
    title: "Insects at night",
    paragraphs: [
      `White light draws more insects than yellow light does. In our traps there were 48 % more moths under lamps of 4000
       kelvin than under sodium. It is the blue in the light that they follow.`,
      `It need not be so. Under LEDs of 2200 kelvin there were no more moths than under sodium, within 3 %.`,
    ],
  },
  money: {
    title: "What it costs",
    paragraphs: [
      `A head costs 310 crowns, and its mounting 45. The council can borrow at 2 %, and the state pays a third until the end
       of next year.`,
      `At the price of electricity of last winter, the change has paid for itself after 6 years.`,
    ],
  },
};

/** Its place leads to somebody else's server. */
const MOVED = { path: "press", title: "What the papers say", to: "https://www.example.com/lamps" };

const html = (title: string, body: string): string => `<!doctype html><title>${title}</title>\n${body}\n`;

export interface Library extends AsyncDisposable {
  /** The page with the links. */
  readonly url: string;
}

export async function openLibrary(): Promise<Library> {
  const links = [...Object.entries(PAGES), [MOVED.path, MOVED] as const];
  const index = links.map(([path, { title }]) => `<li><a href="/${path}">${title}</a>`).join("\n");
  const server = createServer(({ url = "/" }, response) => {
    const page = PAGES[url.slice(1)];
    if (url === `/${MOVED.path}`) response.writeHead(302, { location: MOVED.to }).end();
    else if (url === "/") response.end(html("Street lamps", `<ul>\n${index}\n</ul>`));
    else if (page === undefined) response.writeHead(404).end();
    else response.end(html(page.title, page.paragraphs.map((text) => `<p>${text}</p>`).join("\n")));
  });
  await new Promise<void>((resolve) => server.listen({ host: "127.0.0.1", port: 0 }, resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
