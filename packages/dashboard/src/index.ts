/** `@arcp/dashboard`: the dashboard as static files, and what serves them on a path of any host. */
export { type Dashboard, type DashboardOptions, dashboard } from "./dashboard.ts";
export { SECURE_HEADERS } from "./headers.ts";
