/**
 * The requirements of a runtime that no case can decide from outside, each with the reason. Those that bind clients too are
 * judged there: `../client/unseen.ts` has the few that are not.
 */

const UPSTREAM = "Is about the upstream that issues credentials: what it is asked for is not on the wire.";
const REVOCATION = "Is about revocations at the upstream that issued a credential: they are not on the wire.";
const TELEMETRY = "Spans go to a collector of the operator's, not over the wire.";
const AUDIT = "Is recorded for the operator, who reads it elsewhere.";
const SETTING = "Depends on how the runtime was configured, which does not show on the wire.";
const RESTART = "Takes an operator who ends the runtime and starts it again.";
const SECOND_RUNTIME = "Takes a second runtime, which the operator of this one has named.";
const EACH_TRANSPORT = "Is shown by running the whole suite over each transport, not by a case.";
const PERMITTED =
  "Permits something: whoever does it and whoever does not conforms, and a client sees no difference to judge.";
const RECEIVER = "Binds who receives such a message, which a runtime does not: judged by the client suite.";
const CONGESTED =
  "Shows only while more waits than can be sent or done at once, which no client can bring about in every runtime.";

export const UNSEEN: Readonly<Record<string, string>> = {
  "V11-4-03": "Permits further transports; one that there is is asked by running the whole suite over it.",
  "V11-4.1-03":
    "Whether others can reach the listener without TLS is not to be seen from the machine that the suite is on.",
  "V11-4.3-01": EACH_TRANSPORT,
  "V11-6.5-04": "Permits a signal, at a distance that is the runtime's own number.",
  "V11-7.2-04": "The window is 24 hours.",
  "V11-7.5-09": "Permits an order of versions, which no message tells of.",
  "V11-7.6-07": "When a buffer loses something is the runtime's own affair: no client can have it lose anything.",
  "V11-9.3-04": "Takes a sandbox whose limits can be told from the lease's.",
  "V11-9.5-07": PERMITTED,
  "V11-9.6-13": UPSTREAM,
  "V11-9.7-03": UPSTREAM,
  "V11-9.7-04": UPSTREAM,
  "V11-9.7-05": SETTING,
  "V11-9.7-06": SETTING,
  "V11-9.8.2-02": "Is about logs, spans, files and metrics of the operator's, in which a value must not be.",
  "V11-9.8.2-04": REVOCATION,
  "V11-9.8.2-05": REVOCATION,
  "V11-9.8.2-06": REVOCATION,
  "V11-9.8.2-09": REVOCATION,
  "V11-9.8.2-10": PERMITTED,
  "V11-9.8.2-11": UPSTREAM,
  "V11-9.8.2-12": REVOCATION,
  "V11-9.8.3-01": UPSTREAM,
  "V11-9.8.3-02": UPSTREAM,
  "V11-9.8.3-03": UPSTREAM,
  "V11-10.3-02": TELEMETRY,
  "V11-10.3-03": "No member of the wire carries a tracestate: it is given to tools and spans.",
  "V11-11-05": TELEMETRY,
  "V11-11-06": TELEMETRY,
  "V11-11-07": TELEMETRY,
  "V11-14-04": "Is about tests in the runtime's repository.",
  "V11-14-05":
    "Is about what the runtime sends to tools and collectors; the trace ids of the wire are shown to be nothing but ids.",
  "V11-14-06": TELEMETRY,
  "V11-14-07": "The window is minutes long, and what is purged is the runtime's memory and disk.",
  "V11-14-08": "Is about files of the operator's.",
  "V11-14-13": "Takes a clock of the runtime's that is set back.",
  "V11-14-14": SETTING,
  "V11-14-15": AUDIT,
  "V11-14-16": "Is about tool servers and gateways, which measure by themselves; what is claimed is documentation.",
  "V11-14-17":
    "A suite on the same machine is not the network that has to be encrypted; without authentication there is no session.",
  "V11-14-21": RESTART,
  "V11-14-22": AUDIT,
  "V11-14-23": "What a runtime can guarantee is not to be seen; that what is offered is issued and rotated is.",
  "V11-14-27": "What is long enough is minutes, and the runtime's own number.",
  "V11-14-28": AUDIT,
  "V11-14-26":
    "To reach the cap would keep the principal's other sessions out; it is the runtime's own number, and may be high.",
  "V10-4.1-01": EACH_TRANSPORT,
  "V10-4.3-01": RESTART,
  "V10-6.3-01": PERMITTED,
  "V10-6.5-02": CONGESTED,
  "V10-6.5-03": CONGESTED,
  "V10-8.2-04": "Permits to ask an endpoint of the operator's about a token; the client is told yes or no either way.",
  "V10-9-01": PERMITTED,
  "V10-10.2-04": RESTART,
  "V10-11.1-03": RECEIVER,
  "V10-11.1-04": "Permits receivers to show, keep or drop streams by their kind.",
  "V10-11.2-03": CONGESTED,
  "V10-11.3-04": RECEIVER,
  "V10-12.3-02": AUDIT,
  "V10-13.4-02": PERMITTED,
  "V10-14-05": SECOND_RUNTIME,
  "V10-15.2-01": "Is about how agents are confined inside; that leases bound them is shown over wire 1.1.",
  "V10-16.3-04": RESTART,
  "V10-17.1-02": SECOND_RUNTIME,
  "V10-18.2-03": RECEIVER,
  "V10-19-05": PERMITTED,
  "V10-20-01": "Permits to wrap servers of MCP, whose tools then look like any other.",
  "V10-21.4-01": "Permits later revisions something.",
  "V10-21.4-02": "Nothing has been promoted so far.",
  "V10-22-02": "Permits further transports; one that there is is asked by running the whole suite over it.",
};
