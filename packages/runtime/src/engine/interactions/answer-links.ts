/**
 * Links that let whoever has one answer one question, once, in the name of who made it. A link is a JWT, signed with a key of its
 * own whose private half is forgotten at once: what is stored can tell that a link is genuine, and make none.
 */
import { randomBytes } from "node:crypto";
import { type BearerVerifier, type Clock, type Identity, type JsonObject, UnauthenticatedError } from "@arcp/core";
import {
  decodeProtectedHeader,
  errors,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWK,
  jwtVerify,
  SignJWT,
} from "jose";
import type { Store, StoredRecord } from "../../store/store.ts";
import { nameInTenant } from "../access.ts";
import type { Journal } from "../journal.ts";

export interface AnswerLinksOptions {
  readonly journal: Pick<Journal, "putRecord" | "flush">;
  readonly store: Pick<Store, "findRecord">;
  readonly clock: Clock;
  /** How the question of that id stands: `open`, or how it ended. `undefined` if nobody knows. */
  readonly outcomeOf: (questionId: string) => Promise<string | undefined>;
  /** How long it is remembered that a link was used, in milliseconds. */
  readonly retentionMs: number;
}

/** What a link is about. */
export interface LinkedQuestion {
  readonly questionId: string;
  /** Of the question as it was asked. */
  readonly digest: string;
  readonly principal: string;
}

export interface AnswerLink {
  readonly linkId: string;
  readonly token: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/** As its record has it. */
interface StoredLink {
  readonly publicKey: JWK;
  readonly questionId: string;
  /** When it was used, in milliseconds since the epoch. */
  readonly usedAt?: number;
}

/** One that can be used up. */
export interface UnusedLink {
  readonly record: StoredRecord;
  readonly stored: StoredLink;
}

export const LINK_RECORDS = "answer_link";
const TYPE = "arcp-link+jwt";
const AUDIENCE = "arcp:answer";
const ALGORITHM = "EdDSA";
const LINK_ID = /^link_[\w-]{22}$/;

export class AnswerLinks implements BearerVerifier {
  readonly #options: AnswerLinksOptions;

  constructor(options: AnswerLinksOptions) {
    this.#options = options;
  }

  /** Durable with the next commit. */
  async create({ questionId, digest, principal }: LinkedQuestion, expiresAt: number): Promise<AnswerLink> {
    const { clock, journal, retentionMs } = this.#options;
    const linkId = `link_${randomBytes(16).toString("base64url")}`;
    const { privateKey, publicKey } = await generateKeyPair(ALGORITHM, { crv: "Ed25519" });
    const token = await new SignJWT({ question: questionId, digest, scope: "answer:question" })
      .setProtectedHeader({ alg: ALGORITHM, typ: TYPE, kid: linkId })
      .setSubject(principal)
      .setAudience(AUDIENCE)
      .setIssuedAt(Math.floor(clock.now() / 1000))
      .setExpirationTime(Math.floor(expiresAt / 1000))
      .sign(privateKey);
    const stored: StoredLink = { publicKey: await exportJWK(publicKey), questionId };
    journal.putRecord(this.#record(linkId, principal, expiresAt + retentionMs, stored));
    return { linkId, token, expiresAt };
  }

  /** Is it meant to be a link's token? Nobody else is asked about those. */
  isLink(token: string): boolean {
    try {
      return decodeProtectedHeader(token).typ === TYPE;
    } catch {
      return false;
    }
  }

  /**
   * Who has made the link, bounded to its question.
   *
   * @throws UnauthenticatedError for a token that is none of ours, and with `details.reason` for one that is: `link_expired`,
   * `link_used`, or `question_` and how the question ended.
   */
  async verify(token: string): Promise<Identity> {
    const { journal, store, clock, outcomeOf } = this.#options;
    const linkId = linkIdIn(token);
    await journal.flush();
    const record = await store.findRecord(LINK_RECORDS, linkId);
    if (typeof record?.data !== "string") throw new UnauthenticatedError("the bearer token is not valid");
    const stored = JSON.parse(record.data) as StoredLink;
    const claims = await this.#claimsOf(token, stored.publicKey);
    const { question, digest, sub = "" } = claims;
    if (typeof question !== "string" || typeof digest !== "string" || question !== stored.questionId)
      throw new UnauthenticatedError("the bearer token is not valid");
    if (stored.usedAt !== undefined) throw ended("link_used", "the link was used");
    const outcome = await outcomeOf(question);
    if (outcome !== "open") throw ended(`question_${outcome ?? "forgotten"}`, "the question is not open any more");
    const { tenant, name } = nameInTenant(sub);
    const expiresAt = Number(claims.exp) * 1000;
    if (expiresAt <= clock.now()) throw ended("link_expired", "the link has expired");
    return {
      ...{ principal: name, permissions: [], expiresAt, onlyQuestion: { questionId: question, digest, linkId } },
      ...(tenant !== undefined && { tenant }),
    };
  }

  /** The link, while it has not been used; `undefined` otherwise. */
  async find(linkId: string): Promise<UnusedLink | undefined> {
    const { journal, store } = this.#options;
    await journal.flush();
    const record = await store.findRecord(LINK_RECORDS, linkId);
    if (typeof record?.data !== "string") return undefined;
    const stored = JSON.parse(record.data) as StoredLink;
    return stored.usedAt === undefined ? { record, stored } : undefined;
  }

  /** Uses it up, in the batch of what it is used for. That nobody was faster is for the question to say, which has one owner. */
  use({ record, stored }: UnusedLink): void {
    const { clock, journal, retentionMs } = this.#options;
    const usedAt = clock.now();
    journal.putRecord({ ...record, dueAt: usedAt + retentionMs, data: JSON.stringify({ ...stored, usedAt }) });
  }

  async #claimsOf(token: string, key: JWK): Promise<JsonObject & { readonly sub?: string; readonly exp?: number }> {
    const { clock } = this.#options;
    try {
      const { payload } = await jwtVerify(token, await importJWK(key, ALGORITHM), {
        ...{ algorithms: [ALGORITHM], audience: AUDIENCE, typ: TYPE, currentDate: new Date(clock.now()) },
        requiredClaims: ["sub", "exp"],
      });
      return payload;
    } catch (error) {
      if (error instanceof errors.JWTExpired) throw ended("link_expired", "the link has expired");
      throw new UnauthenticatedError("the bearer token is not valid", { cause: error });
    }
  }

  #record(id: string, principal: string, dueAt: number, stored: StoredLink): StoredRecord {
    return { kind: LINK_RECORDS, id, principal, jobId: null, dueAt, data: JSON.stringify(stored) };
  }
}

const ended = (reason: string, message: string): UnauthenticatedError =>
  new UnauthenticatedError(message, { details: { reason } });

/** @throws UnauthenticatedError for what cannot be a link. */
function linkIdIn(token: string): string {
  const { kid } = decodeProtectedHeader(token);
  if (kid !== undefined && LINK_ID.test(kid)) return kid;
  throw new UnauthenticatedError("the bearer token is not valid");
}
