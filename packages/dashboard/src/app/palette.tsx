/** Everything that can be done, by its name. */
import { signal } from "@preact/signals";
import { useState } from "preact/hooks";
import type { Board } from "./board.ts";
import { Dialog } from "./dialogs.tsx";
import { toggleNotifications } from "./notifications.tsx";
import { shortId } from "./parts.tsx";
import { refusalOf } from "./permissions.ts";
import { go, jobLink } from "./route.ts";
import { facts, signOut } from "./session.ts";
import { toggleTheme } from "./theme.ts";
import { Text } from "./visible-text.tsx";

export const isPaletteOpen = signal(false);

interface Command {
  readonly name: string;
  readonly keys?: string;
  /** What has to be on the page for it. */
  readonly element?: string;
  readonly run: () => void;
}

/** Does what a click does, if it can be clicked. */
export const press = (id: string): void => document.getElementById(id)?.click();

/** Goes to the inbox, and to the first thing that can be filled in or pressed there. */
export function answer(): void {
  go("#/inbox");
  // After the page has been drawn.
  setTimeout(
    () => document.querySelector<HTMLElement>("article fieldset :is(input, select, textarea, button)")?.focus(),
    50,
  );
}

const COMMANDS: readonly Command[] = [
  { name: "Jobs", keys: "g j", run: () => go("#/") },
  { name: "Inbox", keys: "g i", run: () => go("#/inbox") },
  { name: "Submit a job", keys: "g s", run: () => go("#/submit") },
  { name: "Envelopes", keys: "g w", run: () => go("#/wire") },
  { name: "Jobs that need me", run: () => go("#/?status=needs-me") },
  { name: "Jobs that run", run: () => go("#/?status=running") },
  { name: "Jobs that failed", run: () => go("#/?status=error") },
  { name: "Answer the most urgent question", keys: "a", run: answer },
  { name: "Submit this job again with changes", keys: "r", element: "submit-again", run: () => press("submit-again") },
  { name: "Cancel this job", keys: "x", element: "cancel-job", run: () => press("cancel-job") },
  { name: "Notify me in the background, or not any more", run: () => void toggleNotifications() },
  { name: "Light or dark", keys: "t", run: toggleTheme },
  { name: "Sign out", run: signOut },
];
const MAX_SHOWN = 12;

export function Palette({ board }: { readonly board: Board }) {
  const [text, setText] = useState("");
  const [position, setPosition] = useState(0);
  const close = (): void => {
    isPaletteOpen.value = false;
  };
  const found = matching(board, text.toLowerCase().trim());
  const run = (command: Command | undefined): void => {
    close();
    // After the dialog has let go of the focus.
    if (command !== undefined) setTimeout(command.run);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      setPosition((found.length + position + step) % Math.max(1, found.length));
    }
    if (event.key === "Enter") {
      event.preventDefault();
      run(found[position]);
    }
  };
  return (
    <Dialog label="Commands" className="palette" onClose={close}>
      <input
        type="text"
        role="combobox"
        aria-expanded="true"
        aria-controls="palette-list"
        aria-activedescendant={found.length > 0 ? `palette-${position}` : undefined}
        aria-label="Command, or a job"
        placeholder="What to do, or the id of a job"
        autocomplete="off"
        value={text}
        onInput={(event) => {
          setText(event.currentTarget.value);
          setPosition(0);
        }}
        onKeyDown={onKeyDown}
      />
      <div id="palette-list" role="listbox" aria-label="Commands">
        {found.map((command, index) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the keys are the input's
          <div
            id={`palette-${index}`}
            role="option"
            tabIndex={-1}
            aria-selected={index === position}
            onClick={() => run(command)}
          >
            <Text value={command.name} max={120} />
            {command.keys === undefined ? null : <kbd>{command.keys}</kbd>}
          </div>
        ))}
      </div>
    </Dialog>
  );
}

function isPossible({ element }: Command): boolean {
  if (element === undefined) return true;
  const found = document.getElementById(element);
  return found !== null && !found.hasAttribute("disabled");
}

/** One per agent: what people want of a palette most. */
function submitCommands(): readonly Command[] {
  if (refusalOf("submit") !== undefined) return [];
  return (facts.value?.agents ?? []).map(({ name }) => ({
    name: `Submit to ${name}`,
    run: () => go(`#/submit?agent=${encodeURIComponent(name)}`),
  }));
}

function matching(board: Board, text: string): readonly Command[] {
  const commands = [...COMMANDS.filter(isPossible), ...submitCommands()].filter(({ name }) =>
    name.toLowerCase().includes(text),
  );
  if (text.length < 2) return commands.slice(0, MAX_SHOWN);
  const jobs: Command[] = [];
  for (const { jobId, agent } of board.jobs) {
    if (jobs.length === MAX_SHOWN) break;
    if (!`${jobId} ${agent}`.toLowerCase().includes(text)) continue;
    jobs.push({ name: `${agent} ${shortId(jobId)}`, run: () => go(jobLink(jobId)) });
  }
  return [...commands, ...jobs].slice(0, MAX_SHOWN);
}
