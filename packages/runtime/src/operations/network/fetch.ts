/** `fetch` for agents: every request is authorized, and goes to an address that was looked at (§9.2, §9.3). */
import { CancelledError, type Clock, InvalidRequestError, systemClock } from "@arcp/core";
import type { AgentFetch } from "../../engine/agent-operations.ts";
import { canonicalizeTarget } from "../../engine/lease/target.ts";
import type { Guard, Operation } from "../../engine/operation.ts";
import { type Network, parseNetwork } from "./address.ts";
import { Connections } from "./connections.ts";
import { addressesOf, type Resolve, resolveName } from "./destination.ts";
import { failed, upstreamFailure } from "./failure.ts";
import { Lifetime } from "./lifetime.ts";
import { DEFAULT_FETCH_LIMITS, type FetchLimits, MAX_REDIRECTS, tooSlow } from "./limits.ts";
import { type FetchCall, type HttpRequest, readInit, readUrl, redirectedRequest } from "./request.ts";
import { discard, type Head, readHead, responseOf } from "./response.ts";

/** Where agents' requests may go beside what their leases say, and how much they may be. */
export interface NetworkOptions {
  /** Networks such as `10.1.0.0/16` that may be reached beside the public addresses. Default: none. */
  readonly allowedNetworks?: readonly string[];
  /** Finds the addresses of a name. Default: what the machine's resolver says, its hosts file included. */
  readonly resolve?: Resolve;
  /** PEM. Who may vouch for hosts beside those that Node.js trusts. */
  readonly certificateAuthorities?: readonly string[];
  /** How much requests and answers may be. Default: {@link DEFAULT_FETCH_LIMITS}. */
  readonly limits?: Partial<FetchLimits>;
  readonly clock?: Clock;
}

export interface AgentNetwork {
  readonly fetch: AgentFetch;
  /** Ends every connection, and with them the bodies that are still being read. */
  close(): void;
}

/**
 * The network of one job. A call is an operation from its check to the head of the last response: the body may never
 * be read, and a stream has no end to wait for. What is left of the body is bound by the same limits, the job's signal
 * and the caller's.
 *
 * Nothing of the environment counts: no proxy, no permission to skip certificates.
 *
 * @throws TypeError for an allowed network that is none.
 */
export function agentFetch(guard: Guard, options: NetworkOptions = {}): AgentNetwork {
  const { resolve = resolveName, certificateAuthorities = [], clock = systemClock } = options;
  const limits = { ...DEFAULT_FETCH_LIMITS, ...options.limits };
  const allowedNetworks = (options.allowedNetworks ?? []).map(readNetwork);
  const connections = new Connections({ limits, clock, certificateAuthorities });
  const closing = new AbortController();

  /** One request and the head of its response, redirects aside. */
  const send = async (target: string, request: HttpRequest, lifetime: Lifetime): Promise<Head> => {
    const lift = lifetime.limit(limits.headTimeoutMs, () => tooSlow("headTimeoutMs", limits.headTimeoutMs));
    const addresses = await lifetime.wait(addressesOf(target, { lease: guard.lease, resolve, allowedNetworks }));
    const { origin, pathname, search } = new URL(target);
    const response = connections.to(origin, addresses).request({
      path: pathname + search,
      method: request.method,
      headers: Object.fromEntries(request.headers),
      body: request.body ?? null,
      signal: lifetime.signal,
    });
    const head = readHead(await lifetime.wait(response));
    lift();
    return head;
  };

  const follow = async (operation: Operation, call: FetchCall, lifetime: Lifetime): Promise<Response> => {
    let { request } = call;
    let target = operation.target;
    for (let redirects = 0; ; redirects++) {
      const head = await send(target, request, lifetime);
      const url = new URL(target);
      const next = call.redirect === "follow" ? locationOf(head, url) : undefined;
      if (next === undefined) {
        return responseOf(head, { method: request.method, url, isRedirected: redirects > 0, limits, lifetime });
      }
      discard(head);
      if (redirects === MAX_REDIRECTS) throw tooManyRedirects();
      target = operation.authorize(next);
      request = redirectedRequest(request, head.status, url, new URL(target));
    }
  };

  return {
    async fetch(url, init) {
      const text = readUrl(url);
      const call = readInit(init, limits);
      const act = async (operation: Operation): Promise<Response> => {
        const lifetime = new Lifetime(clock, [guard.signal, operation.signal, call.signal, closing.signal]);
        lifetime.limit(limits.totalTimeoutMs, () => tooSlow("totalTimeoutMs", limits.totalTimeoutMs));
        try {
          return await follow(operation, call, lifetime);
        } catch (error) {
          lifetime.abort(upstreamFailure(error, limits));
          throw lifetime.signal.reason;
        }
      };
      return guard.operation("net.fetch", text, act, {
        args: { method: call.request.method, ...shownUrl(text) },
        describe: ({ status, url, headers }) => ({ status, url: withoutQuery(url), ...shownBytes(headers) }),
        ...(call.cost !== undefined && { cost: call.cost }),
      });
    },
    close() {
      closing.abort(new CancelledError("the job has ended"));
      connections.close();
    },
  };
}

function readNetwork(text: string): Network {
  const network = parseNetwork(text);
  if (network === undefined) throw new TypeError(`${JSON.stringify(text)} is no network such as 10.1.0.0/16`);
  return network;
}

const isRedirect = (status: number): boolean => [301, 302, 303, 307, 308].includes(status);

/** Where a response leads on to. A fragment is kept unless the new place has its own. */
function locationOf({ status, headers }: Head, from: URL): string | undefined {
  const location = headers.get("location");
  if (!isRedirect(status) || location === null) return undefined;
  const to = URL.parse(location, from.href);
  if (to === null) throw failed("protocol");
  if (to.hash === "") to.hash = from.hash;
  return to.href;
}

const tooManyRedirects = (): InvalidRequestError =>
  new InvalidRequestError(`net.fetch: more than ${MAX_REDIRECTS} redirects`, {
    details: { reason: "too_many_redirects", max: MAX_REDIRECTS },
  });

const withoutQuery = (url: string): string => url.replace(/[?#].*$/s, "");

/** What is no canonical URL may hold a password in any place, so it is not shown. */
function shownUrl(text: string): { readonly url?: string } {
  try {
    return { url: withoutQuery(canonicalizeTarget("net.fetch", text)) };
  } catch {
    return {}; // The guard refuses it, and says why.
  }
}

function shownBytes(headers: Headers): { readonly bytes?: number } {
  const length = headers.get("content-length");
  return length !== null && /^\d{1,15}$/.test(length) ? { bytes: Number(length) } : {};
}
