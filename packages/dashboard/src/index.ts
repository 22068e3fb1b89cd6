/** `@arcp/dashboard`: the dashboard as static files, what serves them on a path of any host, and how people sign in. */
export { type Dashboard, type DashboardOptions, dashboard } from "./dashboard.ts";
export { SECURE_HEADERS } from "./headers.ts";
export { type OidcOptions, oidcSignIn } from "./sign-in/oidc.ts";
export type { SignIn } from "./sign-in/sign-in.ts";
