/** Pays money back, if somebody who may say so lets it, and as long as they do. */
import { codeOf10 } from "@arcp/core/v1.0";
import { ARCPError, type JobContext } from "@arcp/sdk";

export const version = "1.0.0";

export default async function refund(_input: unknown, ctx: JobContext) {
  const paid: string[] = [];
  const pay = (item: string) => () => void paid.push(item);

  // The lease of this job does not cover refunds: a person has to, for this order, and for a minute.
  const grant = await ctx.requestPermission({
    ...{ permission: "payment.refund.create", resource: "order:ord_4812", operation: "refund" },
    reason: "the parcel never came",
    requestedLeaseSeconds: 60,
  });
  await grant.perform(pay("the parcel"));

  // The rest takes longer.
  grant.refresh(600);
  await ctx.requestHumanChoice({
    prompt: "The postage as well?",
    options: [
      { id: "yes", label: "Yes" },
      { id: "no", label: "No" },
    ],
  });

  // The runtime looks at the grant each time: what was taken back gives nothing, whatever this agent believes.
  const stoppedBy = await grant.perform(pay("the postage")).then(
    () => null,
    (error: unknown) => codeOf10(ARCPError.from(error)),
  );
  return { paid, stoppedBy };
}
