/** What `arcp serve` serves to plain HTTP on the port of the WebSockets: connections with Server-Sent Events, and REST. */
import { type HttpRequest, type HttpResponse, httpTransport, isLoopbackHost } from "@arcp/core";
import { type ARCPServer, restApi } from "@arcp/runtime";
import type { ARCPConfig } from "../config.ts";
import type { WebSocketEndpoint } from "./endpoint.ts";
import { version } from "./version.ts";

export interface HttpDoors {
  /** Takes a request; returns false, and has done nothing, if it is for something else. */
  readonly handle: (request: HttpRequest, response: HttpResponse) => boolean;
  readonly close: () => void;
}

/** The same hosts and pages are let in as over WebSockets. */
export function openHttpDoors(
  server: ARCPServer,
  { host, path, allowInsecure }: WebSocketEndpoint,
  { allowedHosts, allowedOrigins }: ARCPConfig,
): HttpDoors {
  const rules = {
    allowInsecure,
    ...(!isLoopbackHost(host) && { allowedHosts: "any" as const }),
    ...(allowedHosts !== undefined && { allowedHosts }),
    ...(allowedOrigins !== undefined && { allowedOrigins }),
  };
  const connections = httpTransport({
    ...{ ...rules, path: `${path.replace(/\/$/, "")}/http` },
    onTransport: (transport) => server.accept(transport),
  });
  const rest = restApi({ ...rules, version, accept: (transport) => server.accept(transport) });
  return {
    handle: (request, response) => connections.handle(request, response) || rest.handle(request, response),
    close: () => {
      connections.close();
      rest.close();
    },
  };
}
