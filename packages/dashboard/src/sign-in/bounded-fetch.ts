/** What is asked of an identity provider: without redirects, and no more of an answer than it can need. */

/** Documents, key sets and tokens are smaller, each. */
const MAX_BYTES = 512 * 1024;

/** As `fetch`, apart from that. @throws TypeError for a redirect, and an answer that is too long. */
export async function boundedFetch(url: string, options: object): Promise<Response> {
  const response = await fetch(url, { ...options, redirect: "error" });
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of response.body ?? []) {
    length += piece.length;
    if (length > MAX_BYTES) throw new TypeError("the answer is too long");
    pieces.push(piece);
  }
  const isEmpty = length === 0;
  return new Response(isEmpty ? null : Buffer.concat(pieces), response);
}
