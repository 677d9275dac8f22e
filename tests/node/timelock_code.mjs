// Prints the table of src/chain/timelock/known_code.csv: the hash of the runtime code of OpenZeppelin's TimelockController,
// without the tail that the compiler appends, for each release, compiler and setting. `make timelock-code` writes it.
// Reads what stands in timelocks/node_modules. Arguments: only rows that begin with one of them.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const modules = join(dirname(fileURLToPath(import.meta.url)), "timelocks/node_modules");
const require = createRequire(join(modules, "x"));
const { keccak256 } = require("js-sha3");

// One release of each group that compiles to the same code: 4.5.0 is also 4.3 and 4.4, 5.3.0 also 5.1 and 5.2, 5.7.0 also
// 5.5 and 5.6.
const early = ["0.8.9", "0.8.10", "0.8.13", "0.8.15", "0.8.17"];
const middle = [...early, "0.8.18", "0.8.19"];
const late = ["20", "21", "22", "23", "24", "25", "26", "27", "28", "29", "30"].map((patch) => `0.8.${patch}`);
const matrix = [
  ["4.5.0", [...early, "0.8.28"]],
  ["4.6.0", early],
  ["4.7.3", early],
  ["4.8.3", [...middle, "0.8.20"]],
  ["4.9.6", [...middle, "0.8.20", "0.8.24", "0.8.28"]],
  ["5.0.2", late],
  ["5.3.0", late],
  ["5.4.0", late],
  ["5.7.0", late],
];
// Hardhat compiles for paris from 0.8.20 on unless told otherwise, Foundry and solc for the newest that they know.
const machines = (compiler) => (late.includes(compiler) ? ["default", "paris"] : ["default"]);
const optimizers = { off: { enabled: false }, 200: { enabled: true, runs: 200 }, 10000: { enabled: true, runs: 10000 } };

function hash(release, compiler, machine, optimizer) {
  const solc = require(`solc-${compiler}`);
  const name = `oz-${release.split(".").slice(0, 2).join(".")}`;
  const version = JSON.parse(readFileSync(join(modules, name, "package.json"), "utf8")).version;
  if (version !== release || !solc.version().startsWith(`${compiler}+`)) throw new Error(`${name} is ${version}`);
  const found = (path) => ({ contents: readFileSync(join(modules, path), "utf8") });
  const file = `${name}/governance/TimelockController.sol`;
  const wanted = ["evm.deployedBytecode.object", "evm.deployedBytecode.immutableReferences"];
  const settings = {
    optimizer: optimizers[optimizer],
    outputSelection: { [file]: { TimelockController: wanted } },
    ...(machine === "default" ? {} : { evmVersion: machine }),
  };
  const input = { language: "Solidity", sources: { [file]: { content: found(file).contents } }, settings };
  const result = JSON.parse(solc.compile(JSON.stringify(input), { import: found }));
  const failed = (result.errors ?? []).find((entry) => entry.severity === "error");
  if (failed) throw new Error(failed.formattedMessage);
  const code = result.contracts[file].TimelockController.evm.deployedBytecode;
  if (Object.keys(code.immutableReferences ?? {}).length > 0) throw new Error("immutables would have to be masked");
  const bytes = Buffer.from(code.object, "hex");
  const tail = bytes.readUInt16BE(bytes.length - 2) + 2;
  return keccak256(bytes.subarray(0, bytes.length - tail));
}

const only = process.argv.slice(2);
for (const [release, compilers] of matrix) {
  for (const compiler of compilers) {
    for (const machine of machines(compiler)) {
      for (const optimizer of Object.keys(optimizers).reverse()) {
        const row = `${release},${compiler},${machine},${optimizer}`;
        if (only.length > 0 && !only.some((begin) => row.startsWith(begin))) continue;
        console.log(`${row},${hash(release, compiler, machine, optimizer)}`);
      }
    }
  }
}
