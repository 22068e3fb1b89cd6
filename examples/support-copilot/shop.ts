/** The shop, as its operator lets agents use it: two tools, whose keys and rules stay here. */
import { InvalidRequestError, type Tool } from "@arcp/sdk";

interface Order {
  readonly item: string;
  /** EUR. */
  readonly paid: number;
  readonly status: "delivered" | "lost";
}

const orders = new Map<string, Order>([
  ["A-1001", { item: "mug", paid: 12.5, status: "delivered" }],
  ["A-1002", { item: "poster", paid: 19.9, status: "delivered" }],
  ["A-1003", { item: "headphones", paid: 189, status: "lost" }],
  ["A-1004", { item: "cable", paid: 24, status: "delivered" }],
  ["A-1005", { item: "television", paid: 649, status: "delivered" }],
]);

export interface Refund {
  readonly order: string;
  /** EUR. */
  readonly amount: number;
  /** The same when the same is asked for again: it is paid once. */
  readonly key: string;
}

/** What was paid back, by key. */
export const paid = new Map<string, Refund>();

function orderOf(id: string): Order {
  const order = orders.get(id);
  if (order === undefined) throw new InvalidRequestError(`there is no order ${id}`);
  return order;
}

const ORDER = { type: "string", pattern: "^A-\\d{4}$" } as const;

export const lookUpOrder: Tool<{ readonly order: string }, Order> = {
  inputSchema: { type: "object", properties: { order: ORDER }, required: ["order"] },
  handler: ({ order }) => orderOf(order),
};

export const refund: Tool<Refund, { readonly refunded: number }> = {
  inputSchema: {
    type: "object",
    properties: {
      order: ORDER,
      amount: { type: "number", exclusiveMinimum: 0 },
      key: { type: "string", minLength: 1 },
    },
    required: ["order", "amount", "key"],
  },
  handler({ order, amount, key }) {
    if (amount > orderOf(order).paid) throw new InvalidRequestError(`${order} has cost less than EUR ${amount}`);
    const before = paid.get(key) ?? { order, amount, key };
    if (before.order !== order || before.amount !== amount)
      throw new InvalidRequestError(`${key} was refunded already`);
    paid.set(key, before);
    return { refunded: amount };
  },
};
