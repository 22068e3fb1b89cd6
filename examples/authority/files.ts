/** Files: an agent that may read one directory, and tries to read beside it. */
import { createHash } from "node:crypto";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { showAttempts } from "./attempts.ts";
import type { Proof } from "./proof.ts";
import type { Stage } from "./stage.ts";

const digestOf = async (file: string): Promise<string> =>
  createHash("sha256")
    .update(await readFile(file))
    .digest("hex");

export async function boundFiles(stage: Stage, proof: Proof): Promise<void> {
  const open = join(stage.directory, "project");
  const closed = join(stage.directory, "private");
  const inside = join(open, "README.md");
  const secret = join(closed, "key.pem");
  await mkdir(open);
  await mkdir(closed);
  await writeFile(inside, "# A project\n");
  await writeFile(secret, "a private key\n");
  await symlink(secret, join(open, "link"));
  await symlink(closed, join(open, "folder"));
  const before = await digestOf(secret);

  const lease = { "fs.read": [`${open}/**`] };
  proof.title(`Files. The lease: fs.read ${lease["fs.read"]}`);
  const expected = "PERMISSION_DENIED";
  await showAttempts(stage, proof, {
    agent: "reader",
    capability: "fs.read",
    lease,
    attempts: [
      { what: "reads README.md", target: inside, expected: "allowed" },
      { what: "reads ../private/key.pem", target: `${open}/../private/key.pem`, expected },
      { what: "reads it by its absolute path", target: secret, expected },
      { what: "reads it through a link to the file", target: `${open}/link`, expected },
      { what: "reads it through a link to the directory", target: `${open}/folder/key.pem`, expected },
      { what: "writes README.md", target: inside, expected, capability: "fs.write" },
      { what: "reads README.md again: the job goes on", target: inside, expected: "allowed" },
    ],
    act: ({ target, capability }, { fs }) =>
      capability === "fs.write" ? fs.write(target, "overwritten") : fs.read(target, "utf8"),
    otherwise: "covered by the lease, but it is a link: none is followed",
  });
  proof.fact("key.pem is what it was", (await digestOf(secret)) === before, `sha256 ${before.slice(0, 16)}…`);
  proof.fact("README.md is what it was", (await readFile(inside, "utf8")) === "# A project\n");
}
