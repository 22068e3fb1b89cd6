/**
 * What a runtime measures. Names are OpenTelemetry's; Prometheus' follow from them (`arcp.jobs.ended` in `{job}` is
 * `arcp_jobs_ended_total`). Labels have few values: no ids, no targets, and no principals unless the operator asks.
 */
import type { MetricFacts } from "@arcp/core";

const LATENCY_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const DURATION_SECONDS = [0.01, 0.05, 0.1, 0.5, 1, 5, 15, 30, 60, 300, 900, 3600, 14_400];
const COUNTS = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500];

/** Every metric of a runtime: its name, its unit, its labels, and what it says. */
export const METRICS = {
  jobs: {
    ...{ name: "arcp.jobs", unit: "{job}", labels: ["state"] },
    help: "Jobs that have not ended: pending, running, or blocked on a person or a permission.",
  },
  jobsAccepted: {
    ...{ name: "arcp.jobs.accepted", unit: "{job}", labels: ["agent", "origin"] },
    help: "Jobs that were accepted, by whether a client or an agent asked for them.",
  },
  jobsEnded: {
    ...{ name: "arcp.jobs.ended", unit: "{job}", labels: ["agent", "status", "code"] },
    help: "Jobs that have ended, with the code of their error if there was one.",
  },
  jobDuration: {
    ...{ name: "arcp.job.duration", unit: "s", labels: ["agent", "status"], buckets: DURATION_SECONDS },
    help: "Time from the acceptance of a job to its end.",
  },
  jobWait: {
    ...{ name: "arcp.job.wait", unit: "s", labels: ["agent"], buckets: DURATION_SECONDS },
    help: "Time from the acceptance of a job to the call of its agent.",
  },
  queueDepth: {
    ...{ name: "arcp.queue.depth", unit: "{job}", labels: [] },
    help: "Jobs that wait for room to begin.",
  },
  queueWorking: {
    ...{ name: "arcp.queue.working", unit: "{job}", labels: [] },
    help: "Slots that are taken, where there is a cap on jobs.",
  },
  events: {
    ...{ name: "arcp.events", unit: "{event}", labels: ["kind"] },
    help: "Entries that jobs have written.",
  },
  eventsDelivered: {
    ...{ name: "arcp.events.delivered", unit: "{event}", labels: [] },
    help: "Events that were written to connections.",
  },
  deliveryLag: {
    ...{ name: "arcp.delivery.lag", unit: "s", labels: [], buckets: LATENCY_SECONDS },
    help: "Time from an event to its being written to a connection that keeps up; one value per write, for its oldest event.",
  },
  deliveryBacklog: {
    ...{ name: "arcp.delivery.backlog", unit: "{event}", labels: ["of"] },
    help: "Events that connected clients have not been sent yet: of the slowest, and of all.",
  },
  budgetSpent: {
    ...{ name: "arcp.budget.spent", unit: "{amount}", labels: ["currency"] },
    help: "What was taken from budgets of jobs.",
  },
  denials: {
    ...{ name: "arcp.denials", unit: "{denial}", labels: ["action", "code", "capability"] },
    help: "Refusals, by the action of the audit: operations, jobs, delegations, sessions, permissions.",
  },
  sessions: {
    ...{ name: "arcp.sessions", unit: "{session}", labels: ["state"] },
    help: "Sessions that are kept: attached to a connection, or detached.",
  },
  sessionsOpened: {
    ...{ name: "arcp.sessions.opened", unit: "{session}", labels: ["wire"] },
    help: "Sessions that were opened.",
  },
  resumes: {
    ...{ name: "arcp.resumes", unit: "{resume}", labels: ["outcome"] },
    help: "Attempts to resume a session: resumed, or the code of the refusal.",
  },
  commitDuration: {
    ...{ name: "arcp.store.commit.duration", unit: "s", labels: ["outcome"], buckets: LATENCY_SECONDS },
    help: "Time that the store took for one batch.",
  },
  commitEntries: {
    ...{ name: "arcp.store.commit.entries", unit: "{entry}", labels: [], buckets: COUNTS },
    help: "Entries of jobs in one batch.",
  },
  uncommitted: {
    ...{ name: "arcp.store.uncommitted", unit: "By", labels: [] },
    help: "What waits to be stored.",
  },
  credentials: {
    ...{ name: "arcp.credentials.outstanding", unit: "{credential}", labels: ["state"] },
    help: "Credentials that ought to be dead: revoking (by this runtime), or orphaned (of nodes that are gone; nobody can revoke them).",
  },
  connections: {
    ...{ name: "arcp.connections", unit: "{connection}", labels: [] },
    help: "Connections that are open, whether somebody has been let in or not.",
  },
  io: {
    ...{ name: "arcp.transport.io", unit: "By", labels: ["direction", "transport"] },
    help: "Frames that were received and sent, before compression and encryption.",
  },
  operations: {
    ...{ name: "arcp.operation.duration", unit: "s", labels: ["capability", "outcome"], buckets: LATENCY_SECONDS },
    help: "Time of guarded operations of agents, from their announcement to their result.",
  },
  webhooks: {
    ...{ name: "arcp.webhooks", unit: "{attempt}", labels: ["event", "outcome"] },
    help: "Attempts to tell an endpoint something: delivered, failed and to be tried again, or given up (dead).",
  },
} as const satisfies Readonly<Record<string, MetricFacts>>;
