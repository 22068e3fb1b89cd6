/** Ids of blobs: the name that they were created with, a dot, and 128 bits of which most are random. */
import { randomBytes } from "node:crypto";

const NAME = /^[0-9a-f]{1,64}$/;
const ID = /^(?<name>[0-9a-f]{1,64})\.(?<rest>[0-9a-f]{32})$/;
const REST_DIGITS = 32;

/** An id that nobody else makes. What follows the name begins with `owner`, hexadecimal digits. Throws TypeError for no name. */
export function newBlobId(name: string, owner = ""): string {
  if (!NAME.test(name)) throw new TypeError("a blob's name is 1 to 64 lower-case hexadecimal digits");
  const random = randomBytes(REST_DIGITS / 2).toString("hex");
  return `${name}.${owner}${random.slice(owner.length)}`;
}

/** What an id was made of; `undefined` for a text of another form. */
export function partsOfBlobId(id: string): { readonly name: string; readonly rest: string } | undefined {
  const { name, rest } = ID.exec(id)?.groups ?? {};
  return name === undefined || rest === undefined ? undefined : { name, rest };
}

/** Throws TypeError: no path, and no statement, is made of anything else. */
export function assertBlobId(id: string): void {
  if (partsOfBlobId(id) === undefined) throw new TypeError("no blob has such an id");
}
