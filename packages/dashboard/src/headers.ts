/** What every answer says to the browser about itself. */

/**
 * For every answer of a server that also serves the dashboard, whatever it is about: nothing in it is a page, a script or
 * a frame, and nobody keeps it.
 */
export const SECURE_HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-store",
};

/** Over TLS only: browsers ignore it elsewhere. */
export const STRICT_TRANSPORT: Readonly<Record<string, string>> = {
  "strict-transport-security": "max-age=31536000",
};

const NO_DEVICES = ["accelerometer", "camera", "geolocation", "gyroscope", "microphone", "payment", "usb"];

/**
 * For the page and what belongs to it. No script but the one that was built, no style and no request elsewhere: what an
 * agent says cannot become either, and has nowhere to send anything. Images are those that the page made of bytes.
 */
export function pageHeaders(connectTo: readonly string[]): Readonly<Record<string, string>> {
  const policy = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' blob:",
    ["connect-src 'self'", ...connectTo].join(" "),
    "frame-ancestors 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ];
  return {
    ...SECURE_HEADERS,
    "content-security-policy": policy.join("; "),
    "permissions-policy": NO_DEVICES.map((name) => `${name}=()`).join(", "),
  };
}
