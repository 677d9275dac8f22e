// Acts of the official client of the Safe Transaction Service: `node safe_api.mjs ACT '[…arguments]' ACT '[…]' …`. Reads
// SERVICE_URL, SERVICE_KEY and CHAIN_ID, writes one JSON object a line to stdout for each act: {ok: result} or
// {error: {message, status, data}}. The act `chains` gives the networks that the client knows.
import SafeApiKit from "@safe-global/api-kit";
import { getEip3770NetworkPrefixFromChainId } from "@safe-global/protocol-kit";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createWalletClient, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";

const { SERVICE_URL, SERVICE_KEY, CHAIN_ID } = process.env;
const client = SERVICE_URL
  ? new SafeApiKit({ chainId: BigInt(CHAIN_ID), txServiceUrl: `${SERVICE_URL}/api`, apiKey: SERVICE_KEY })
  : undefined;
const signer = (key) => createWalletClient({ account: privateKeyToAccount(key), transport: http("http://127.0.0.1:9") });
const prefix = (chainId) => {
  try {
    return getEip3770NetworkPrefixFromChainId(chainId);
  } catch {
    return null;
  }
};
// The client keeps its list of networks to itself, so it is read from its bundle.
const chains = () => {
  const bundle = readFileSync(fileURLToPath(import.meta.resolve("@safe-global/api-kit")), "utf8");
  const networks = [...bundle.matchAll(/\{\s*chainId:\s*(\d+)n,\s*shortName:\s*["']([^"']+)["']\s*\}/g)];
  return networks.map(([, id, slug]) => ({ id, slug, prefix: prefix(BigInt(id)) }));
};
const acts = {
  chains,
  safe: (safe) => client.getSafeInfo(safe),
  propose: (proposal) => client.proposeTransaction(proposal),
  confirm: (hash, signature) => client.confirmTransaction(hash, signature),
  transaction: (hash) => client.getTransaction(hash),
  confirmations: (hash) => client.getTransactionConfirmations(hash),
  list: (safe, options) => client.getMultisigTransactions(safe, options),
  pending: (safe, options) => client.getPendingTransactions(safe, options),
  nextNonce: (safe) => client.getNextNonce(safe),
  delegates: (filter) => client.getSafeDelegates(filter),
  addDelegate: ({ key, ...delegate }) => client.addSafeDelegate({ ...delegate, signer: signer(key) }),
  removeDelegate: ({ key, ...delegate }) => client.removeSafeDelegate({ ...delegate, signer: signer(key) }),
};
const plain = (_, value) => (typeof value === "bigint" ? value.toString() : value);
const list = process.argv.slice(2);
for (let index = 0; index < list.length; index += 2) {
  let answer;
  try {
    answer = { ok: (await acts[list[index]](...JSON.parse(list[index + 1]))) ?? null };
  } catch ({ message, statusCode: status, data }) {
    answer = { error: { message, status, data } };
  }
  process.stdout.write(`${JSON.stringify(answer, plain)}\n`);
}
