/** What whoever is signed in may do, as far as the runtime tells. It decides; this is for not offering what it would refuse. */
import { facts } from "./session.ts";

/** Why not; `undefined` for what may be tried. */
export function refusalOf(permission: "submit" | "answer"): string | undefined {
  const permissions = facts.value?.permissions;
  if (permissions === undefined || permissions.has(permission) || permissions.has("admin")) return undefined;
  return permission === "submit"
    ? "Your credentials do not permit to submit or cancel jobs (submit)."
    : "Your credentials do not permit to answer (answer).";
}
