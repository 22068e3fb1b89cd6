/** Jobs that share counters go to one node together, whoever takes what a dead node has left. */
import { describe, expect, test } from "vitest";
import { reasonForNoPostgres } from "../support/postgres.ts";
import { Puppet, type Run } from "../support/puppet.ts";
import { Cluster, type Node, until } from "./cluster.ts";

/** A job, what it may spend of its own, and what it delegates. */
interface Member {
  readonly name: string;
  /** Default: what its parent has. */
  readonly budget?: readonly string[];
  readonly children?: readonly Member[];
  /** Does it end well before its node is gone? */
  readonly isOver?: boolean;
}

const FAMILIES: readonly Member[] = [
  { name: "shared", budget: ["USD:9"], children: [{ name: "shared.1" }, { name: "shared.2" }] },
  {
    name: "reserved",
    budget: ["USD:9"],
    children: [
      { name: "reserved.1", budget: ["USD:3"] },
      { name: "reserved.2", budget: ["USD:4"] },
    ],
  },
  {
    name: "mixed",
    budget: ["USD:9", "EUR:5"],
    children: [
      { name: "mixed.1", budget: ["EUR:2"], children: [{ name: "mixed.1.1" }] },
      { name: "mixed.2", budget: ["USD:3"] },
    ],
  },
  {
    name: "middle",
    budget: ["USD:9"],
    children: [{ name: "middle.1", budget: ["USD:6"], isOver: true, children: [{ name: "middle.1.1" }] }],
  },
  {
    name: "orphans",
    budget: ["USD:9"],
    isOver: true,
    children: [{ name: "orphans.1" }, { name: "orphans.2", children: [{ name: "orphans.2.1" }] }],
  },
];

const membersOf = (member: Member): Member[] => [member, ...(member.children ?? []).flatMap(membersOf)];
const survivorsOf = (family: Member): Member[] => membersOf(family).filter(({ isOver }) => isOver !== true);

const leaseOf = ({ budget, children }: Member): Record<string, string[]> => ({
  ...(budget && { "cost.budget": [...budget] }),
  ...(children && { "agent.delegate": ["member"] }),
});

/** Lets `run` delegate what it has to. What has been delegated before is found again. */
async function delegateAll({ context }: Run, { children = [] }: Member): Promise<void> {
  for (const child of children) {
    const { accepted } = context.delegate({ agent: "member", input: child.name, lease_request: leaseOf(child) });
    await accepted;
  }
}

/** Spends one of each currency, in turns after the first of those of which that much is left. Returns what it has spent. */
async function spendOne({ context }: Run, turn: number): Promise<Record<string, number>> {
  const spent: Record<string, number> = {};
  for (const unit of context.budget.keys()) {
    if (turn > 0 && (context.budget.get(unit) ?? 0) < 1) continue;
    spent[unit] = 1;
    await context.metric({ name: `cost.${turn}`, value: 1, unit });
  }
  return spent;
}

const limitOf = ({ budget = [] }: Member): Record<string, number> =>
  Object.fromEntries(budget.map((amount) => amount.split(":")).map(([unit, value]) => [unit, Number(value)]));

function addTo(total: Record<string, number>, more: Record<string, number>): void {
  for (const [unit, value] of Object.entries(more)) total[unit] = (total[unit] ?? 0) + value;
}

class Runs {
  readonly #puppet: Puppet;
  readonly byName = new Map<string, Run>();

  constructor(puppet: Puppet) {
    this.#puppet = puppet;
  }

  /** Resolves when all of these run. */
  async of(members: readonly Member[]): Promise<Run[]> {
    for (const { name } of members) {
      while (!this.byName.has(name)) {
        const run = await this.#puppet.next();
        this.byName.set(String(run.input), run);
      }
    }
    return members.map(({ name }) => this.byName.get(name) as Run);
  }
}

describe.skipIf(reasonForNoPostgres() !== undefined)("jobs that share counters", () => {
  test("are taken over by one node together, and spend what there is, once", async () => {
    const puppet = new Puppet();
    const settings = { agents: { member: { handler: puppet.handler, options: { durable: true } } } };
    const cluster = await Cluster.of(settings, settings, settings);
    const [a, b, c] = cluster.nodes as [Node, Node, Node];
    const client = await a.session();
    await Promise.all([b.up(), c.up()]);

    const before = new Runs(puppet);
    const spent = new Map(FAMILIES.map(({ name }) => [name, {} as Record<string, number>]));
    const roots = new Map<string, string>();
    for (const family of FAMILIES) {
      const answer = await client.submit("member", family.name, { lease_request: leaseOf(family) });
      roots.set(family.name, answer.payload.job_id);
      for (const member of membersOf(family)) {
        const [run] = (await before.of([member])) as [Run];
        await delegateAll(run, member);
      }
      const total = spent.get(family.name) ?? {};
      for (const run of await before.of(membersOf(family))) addTo(total, await spendOne(run, 0));
      for (const run of await before.of(membersOf(family))) await run.context.flush();
      for (const { name, isOver } of membersOf(family)) if (isOver) before.byName.get(name)?.finish();
    }
    const over = FAMILIES.flatMap(membersOf).filter(({ isOver }) => isOver).length;
    await until(async () => (await cluster.ask("SELECT FROM job WHERE status = 'success'")).length === over);
    await a.kill();
    await cluster.ask("UPDATE node SET beat_at = 0 WHERE facts::json->>'name' = 'a'");

    const after = new Runs(puppet);
    for (const family of FAMILIES) {
      for (const [index, run] of (await after.of(survivorsOf(family))).entries()) {
        await delegateAll(run, survivorsOf(family)[index] as Member);
        // It says what it has said before: that is no cost.
        await spendOne(run, 0);
      }
    }
    const split = await cluster.ask(
      "SELECT coalesce(family, id) FROM job WHERE ended_at IS NULL GROUP BY 1 HAVING count(DISTINCT node) > 1",
    );
    expect(split).toEqual([]);
    for (const family of FAMILIES) {
      const total = spent.get(family.name) ?? {};
      const runs = await after.of(survivorsOf(family));
      // Turn by turn: a counter that two of them have a copy of is spent twice.
      for (let turn = 1, isSpending = true; isSpending; turn += 1) {
        isSpending = false;
        for (const run of runs) {
          const more = await spendOne(run, turn);
          addTo(total, more);
          isSpending ||= Object.keys(more).length > 0;
        }
      }
      expect([family.name, total]).toEqual([family.name, limitOf(family)]);
    }
    expect(puppet.runs).toHaveLength(before.byName.size + after.byName.size);
    for (const run of after.byName.values()) run.finish();
    await until(async () => (await cluster.ask("SELECT FROM job WHERE ended_at IS NULL")).length === 0);
    expect(cluster.nodes.slice(1).flatMap(({ errors }) => errors.filter((line) => /invariant/.test(line)))).toEqual([]);
  });
});
