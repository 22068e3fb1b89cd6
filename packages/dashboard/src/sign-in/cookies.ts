/**
 * Cookies that only this host gets, over nothing but TLS (or on this machine), and no script: `__Host-` makes browsers refuse
 * them otherwise, from neighbouring hosts too.
 */

/** Who is signed in. It never comes with a request that another site has begun. */
export const SESSION_COOKIE = "__Host-arcp-session";
/** A sign-in that has begun. It has to come with the way back from the provider, which is another site: a link that is followed. */
export const ATTEMPT_COOKIE = "__Host-arcp-sign-in";

const SAME_SITE = { [SESSION_COOKIE]: "Strict", [ATTEMPT_COOKIE]: "Lax" } as const;

/** A `Set-Cookie` header. Zero seconds: the browser forgets it. */
export const setCookie = (name: keyof typeof SAME_SITE, value: string, seconds: number): string =>
  `${name}=${value}; Path=/; Max-Age=${seconds}; Secure; HttpOnly; SameSite=${SAME_SITE[name]}`;

/** The value of a cookie; `undefined` if there is none, and if there are two, of which one is somebody else's. */
export function cookieIn(header: string | undefined, name: keyof typeof SAME_SITE): string | undefined {
  const values = (header ?? "")
    .split(";")
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${name}=`))
    .map((pair) => pair.slice(name.length + 1));
  return values.length === 1 && /^[\w-]{1,4000}$/.test(values[0] ?? "") ? values[0] : undefined;
}
