/** Bytes of base64 that somebody else wrote. Empty for what is none: it is only shown. */
export function bytesOfBase64(text: string): Uint8Array {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    // Nobody is helped by a page that fails over it.
    return new Uint8Array();
  }
}
