/** A relay: what a job asks goes to every channel, the first answer wins, and the other channels are cleared (RFC §12.3). */
import assert from "node:assert/strict";
import { ARCPToolClient, type ArtifactSource, type TransportFactory } from "@arcp/sdk";

/** Where people are, and which version they would say it is. The dashboard only shows what is open. */
const OPINIONS: Readonly<Record<string, string | undefined>> = {
  "ntfy:phone": "2.1.0",
  "chat:operators": "3.0.0",
  "web:dashboard": undefined,
};

interface Prompt {
  readonly channel: string;
  readonly about: "version" | "permission";
  /** Why it was taken away; `undefined` while it is shown. */
  clearedBecause?: string;
}

export async function relay(connect: TransportFactory, say: (line: string) => void): Promise<void> {
  const prompts: Prompt[] = [];
  /** Shows a question at a channel until it is no longer open, whoever has answered it. */
  const show = (channel: string, about: Prompt["about"], signal: AbortSignal): void => {
    const prompt: Prompt = { channel, about };
    prompts.push(prompt);
    say(`${channel.padEnd(15)} shows the question about the ${about}`);
    signal.addEventListener("abort", () => {
      prompt.clearedBecause = signal.reason.message;
      say(`${channel.padEnd(15)} clears it: ${signal.reason.message}`);
    });
  };

  // One session of the same user for each channel. The runtime asks them all.
  const openChannel = async (channel: string): Promise<ARCPToolClient> => {
    const client = await ARCPToolClient.open(connect, { token: "demo-token", respondedBy: channel });
    client.onHumanInput(async ({ prompt }, signal) => {
      show(channel, "version", signal);
      const version = OPINIONS[channel];
      if (version === undefined) return undefined;
      const [uri = ""] = prompt.match(/arcp:\S+/) ?? [];
      const notes = new TextDecoder().decode(await client.fetchArtifact(uri));
      say(`${channel.padEnd(15)} has read ${notes.length} characters, and says ${version}`);
      return { value: { version } };
    });
    client.onPermission((_question, signal) => {
      show(channel, "permission", signal);
      return channel === "ntfy:phone" ? { granted: true } : undefined;
    });
    return client;
  };
  const channels = await Promise.all(Object.keys(OPINIONS).map(openChannel));

  // Who asks for the work is nobody who answers.
  const client = await ARCPToolClient.open(connect, { token: "demo-token", capabilities: { human_input: false } });
  const { value } = await client.invoke("release", { channels: Object.keys(OPINIONS) }).done;
  // What was sent to the channels before has arrived when they are answered.
  await Promise.all(channels.map((channel) => channel.ping()));
  const result = value as { readonly published: string; readonly namedBy: string; readonly notes: ArtifactSource };
  say(`${"published".padEnd(15)} ${result.published}, as ${result.namedBy} said`);

  assert.equal(result.published, `example ${OPINIONS[result.namedBy]}`, "one answer counts, and it is not mixed");
  assert.equal(prompts.length, 6);
  for (const { channel, about, clearedBecause } of prompts) {
    const isSilent = about === "version" ? OPINIONS[channel] === undefined : channel !== "ntfy:phone";
    assert.ok(clearedBecause !== undefined, `${channel} still shows what nobody has to answer`);
    if (isSilent) assert.equal(clearedBecause, "answered elsewhere");
  }
  assert.match(new TextDecoder().decode(await client.fetchArtifact(result.notes)), /^# What is new/);
  for (const one of [client, ...channels]) await one.close();
}
