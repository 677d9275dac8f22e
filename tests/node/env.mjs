// The environment's other half, by code that is not ours: `node env.mjs ACT` reads one JSON document a line from stdin
// and writes one a line to stdout.
//   open    {secret, blob}   what a guest reads, by node's own crypto
//   seal    {key, envs}      the blob, by the official SDK
//   recover {key, signature, app}   who signed a recipient key, by the official SDK
//   webhook {secret, timestamp, signature, body}   whether the official SDK takes a delivery
//   dotenv  "text"           names and values, by npm dotenv and by the official SDK
import { createDecipheriv, createPrivateKey, createPublicKey, diffieHellman } from "node:crypto";
import { encryptEnvVars, parseEnvVars, verifyEnvEncryptPublicKey } from "@phala/cloud";
import { verifyWebhookSignature } from "@phala/cloud/webhook";
import dotenv from "dotenv";
import { answerLines } from "./lines.mjs";

// RFC 8410: what stands before the 32 bytes of an X25519 key.
const PRIVATE = Buffer.from("302e020100300506032b656e04220420", "hex");
const PUBLIC = Buffer.from("302a300506032b656e032100", "hex");

const acts = {
  open: ({ secret, blob }) => {
    const bytes = Buffer.from(blob, "hex");
    const der = { format: "der" };
    const privateKey = createPrivateKey({ key: Buffer.concat([PRIVATE, Buffer.from(secret, "hex")]), type: "pkcs8", ...der });
    const publicKey = createPublicKey({ key: Buffer.concat([PUBLIC, bytes.subarray(0, 32)]), type: "spki", ...der });
    const shared = diffieHellman({ privateKey, publicKey });
    const cipher = createDecipheriv("aes-256-gcm", shared, bytes.subarray(32, 44));
    cipher.setAuthTag(bytes.subarray(-16));
    return Buffer.concat([cipher.update(bytes.subarray(44, -16)), cipher.final()]).toString("utf8");
  },
  seal: ({ key, envs }) => encryptEnvVars(envs, key),
  recover: ({ key, signature, app }) =>
    verifyEnvEncryptPublicKey(Buffer.from(key, "hex"), Buffer.from(signature, "hex"), app),
  webhook: (delivery) => verifyWebhookSignature(delivery),
  dotenv: (text) => ({
    dotenv: Object.entries(dotenv.parse(text)),
    sdk: parseEnvVars(text).map(({ key, value }) => [key, value]),
  }),
};

await answerLines(acts[process.argv[2]]);
