/** Whatever is done to artifacts at the same time: files, records and quotas agree in the end, and nothing is damaged. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { artifactOf } from "../../packages/runtime/src/engine/artifacts/artifact.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { inPieces, sha256Of } from "./content.ts";
import { openShelf, temporaryDirectory } from "./directory.ts";
import type { Shelf } from "./shelf.ts";

const MAX_BYTES = 400_000;
const MAX_ARTIFACTS = 12;
const PRINCIPALS = ["alice", "bob"];

const principal = fc.constantFrom(...PRINCIPALS);
const chosenId = fc.constantFrom("a", "b", "c");
const turns = fc.integer({ min: 0, max: 12 });

type Step = (shelf: Shelf) => Promise<unknown>;

const pause = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};

/** A content with pauses in the middle, which some give up. */
const put = fc
  .record({
    ...{ principal, turns, isAborted: fc.boolean(), isLying: fc.boolean() },
    artifactId: fc.option(chosenId, { nil: undefined }),
    size: fc.constantFrom(0, 1, 70_000, 200_000),
    ttlSeconds: fc.constantFrom(1, 3, 100),
  })
  .map((request): { readonly name: string; readonly step: Step } => ({
    name: `put ${JSON.stringify(request)}`,
    step: async (shelf) => {
      const content = new Uint8Array(request.size).fill(request.ttlSeconds);
      const stop = new AbortController();
      async function* source() {
        yield* inPieces(content.subarray(0, 65_536));
        await pause(request.turns);
        if (request.isAborted) stop.abort(new Error("given up"));
        yield* inPieces(content.subarray(65_536));
      }
      const sha256 = request.isLying ? sha256Of(new Uint8Array(3)) : undefined;
      const { artifactId, ttlSeconds } = request;
      return shelf.put(source(), {
        ...{ principal: request.principal, artifactId, ttlSeconds, sha256 },
        signal: stop.signal,
      });
    },
  }));

const release = fc
  .record({ principal, id: chosenId, turns })
  .map((request): { readonly name: string; readonly step: Step } => ({
    name: `release ${JSON.stringify(request)}`,
    step: async (shelf) => {
      await pause(request.turns);
      await shelf.artifacts.release(request.principal, request.id);
    },
  }));

/** Reads to the end, and finds what was put: every content has one byte over and over, and its digest is compared. */
const fetch = fc
  .record({ principal, id: chosenId, turns })
  .map((request): { readonly name: string; readonly step: Step } => ({
    name: `fetch ${JSON.stringify(request)}`,
    step: async (shelf) => {
      const { ref, data } = await shelf.artifacts.fetch(request.principal, request.id);
      let bytes = 0;
      for await (const piece of data) {
        bytes += piece.length;
        await pause(request.turns);
      }
      expect(bytes).toBe(ref.size);
    },
  }));

const other = fc
  .record({ what: fc.constantFrom("expire", "collect", "time passes"), turns })
  .map(({ what, turns }): { readonly name: string; readonly step: Step } => ({
    name: `${what} after ${turns}`,
    step: async (shelf) => {
      await pause(turns);
      if (what === "time passes") shelf.clock.advance(1000);
      else if (what === "expire") await shelf.artifacts.removeExpired();
      else await shelf.artifacts.collectOrphans();
    },
  }));

/** Everything that is refused is refused with a code; nothing is lost or broken. */
const EXPECTED = ["DUPLICATE_KEY", "JOB_NOT_FOUND", "INVALID_REQUEST", "INTERNAL_ERROR"];

async function assertAgreement(shelf: Shelf): Promise<void> {
  await shelf.artifacts.removeExpired();
  const artifacts = (await shelf.records()).map(artifactOf);
  expect(shelf.files).toEqual(artifacts.map(({ blob }) => blob.id).sort());
  for (const { owner, artifactId, blob } of artifacts) {
    expect(sha256Of(await shelf.fetched(artifactId, owner))).toBe(blob.sha256);
  }
  for (const owner of PRINCIPALS) {
    const own = artifacts.filter((artifact) => artifact.owner === owner);
    const free = MAX_BYTES - own.reduce((sum, { blob }) => sum + blob.size, 0);
    if (own.length === MAX_ARTIFACTS) continue;
    await expect(shelf.put(new Uint8Array(free + 1), { principal: owner })).rejects.toThrow("maxPrincipalBytes");
    const { artifact_id } = await shelf.put(new Uint8Array(free), { principal: owner });
    await shelf.artifacts.release(owner, artifact_id);
    const filled = Array.from({ length: MAX_ARTIFACTS - own.length }, () => shelf.put("", { principal: owner }));
    await Promise.all(filled);
    await expect(shelf.put("", { principal: owner })).rejects.toThrow("maxPrincipalArtifacts");
  }
}

test("all of it at once, twice, with a restart in between", { timeout: 120_000 }, async () => {
  const rounds = fc.array(fc.oneof({ weight: 3, arbitrary: put }, release, fetch, other), { maxLength: 16 });
  await fc.assert(
    fc.asyncProperty(rounds, rounds, async (first, second) => {
      const directory = temporaryDirectory();
      const caps = { maxPrincipalBytes: MAX_BYTES, maxPrincipalArtifacts: MAX_ARTIFACTS };
      const clock = new ManualClock();
      for (const round of [first, second]) {
        await using shelf = openShelf({ directory, caps, clock });
        for (const outcome of await Promise.allSettled(round.map(({ step }) => step(shelf)))) {
          if (outcome.status === "fulfilled" || outcome.reason.message === "given up") continue;
          expect(EXPECTED).toContain(outcome.reason.code);
        }
        if (round === second) await assertAgreement(shelf);
      }
    }),
    { numRuns: 60 },
  );
});
