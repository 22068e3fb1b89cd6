/** Every command that a client of wire 1.0 may send. */
import type { ClientMessage10 } from "@arcp/core/v1.0";
import { agentDelegate, agentHandoff } from "./agents.ts";
import { artifactFetch, artifactPut, artifactRelease } from "./artifacts.ts";
import type { Command } from "./command.ts";
import {
  humanChoiceResponse,
  humanInputResponse,
  interrupt,
  leaseRefresh,
  leaseRevoked,
  permissionDeny,
  permissionGrant,
} from "./interactions.ts";
import { cancel, toolInvoke, workflowStart } from "./jobs.ts";
import { jobSchedule } from "./schedules.ts";
import {
  close,
  heard,
  jobSubscribe,
  jobUnsubscribe,
  listJobs,
  ping,
  resume,
  sessionAck,
  sessionPing,
} from "./session.ts";
import { backpressure, checkpointCreate, checkpointRestore } from "./streams.ts";
import { subscribe, unsubscribe } from "./subscriptions.ts";

type Commands = { readonly [Type in ClientMessage10["type"]]?: Command<Type> };

export const COMMANDS: Commands = {
  ping,
  pong: heard,
  ack: heard,
  nack: heard,
  resume,
  "session.close": close,
  "session.ping": sessionPing,
  "session.pong": heard,
  "session.ack": sessionAck,
  "session.list_jobs": listJobs,
  "job.subscribe": jobSubscribe,
  "job.unsubscribe": jobUnsubscribe,
  "tool.invoke": toolInvoke,
  "workflow.start": workflowStart,
  "job.schedule": jobSchedule,
  cancel,
  interrupt,
  "human.input.response": humanInputResponse,
  "human.choice.response": humanChoiceResponse,
  "permission.grant": permissionGrant,
  "permission.deny": permissionDeny,
  "lease.refresh": leaseRefresh,
  "lease.revoked": leaseRevoked,
  subscribe,
  unsubscribe,
  "agent.delegate": agentDelegate,
  "agent.handoff": agentHandoff,
  backpressure,
  "checkpoint.create": checkpointCreate,
  "checkpoint.restore": checkpointRestore,
  "artifact.put": artifactPut,
  "artifact.fetch": artifactFetch,
  "artifact.release": artifactRelease,
};
