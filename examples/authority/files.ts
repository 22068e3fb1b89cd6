/** Files: an agent that may read one directory, and tries to read beside it. */
import { createHash } from "node:crypto";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { JobContext } from "@arcp/sdk";
import type { Proof } from "./proof.ts";
import { needed, outcomeOf, type Stage } from "./stage.ts";

/** Tries everything that it is given, and goes on after each refusal. */
async function reader(input: unknown, { fs }: JobContext): Promise<string[]> {
  const { paths, target } = input as { readonly paths: readonly string[]; readonly target: string };
  const outcomes: string[] = [];
  for (const path of paths) outcomes.push(await outcomeOf(fs.read(path, "utf8")));
  outcomes.push(await outcomeOf(fs.write(target, "overwritten")));
  return outcomes;
}

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

  stage.server.registerAgent("reader", reader);
  const lease = { "fs.read": [`${open}/**`] };
  proof.title(`Files. The lease: fs.read ${lease["fs.read"]}`);
  const attempts = [
    { what: "reads README.md", path: inside, expected: "allowed" },
    { what: "reads ../private/key.pem", path: `${open}/../private/key.pem`, expected: "PERMISSION_DENIED" },
    { what: "reads it by its absolute path", path: secret, expected: "PERMISSION_DENIED" },
    { what: "reads it through a link to the file", path: `${open}/link`, expected: "PERMISSION_DENIED" },
    { what: "reads it through a link to the directory", path: `${open}/folder/key.pem`, expected: "PERMISSION_DENIED" },
    { what: "reads README.md again: the job goes on", path: inside, expected: "allowed" },
  ];
  const paths = attempts.map(({ path }) => path);
  const job = await stage.run({ agent: "reader", input: { paths, target: inside }, leaseRequest: lease });
  const outcomes = Array.isArray(job.result) ? job.result.map(String) : [];
  const refusals = [...job.refusals];
  for (const [index, { what, expected }] of attempts.entries()) {
    const outcome = outcomes[index] ?? job.end;
    proof.code(
      what,
      outcome,
      expected,
      outcome === "allowed"
        ? ""
        : needed("fs.read", refusals.shift(), "covered by the lease, but it is a link: none is followed"),
    );
  }
  proof.code("writes README.md", outcomes.at(-1) ?? job.end, "PERMISSION_DENIED", needed("fs.write", refusals.shift()));
  proof.code("the job, after all of that", job.end, "success");
  proof.fact("key.pem is what it was", (await digestOf(secret)) === before, `sha256 ${before.slice(0, 16)}…`);
  proof.fact("README.md is what it was", (await readFile(inside, "utf8")) === "# A project\n");
}
