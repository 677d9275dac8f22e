// What others make of our Safe files: `node safe.mjs ACT`, a line of JSON in, a line out for each.
//   typed        typed data → its EIP-712 digest, as viem computes it
//   builder      text of a batch file → {checksum, calls}, as @morpho-labs/gnosis-tx-builder sums and ethers encodes it
//   sum          batch → text of the batch with the checksum of that package
//   deployments  (no input) → every address of @safe-global/safe-deployments
import { readFileSync, readdirSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { Interface } from "ethers";
import { hashTypedData } from "viem";

const require = createRequire(import.meta.url);
const { calculateChecksum } = require("@morpho-labs/gnosis-tx-builder/lib/src/utils");

const encode = ({ data, contractMethod, contractInputsValues }) => {
  if (data) return data;
  const values = contractMethod.inputs.map(({ name, type }) =>
    type === "bool" ? contractInputsValues[name] === "true" : contractInputsValues[name],
  );
  const abi = [{ type: "function", stateMutability: "nonpayable", outputs: [], ...contractMethod }];
  return new Interface(abi).encodeFunctionData(contractMethod.name, values);
};
const builder = (text) => {
  const file = JSON.parse(text);
  const calls = file.transactions.map((entry) => ({ to: entry.to, value: entry.value, data: encode(entry) }));
  return { checksum: calculateChecksum(file), calls };
};
const sum = (file) => JSON.stringify({ ...file, meta: { ...file.meta, checksum: calculateChecksum(file) } });
const deployments = () => {
  const assets = join(dirname(require.resolve("@safe-global/safe-deployments")), "assets");
  return readdirSync(assets).flatMap((version) =>
    readdirSync(join(assets, version)).flatMap((file) => {
      const { contractName, deployments } = JSON.parse(readFileSync(join(assets, version, file), "utf8"));
      return Object.entries(deployments).map(([build, { address, codeHash }]) => ({
        version: version.slice(1),
        contract: contractName,
        build,
        address,
        codeHash,
      }));
    }),
  );
};

const acts = { typed: hashTypedData, builder, sum };
const act = process.argv[2];
const lines = act === "deployments" ? [] : readFileSync(0, "utf8").split("\n").filter((line) => line !== "");
const answers = act === "deployments" ? deployments() : lines.map((line) => acts[act](JSON.parse(line)));
let rest = Buffer.from(answers.map((answer) => `${JSON.stringify(answer)}\n`).join(""));
while (rest.length > 0) rest = rest.subarray(writeSync(1, rest));
