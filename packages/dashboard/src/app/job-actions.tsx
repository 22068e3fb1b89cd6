/** What can be done to a job: stop it, and run it again with changes. */
import { useState } from "preact/hooks";
import { Confirmation } from "./dialogs.tsx";
import { refusalOf } from "./permissions.ts";
import { client, messageOf } from "./session.ts";
import { Text } from "./visible-text.tsx";

export function JobActions(props: { readonly jobId: string; readonly agent: string; readonly isLive: boolean }) {
  const { jobId, agent, isLive } = props;
  const [isAsking, setAsking] = useState(false);
  const [reason, setReason] = useState("");
  const [problem, setProblem] = useState<string>();
  const refusal = refusalOf("submit");
  const cancel = async (): Promise<void> => {
    setAsking(false);
    try {
      await client().cancelJob(jobId, reason === "" ? {} : { reason });
      setProblem(undefined);
    } catch (thrown) {
      setProblem(messageOf(thrown));
    }
  };
  return (
    <span class="job-actions">
      {refusal === undefined ? (
        <a
          class="button"
          id="submit-again"
          href={`#/submit?from=${encodeURIComponent(jobId)}&agent=${encodeURIComponent(agent)}`}
        >
          Submit again with changes
        </a>
      ) : (
        <span class="hint">{refusal}</span>
      )}
      {isLive ? (
        <button
          type="button"
          class="danger"
          id="cancel-job"
          disabled={refusal !== undefined}
          {...(refusal !== undefined && { title: refusal })}
          onClick={() => setAsking(true)}
        >
          Cancel
        </button>
      ) : null}
      {problem === undefined ? null : (
        <span class="problem" role="alert">
          <Text value={problem} max={1_000} />
        </span>
      )}
      {isAsking ? (
        <Confirmation
          title="Cancel this job?"
          action="Cancel the job"
          isDangerous
          onConfirm={() => void cancel()}
          onClose={() => setAsking(false)}
        >
          <p>
            It is told to stop, and jobs that it delegated with it. What it has done already stays done. This cannot be
            taken back.
          </p>
          <label class="field">
            <span class="field-name">Why (it is told so)</span>
            <input
              type="text"
              maxLength={200}
              value={reason}
              onInput={(event) => setReason(event.currentTarget.value)}
            />
          </label>
        </Confirmation>
      ) : null}
    </span>
  );
}
