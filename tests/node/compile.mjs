// Compiles tests/contracts/*.sol, and the contracts of npm packages that tests deploy as they are, into
// tests/contracts/out/<Name>.json: {abi, bytecode, methods, layout}. Reads and writes nothing else.
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import solc from "solc";

const here = dirname(fileURLToPath(import.meta.url));
const contracts = resolve(here, "../contracts");
const modules = join(here, "node_modules");
const out = join(contracts, "out");
const fromPackages = [
  "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol",
  "@openzeppelin/contracts/governance/TimelockController.sol",
  "openzeppelin-v4/governance/TimelockController.sol",
  "openzeppelin-v4-5/governance/TimelockController.sol",
];
// Contracts of one name in several versions of a package: the older ones get names of their own.
const renamed = {
  "openzeppelin-v4/governance/TimelockController.sol": "TimelockControllerV4",
  "openzeppelin-v4-5/governance/TimelockController.sol": "TimelockControllerV4_5",
};

const own = readdirSync(contracts).filter((name) => name.endsWith(".sol"));
const sources = Object.fromEntries([
  ...own.map((name) => [name, { content: readFileSync(join(contracts, name), "utf8") }]),
  ...fromPackages.map((name) => [name, { content: readFileSync(join(modules, name), "utf8") }]),
]);
const input = {
  language: "Solidity",
  sources,
  settings: {
    optimizer: { enabled: true, runs: 200 },
    outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.methodIdentifiers", "storageLayout"] } },
  },
};
const found = (path) => {
  try {
    return { contents: readFileSync(join(/^(@|openzeppelin-v4(-5)?\/)/.test(path) ? modules : contracts, path), "utf8") };
  } catch {
    return { error: `no such file: ${path}` };
  }
};
const result = JSON.parse(solc.compile(JSON.stringify(input), { import: found }));
const errors = (result.errors ?? []).filter((entry) => entry.severity === "error");
if (errors.length > 0) {
  console.error(errors.map((entry) => entry.formattedMessage).join("\n"));
  process.exit(1);
}

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
let count = 0;
for (const file of Object.keys(sources)) {
  for (const [name, contract] of Object.entries(result.contracts[file] ?? {})) {
    if (contract.evm.bytecode.object === "") continue;
    const artifact = {
      abi: contract.abi,
      bytecode: `0x${contract.evm.bytecode.object}`,
      methods: contract.evm.methodIdentifiers,
      layout: contract.storageLayout?.storage.map(({ label, slot, offset }) => ({ label, slot, offset })) ?? [],
    };
    writeFileSync(join(out, `${renamed[file] ?? name}.json`), `${JSON.stringify(artifact)}\n`);
    count += 1;
  }
}
console.log(`compiled ${count} contracts with solc ${solc.version()}`);
