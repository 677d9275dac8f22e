// Runs acts of the official SDK: `node sdk.mjs ACT '{"…":…}' ACT '{"…":…}' …`. Reads PHALA_CLOUD_API_PREFIX and
// PHALA_CLOUD_API_KEY, writes one JSON object a line to stdout for each: {ok: result} or {error: {message, status, code}}.
import {
  addComposeHash,
  createClient,
  getComposeHash,
  getCvmComposeFile,
  getCvmInfo,
  getAppDeviceAllowlist,
  patchCvm,
  confirmCvmPatch,
  commitCvmUpdate,
} from "@phala/cloud";
import * as sdk from "@phala/cloud";
import { base, anvil } from "viem/chains";

// The SDK prints receipts to stdout; that is ours.
console.log = console.error;

const chains = { 8453: base, 31337: anvil };
const acts = {
  prepare: (client, request) => patchCvm(client, { ...request, prepareOnly: true }),
  patch: (client, request) => patchCvm(client, request),
  confirm: (client, request) => confirmCvmPatch(client, request),
  commit: (client, request) => commitCvmUpdate(client, request),
  info: (client, request) => getCvmInfo(client, request),
  devices: (client, request) => getAppDeviceAllowlist(client, request),
  // The methods that the SDK adds to a manifest are not part of it.
  hash: async (client, request) => {
    const { getHash, toString, ...manifest } = await getCvmComposeFile(client, request);
    return getComposeHash(manifest);
  },
  // The whole update for an app that one key owns, as the SDK's documents show it.
  update: async (client, { chainId, rpcUrl, privateKey, ...request }) => {
    const required = await patchCvm(client, request);
    const allowed = await addComposeHash({
      chain: chains[chainId],
      rpcUrl,
      appId: required.appId,
      composeHash: required.composeHash,
      privateKey,
    });
    const confirmed = await confirmCvmPatch(client, {
      id: request.id,
      composeHash: required.composeHash,
      transactionHash: allowed.transactionHash,
    });
    return { composeHash: required.composeHash, transactionHash: allowed.transactionHash, ...confirmed };
  },
};

const client = createClient({
  baseURL: process.env.PHALA_CLOUD_API_PREFIX,
  apiKey: process.env.PHALA_CLOUD_API_KEY,
});
const plain = (_, value) => (typeof value === "bigint" ? value.toString() : value);
const answer = async (act, request) => {
  try {
    // Any other act is a function of the SDK by its own name.
    const run = acts[act] ?? sdk[act];
    return { ok: (await run(client, JSON.parse(request))) ?? null };
  } catch (error) {
    const { message, status, errorCode: code } = error;
    return { error: { message, status, code } };
  }
};
const words = process.argv.slice(2);
for (let at = 0; at < words.length; at += 2) {
  process.stdout.write(`${JSON.stringify(await answer(words[at], words[at + 1]), plain)}\n`);
}
