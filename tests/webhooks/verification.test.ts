/** What a receiver believes: what was signed with its secret, not long ago, and is as it was. */
import { createHmac } from "node:crypto";
import {
  newWebhookSecret,
  signWebhook,
  verifyWebhook,
  WebhookVerificationError,
  webhookKey,
} from "@arcp/core/webhooks";
import { describe, expect, test } from "vitest";

const secret = newWebhookSecret();
const NOW = Date.UTC(2026, 0, 1);
const SENT = NOW / 1000;
const job = {
  job_id: "job_1",
  session_id: "ses_1",
  principal: "alice",
  agent: "echo@1.0.0",
  trace_id: `${"0".repeat(31)}1`,
};
const at = new Date(NOW).toISOString();
const body = JSON.stringify({
  ...{ type: "job.ended", timestamp: at },
  data: { ...job, status: "success", created_at: at, ended_at: at, more: 1 },
});

/** As a sender that knows nothing of this project would make it. */
function signed({
  id = "msg_1",
  timestamp = SENT,
  text = body,
  key = secret,
}: {
  id?: string;
  timestamp?: number;
  text?: string;
  key?: string;
} = {}) {
  const mac = createHmac("sha256", Buffer.from(key.slice("whsec_".length), "base64"));
  const signature = `v1,${mac.update(`${id}.${timestamp}.${text}`).digest("base64")}`;
  return {
    headers: { "webhook-id": id, "webhook-timestamp": String(timestamp), "webhook-signature": signature },
    body: text,
  };
}

const reasonOf = async (verification: Promise<unknown>): Promise<string> => {
  const error = await verification.then(
    () => "it was believed",
    (thrown: unknown) => thrown,
  );
  return error instanceof WebhookVerificationError ? error.reason : String(error);
};

describe("a webhook is believed", () => {
  test("that is signed by the conventions of Standard Webhooks, whatever the headers come in", async () => {
    const request = signed();
    const { id, event } = await verifyWebhook(request, { secret, now: NOW });
    expect(id).toBe("msg_1");
    expect(event.data).toMatchObject({ ...job, more: 1 });
    const inFetch = { headers: new Headers(request.headers), body: new TextEncoder().encode(body) };
    expect((await verifyWebhook(inFetch, { secret, now: NOW })).event).toEqual(event);
    const shouted = Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name.toUpperCase(), value]),
    );
    expect((await verifyWebhook({ headers: shouted, body }, { secret, now: NOW })).event).toEqual(event);
    expect(await signWebhook({ id: "msg_1", timestamp: SENT, body }, [secret])).toBe(
      request.headers["webhook-signature"],
    );
  });

  test("while secrets are changed, on either side", async () => {
    const next = newWebhookSecret();
    const both = await signWebhook({ id: "msg_1", timestamp: SENT, body }, [secret, next]);
    const request = { headers: { ...signed().headers, "webhook-signature": both }, body };
    for (const known of [secret, next, [next, secret]]) {
      expect((await verifyWebhook(request, { secret: known, now: NOW })).id).toBe("msg_1");
    }
    expect((await verifyWebhook(signed(), { secret: [next, secret], now: NOW })).id).toBe("msg_1");
  });

  test("as long as it is not older than is agreed", async () => {
    expect(await reasonOf(verifyWebhook(signed(), { secret, now: NOW + 300_000 }))).toContain("it was believed");
    expect(await reasonOf(verifyWebhook(signed(), { secret, now: NOW + 301_000 }))).toBe("timestamp");
    expect(await reasonOf(verifyWebhook(signed(), { secret, now: NOW - 301_000 }))).toBe("timestamp");
    expect(await reasonOf(verifyWebhook(signed(), { secret, now: NOW + 11_000, toleranceSeconds: 10 }))).toBe(
      "timestamp",
    );
  });
});

describe("a webhook is not believed", () => {
  const refused = (request: { headers: Record<string, string>; body: string | Uint8Array }, known = secret) =>
    reasonOf(verifyWebhook(request, { secret: known, now: NOW }));

  test("that was changed: its body, its id, its time, or its signature", async () => {
    const { headers } = signed();
    expect(await refused({ headers, body: body.replace("alice", "mallory") })).toBe("signature");
    expect(await refused({ headers, body: `${body} ` })).toBe("signature");
    expect(await refused({ headers: { ...headers, "webhook-id": "msg_2" }, body })).toBe("signature");
    expect(await refused({ headers: { ...headers, "webhook-timestamp": String(SENT + 1) }, body })).toBe("signature");
    const other = signed({ key: newWebhookSecret() }).headers["webhook-signature"];
    expect(await refused({ headers: { ...headers, "webhook-signature": other }, body })).toBe("signature");
    expect(await refused(signed(), newWebhookSecret())).toBe("signature");
  });

  test("whose signature is none, is of another version, or is cut", async () => {
    const { headers } = signed();
    const right = headers["webhook-signature"];
    const wrong = [
      "",
      "v1",
      "v1,",
      "v1a,AAAA",
      right.replace("v1", "v2"),
      right.slice(0, -4),
      right.slice(3),
      "v1,%%%",
      "v1,====",
    ];
    for (const signature of wrong) {
      const request = { headers: { ...headers, "webhook-signature": signature }, body };
      expect(await refused(request), signature).toBe("signature");
    }
    const late = `${"v1,AAAA ".repeat(16)}${right}`;
    expect(await refused({ headers: { ...headers, "webhook-signature": late }, body })).toBe("signature");
  });

  test("that lacks a header, or has a time that is none", async () => {
    const { headers } = signed();
    for (const name of Object.keys(headers)) {
      const { [name]: _, ...rest } = headers as Record<string, string>;
      expect(await refused({ headers: rest, body }), name).toBe("headers");
    }
    for (const timestamp of ["", "now", "1e9", "-1", " 1", "9".repeat(13)]) {
      expect(await refused({ headers: { ...headers, "webhook-timestamp": timestamp }, body }), timestamp).toBe(
        "timestamp",
      );
    }
  });

  test("that is well signed and no webhook", async () => {
    for (const text of [
      "",
      "null",
      "{",
      "[]",
      '{"type":"job.ended"}',
      '{"type":"job.began","timestamp":"","data":{}}',
    ]) {
      expect(await refused(signed({ text })), text).toBe("body");
    }
    expect(await refused({ headers: signed().headers, body: new Uint8Array([0xff, 0xfe]) })).toBe("body");
    expect(await refused(signed({ text: `"${"x".repeat(300_000)}"` }))).toBe("body");
  });

  test("with a secret that is none, which is not repeated", async () => {
    for (const wrong of ["", "secret", "whsec_", "whsec_c2hvcnQ=", `whsec_${"A".repeat(200)}`, "whsec_%%%%"]) {
      expect(() => webhookKey(wrong)).toThrow(TypeError);
      const said = await reasonOf(verifyWebhook(signed(), { secret: wrong, now: NOW }));
      expect(said).toContain("TypeError: the secret of a webhook is whsec_ and 24 to 64 bytes");
      expect(said).not.toContain("c2hvcnQ");
    }
  });
});
