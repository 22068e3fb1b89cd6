/** Who may do what: the one place that decides about permissions, tenants, and how often. */
import {
  type Identity,
  type OnlyQuestion,
  PERMISSIONS,
  type Permission,
  PermissionDeniedError,
  UnauthenticatedError,
} from "@arcp/core";
import type { Audit } from "./audit/audit.ts";
import { bySession } from "./audit/audit.ts";
import type { JobAuthorizationPolicy, JobView } from "./observation.ts";
import type { PrincipalRates, Rates } from "./rates.ts";
import type { Actor } from "./session.ts";

/** Somebody who wants to see or do something. */
export type Viewer = Pick<Actor, "principal" | "features">;

/** What a command of a client takes. */
export interface Terms {
  readonly permission: Permission;
  /** What it is counted as, besides as a command. */
  readonly rate?: keyof PrincipalRates;
  /** Does it answer a question? Then a link to that question is enough. */
  readonly isAnswer?: boolean;
}

export interface AccessOptions {
  /** May a principal observe another's job? `undefined`: nobody may, but for those whose credentials say so. */
  readonly policy: JobAuthorizationPolicy | undefined;
  readonly hidesForeignJobs: boolean;
  readonly rates: Rates;
  readonly audit: Audit;
}

/** What is permitted where credentials do not say. */
const OWN: ReadonlySet<Permission> = new Set<Permission>(["submit", "observe:own", "answer"]);

export class Access {
  readonly #options: AccessOptions;

  constructor(options: AccessOptions) {
    this.#options = options;
  }

  /**
   * Lets a command through.
   *
   * @throws RateExceededError if they come too often; PermissionDeniedError, with the permission that it takes in
   * `details.permission`, for credentials that do not have it.
   */
  admit(actor: Actor, command: string, { permission, rate, isAnswer = false }: Terms): void {
    const { rates, audit } = this.#options;
    rates.take(actor.principal, "commandsPerSecond");
    const isLinked = isAnswer && onlyQuestionOf(actor.features) !== undefined;
    if (!isLinked && !permits(actor, permission)) {
      audit.record("command.refused", bySession(actor), { command, permission });
      throw new PermissionDeniedError(`the credentials do not permit this: ${permission} is needed`, {
        details: { permission },
      });
    }
    if (rate !== undefined) rates.take(actor.principal, rate);
  }

  /** May the viewer observe what the job writes? */
  seesJob(viewer: Viewer, job: JobView): boolean {
    const owner = job.submitterPrincipal ?? "";
    if (owner === viewer.principal) return permits(viewer, "observe:own");
    if (!isSameTenant(owner, viewer.principal)) return false;
    return permits(viewer, "observe:all") || (this.#options.policy?.(job, viewer.principal) ?? false);
  }

  /** May the viewer observe whatever `owner` has, besides what policies allow? */
  seesAllOf(viewer: Viewer, owner: string): boolean {
    return permits(viewer, "observe:all") && isSameTenant(owner, viewer.principal);
  }

  /** Could the viewer be allowed to observe jobs of others? */
  seesOthers(viewer: Viewer): boolean {
    return this.#options.policy !== undefined || permits(viewer, "observe:all");
  }

  /** Is the viewer told that there is such a job at all, if it may not see it? */
  isHidden(viewer: Viewer, owner: string): boolean {
    return this.#options.hidesForeignJobs || !isSameTenant(owner, viewer.principal);
  }

  /** May the viewer stop jobs of `owner`, whichever session has submitted them? */
  controlsAll(viewer: Viewer, owner: string): boolean {
    return permits(viewer, "admin") && isSameTenant(owner, viewer.principal);
  }
}

/** Does the viewer have the permission, or one that includes it? */
function permits({ features }: Pick<Viewer, "features">, permission: Permission): boolean {
  const granted = grantedIn(features) ?? OWN;
  if (granted.has(permission) || granted.has("admin")) return true;
  return permission === "observe:own" && granted.has("observe:all");
}

/** How a session remembers what its credentials permit: among its features, which are stored and known to other nodes. */
const GRANT = "may:";
const ONLY = "only:";

export const isGrant = (feature: string): boolean => feature.startsWith(GRANT) || feature.startsWith(ONLY);

/** The one question of a session that was opened with a link; `undefined` for every other session. */
export function onlyQuestionOf(features: ReadonlySet<string>): OnlyQuestion | undefined {
  for (const feature of features) {
    if (!feature.startsWith(ONLY)) continue;
    const [questionId = "", digest = "", linkId = ""] = feature.slice(ONLY.length).split(":");
    return { questionId, digest, linkId };
  }
  return undefined;
}

/** `features` with what the credentials permit in place of what they permitted before. */
export function withPermissions(
  features: Iterable<string>,
  { permissions, onlyQuestion }: Pick<Identity, "permissions" | "onlyQuestion">,
): string[] {
  const others = [...features].filter((feature) => !isGrant(feature));
  if (onlyQuestion !== undefined) {
    const { questionId, digest, linkId } = onlyQuestion;
    return [...others, GRANT, [`${ONLY}${questionId}`, digest, linkId].join(":")];
  }
  if (permissions === undefined) return others;
  const known = PERMISSIONS.filter((permission) => permissions.includes(permission));
  return [...others, `${GRANT}${known.join(",")}`];
}

/** What the credentials of a session with these features permit. A link permits to answer what its session is asked. */
export const permissionsIn = (features: ReadonlySet<string>): readonly Permission[] =>
  onlyQuestionOf(features) === undefined
    ? PERMISSIONS.filter((permission) => permits({ features }, permission))
    : ["answer"];

function grantedIn(features: ReadonlySet<string>): ReadonlySet<string> | undefined {
  for (const feature of features) if (feature.startsWith(GRANT)) return new Set(feature.slice(GRANT.length).split(","));
  return undefined;
}

const TENANT = /^@([A-Za-z0-9._-]{1,64})\//;

/** The tenant of a principal as the runtime knows it; `undefined` for one that is nobody's customer. */
const tenantOf = (principal: string): string | undefined => TENANT.exec(principal)?.[1];

/** A principal as the runtime knows it, in its parts. */
export function nameInTenant(principal: string): { readonly tenant: string | undefined; readonly name: string } {
  const tenant = tenantOf(principal);
  return { tenant, name: tenant === undefined ? principal : principal.slice(`@${tenant}/`.length) };
}

/** May the two know of each other at all? */
export const isSameTenant = (one: string, other: string): boolean => tenantOf(one) === tenantOf(other);

/** Does the principal have a tenant? */
export const hasTenant = (principal: string): boolean => TENANT.test(principal);

/**
 * The identity whose principal says whose customer it is, so that nothing that is kept by principal is ever another tenant's.
 *
 * @throws UnauthenticatedError for a tenant that is no name, and for a principal without one whose name looks as if it had.
 */
export function tenantScoped<Known extends Identity>(identity: Known): Known {
  const { principal, tenant } = identity;
  if (tenant === undefined) {
    if (!hasTenant(principal)) return identity;
    throw misnamed(`the principal ${JSON.stringify(principal)} looks like one of a tenant`);
  }
  const scoped = `@${tenant}/${principal}`;
  if (tenantOf(scoped) === tenant) return { ...identity, principal: scoped };
  throw misnamed(`${JSON.stringify(tenant)} is no name of a tenant`);
}

const misnamed = (reason: string): UnauthenticatedError =>
  new UnauthenticatedError("the credentials are not valid", { cause: new Error(reason) });
