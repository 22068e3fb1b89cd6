/**
 * What `arcp serve` serves to plain HTTP on the port of the WebSockets: connections with Server-Sent Events, REST, and the
 * dashboard.
 */
import { type HttpRequest, type HttpResponse, httpTransport, isLoopbackHost, type Transport } from "@arcp/core";
import { dashboard, SECURE_HEADERS, type SignIn } from "@arcp/dashboard";
import { restApi } from "@arcp/runtime";
import type { ARCPConfig } from "../config.ts";
import type { WebSocketEndpoint } from "./endpoint.ts";
import { proxyRules } from "./tls-proxy.ts";
import { version } from "./version.ts";

export interface HttpDoors {
  /** Takes a request; returns false, and has set nothing but headers, if it is for something else. */
  readonly handle: (request: HttpRequest, response: HttpResponse) => boolean;
  readonly close: () => void;
}

/** The same hosts and pages are let in as over WebSockets. */
export function openHttpDoors(
  accept: (transport: Transport) => Promise<unknown>,
  { host, path, allowInsecure }: WebSocketEndpoint,
  { allowedHosts, allowedOrigins, tlsProxy }: ARCPConfig,
  {
    hasDashboard,
    signIn,
    usesClientCertificates,
  }: {
    readonly hasDashboard: boolean;
    readonly signIn: SignIn | undefined;
    readonly usesClientCertificates: boolean;
  },
): HttpDoors {
  const rules = {
    ...{ allowInsecure, usesClientCertificates, ...proxyRules(tlsProxy) },
    ...(!isLoopbackHost(host) && { allowedHosts: "any" as const }),
    ...(allowedHosts !== undefined && { allowedHosts }),
    ...(allowedOrigins !== undefined && { allowedOrigins }),
  };
  const connections = httpTransport({
    ...{ ...rules, path: `${path.replace(/\/$/, "")}/http` },
    onTransport: accept,
  });
  const rest = restApi({ ...rules, version, accept });
  const pages = hasDashboard
    ? dashboard({
        ...{ endpoint: path, ...(signIn !== undefined && { signIn }) },
        ...(rules.allowedHosts !== undefined && { allowedHosts: rules.allowedHosts }),
      })
    : undefined;
  return {
    handle: (request, response) => {
      // Refusals and what is not there, too: all of it is on the origin of the page that has the token.
      for (const [name, value] of Object.entries(SECURE_HEADERS)) response.setHeader(name, value);
      return (
        connections.handle(request, response) ||
        rest.handle(request, response) ||
        pages?.handle(request, response) === true
      );
    },
    close: () => {
      connections.close();
      rest.close();
    },
  };
}
