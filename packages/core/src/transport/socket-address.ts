import { pathToFileURL } from "node:url";
import { InvalidRequestError } from "../errors.ts";

/** Where Windows has its named pipes. */
const PIPES = "\\\\.\\pipe\\";
const PIPE_NAME = /^[\w.-]{1,200}$/;

/**
 * The path of the socket at `unix:///path`, or of the named pipe `pipe:name`, which only Windows has.
 *
 * @throws InvalidRequestError for any other address.
 */
export function socketPathOf(address: string, platform: NodeJS.Platform = process.platform): string {
  const url = URL.parse(address);
  if (url?.protocol === "pipe:") return pipePath(url.href.slice("pipe:".length), platform);
  // `unix://run/arcp.sock` would be the machine "run".
  const isPath = url?.protocol === "unix:" && url.host === "" && url.pathname.startsWith("/");
  if (!isPath || url.search !== "" || url.hash !== "") {
    throw new InvalidRequestError("expected unix:///path, with percent-encoding where a URL needs it");
  }
  try {
    return decodeURIComponent(url.pathname);
  } catch (cause) {
    throw new InvalidRequestError("the socket's path is not percent-encoded UTF-8", { cause });
  }
}

/** The address of what listens at `path`: {@link socketPathOf} gives the path back. */
export function socketUrlOf(path: string): string {
  if (path.startsWith(PIPES)) return `pipe:${path.slice(PIPES.length)}`;
  return `unix://${pathToFileURL(path).pathname}`;
}

function pipePath(name: string, platform: NodeJS.Platform): string {
  if (platform !== "win32") throw new InvalidRequestError("named pipes are Windows's: here it is unix:///path");
  if (!PIPE_NAME.test(name)) throw new InvalidRequestError("expected pipe:name, of letters, digits, and . _ -");
  return `${PIPES}${name}`;
}
