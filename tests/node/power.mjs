// Solves the rules of `countersign power --json` once more, by plain enumeration, and compares: reads the answer's data on
// stdin, prints what differs, and ends with 1 where anything does. Shares no code and no table with the program.
import { readFileSync } from "node:fs";

const data = JSON.parse(readFileSync(0, "utf8"));
const nodes = new Map(data.nodes.map((node) => [node.address, node]));
const acts = new Map(data.nodes.map((node) => [node.address, []]));

const within = (a, b) => [...a].every((party) => b.has(party));
const covers = (a, b) => a.notice <= b.notice && within(a.parties, b.parties);
const least = (ways) => {
  const kept = [];
  for (const way of ways) {
    if (kept.some((known) => covers(known, way))) continue;
    for (let at = kept.length - 1; at >= 0; at -= 1) if (covers(way, kept[at])) kept.splice(at, 1);
    kept.push(way);
  }
  return kept;
};
const together = (...sets) => new Set(sets.flatMap((set) => [...set]));
const nobody = { parties: new Set(), notice: 0 };

// Whoever is no node is an unknown party. Capitals of addresses do not count in what is compared.
const front = (address) => acts.get(address) ?? [{ parties: new Set([`unknown ${address}`]), notice: 0 }];

function of(actor) {
  if (actor.acts !== undefined) return front(actor.acts);
  const address = actor.signs ?? actor.calls.from;
  const node = nodes.get(address);
  if (node?.only_as_module) return [];
  const ways = [...front(address)];
  if (actor.signs !== undefined) for (const rule of node?.signs_by ?? []) ways.push(...by(rule));
  if (actor.calls !== undefined && node?.passes_on_to === actor.calls.to) ways.push(nobody);
  return least(ways);
}

function choices(k, fronts) {
  if (k === 0) return [nobody];
  if (fronts.length < k) return [];
  const [first, ...rest] = fronts;
  const taken = first.flatMap((way) =>
    choices(k - 1, rest).map((other) => ({
      parties: together(way.parties, other.parties),
      notice: Math.max(way.notice, other.notice),
    })),
  );
  return least([...taken, ...choices(k, rest)]);
}

function by(rule) {
  switch (rule.rule) {
    case "party":
      return [{ parties: new Set([rule.party]), notice: 0 }];
    case "any":
      return [nobody];
    case "child":
      return of(rule.of);
    case "k-of-n":
      return choices(rule.k, rule.of.map(of));
    case "all":
      return [{ parties: new Set(rule.of), notice: rule.delay }];
    case "lock": {
      const each = (who) => (who === "anybody" ? [nobody] : who.of.flatMap(of));
      return each(rule.proposers).flatMap((proposer) =>
        each(rule.executors).map((executor) => {
          const begins = rule.after > 0 ? Math.max(rule.after, executor.notice) : 0;
          const ready = Math.max(begins, proposer.notice) + rule.delay;
          return {
            parties: together(proposer.parties, executor.parties),
            notice: Math.max(ready, executor.notice),
          };
        }),
      );
    }
    default:
      throw new Error(`no such rule: ${rule.rule}`);
  }
}

const told = (ways) => ways.map((way) => `${[...way.parties].sort().join(" with ").toLowerCase()} after ${way.notice}`).sort();
for (let changed = true; changed; ) {
  changed = false;
  for (const [address, node] of nodes) {
    const found = least([...acts.get(address), ...node.rules.flatMap(by)]);
    if (told(found).join() !== told(acts.get(address)).join()) {
      acts.set(address, found);
      changed = true;
    }
  }
}

const key = (one, domain, call) => `${domain} ${one.class ?? one.effect} ${one.target} ${call} ${one.announced}`;
const expected = new Map();
for (const effect of data.effects) {
  const name = key(effect, effect.domain, effect.call);
  expected.set(name, [...(expected.get(name) ?? []), ...by(effect.by)]);
}
const claimed = new Map([...expected.keys()].map((name) => [name, []]));
for (const path of data.paths) {
  const name = key(path, path.domain, path.call);
  if (!claimed.has(name)) claimed.set(name, []);
  claimed.get(name).push({ parties: new Set(path.parties), notice: path.notice });
}
let differs = false;
for (const [name, ways] of claimed) {
  const mine = told(least(expected.get(name) ?? [])).join("; ");
  const theirs = told(least(ways)).join("; ");
  if (mine === theirs) continue;
  differs = true;
  console.error(`${name}\n  here:    ${mine}\n  claimed: ${theirs}`);
}
process.exit(differs ? 1 : 0);
