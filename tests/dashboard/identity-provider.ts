/** An identity provider in this process that does what a test tells it to: right by default, and wrong on demand. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT, UnsecuredJWT } from "jose";

/** A sign-in that was asked for. */
interface Asked {
  readonly redirectUri: string;
  readonly state: string;
  readonly nonce: string;
  readonly challenge: string;
}

/** What of it is wrong. */
export interface Faults {
  /** Members of the ID token that are something else. */
  readonly claims?: Readonly<Record<string, unknown>>;
  /** `none`: the ID token is not signed; `unknown`: by a key that is not published; `secret`: with what is public. */
  readonly signature?: "none" | "unknown" | "secret";
  /** What the answer to the code is instead. */
  readonly token?: (response: ServerResponse) => void;
  /** Members of what the provider says of itself that are something else. */
  readonly discovery?: Readonly<Record<string, unknown>>;
  readonly refreshToken?: string;
  readonly expiresIn?: number;
}

export class IdentityProviderStub implements AsyncDisposable {
  readonly #server: Server;
  readonly #key: CryptoKey;
  readonly #otherKey: CryptoKey;
  readonly #jwk: JWK;
  readonly issuer: string;
  readonly #codes = new Map<string, Asked>();
  #lastCode = 0;
  faults: Faults = {};
  /** Who is signed in there. */
  account = "alice";
  /** Requests for tokens: the parameters of each. */
  readonly tokenRequests: URLSearchParams[] = [];

  private constructor(server: Server, keys: readonly CryptoKey[], jwk: JWK) {
    this.#server = server;
    [this.#key, this.#otherKey] = keys as [CryptoKey, CryptoKey];
    this.#jwk = jwk;
    this.issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("request", (request, response) => void this.#answer(request, response));
  }

  static async start(): Promise<IdentityProviderStub> {
    const pairs = [await generateKeyPair("ES256"), await generateKeyPair("ES256")];
    const jwk = await exportJWK(pairs[0]?.publicKey as CryptoKey);
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new IdentityProviderStub(
      server,
      pairs.map(({ privateKey }) => privateKey),
      { ...jwk, kid: "key", alg: "ES256", use: "sig" },
    );
  }

  /** The person agrees: where the browser is sent back to. */
  agree(authorizationUrl: string): URL {
    const { searchParams: asked } = new URL(authorizationUrl);
    const of = (name: string): string => asked.get(name) ?? "";
    this.#lastCode += 1;
    const code = `code-${this.#lastCode}`;
    const back = new URL(of("redirect_uri"));
    back.searchParams.set("code", code);
    back.searchParams.set("state", of("state"));
    back.searchParams.set("iss", this.issuer);
    this.#codes.set(code, {
      ...{ redirectUri: of("redirect_uri"), state: of("state"), nonce: of("nonce"), challenge: of("code_challenge") },
    });
    return back;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? "").split("?")[0];
    const json = (body: object, status = 200): void =>
      void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    if (path === "/.well-known/openid-configuration") return json(this.#discovery());
    if (path === "/keys") return json({ keys: [this.#jwk] });
    if (path !== "/token") return json({}, 404);
    let body = "";
    for await (const chunk of request) body += chunk;
    const asked = new URLSearchParams(body);
    this.tokenRequests.push(asked);
    if (this.faults.token !== undefined) return this.faults.token(response);
    if (asked.get("grant_type") === "refresh_token") {
      return json({ access_token: "at", token_type: "bearer", id_token: await this.#idToken(undefined) });
    }
    const code = this.#codes.get(asked.get("code") ?? "");
    this.#codes.delete(asked.get("code") ?? "");
    const verifier = asked.get("code_verifier") ?? "";
    const isRight =
      code !== undefined &&
      code.redirectUri === asked.get("redirect_uri") &&
      code.challenge === createHash("sha256").update(verifier).digest("base64url");
    if (!isRight) return json({ error: "invalid_grant" }, 400);
    json({
      ...{ access_token: "at", token_type: "bearer", expires_in: this.faults.expiresIn ?? 300 },
      id_token: await this.#idToken(code.nonce),
      ...(this.faults.refreshToken !== undefined && { refresh_token: this.faults.refreshToken }),
    });
  }

  #discovery(): object {
    const { issuer } = this;
    return {
      ...{ issuer, authorization_endpoint: `${issuer}/authorize`, token_endpoint: `${issuer}/token` },
      ...{ jwks_uri: `${issuer}/keys`, authorization_response_iss_parameter_supported: true },
      ...this.faults.discovery,
    };
  }

  async #idToken(nonce: string | undefined): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    const usual = { iss: this.issuer, aud: "dashboard", sub: this.account, iat: now, exp: now + 300 };
    const claims = { ...usual, ...(nonce !== undefined && { nonce }), ...this.faults.claims };
    if (this.faults.signature === "none") return new UnsecuredJWT(claims).encode();
    if (this.faults.signature === "secret") {
      return new SignJWT(claims)
        .setProtectedHeader({ alg: "HS256", kid: "key" })
        .sign(new TextEncoder().encode(JSON.stringify(this.#jwk)));
    }
    const key = this.faults.signature === "unknown" ? this.#otherKey : this.#key;
    const kid = this.faults.signature === "unknown" ? "other" : "key";
    return new SignJWT(claims).setProtectedHeader({ alg: "ES256", kid }).sign(key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
