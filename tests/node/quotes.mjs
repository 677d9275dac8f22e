// Quotes of Intel TDX before a judge that is not ours, npm @phala/dcap-qvl: `node quotes.mjs ACT` reads one JSON document a
// line from stdin and writes one a line to stdout. Bytes are hex; the root is Intel's where none is named.
//   judge  {quote, collateral, at, root?}   status and advisories at that time, in seconds since 1970
//   signed {quote, at}                      the machine of a quote whose own signatures lead to Intel's root
import { createHash, createPublicKey, verify, X509Certificate } from "node:crypto";
import qvl from "@phala/dcap-qvl";
import { answerLines } from "./lines.mjs";

const hex = (text) => Buffer.from(text, "hex");

const check = (what, key, bytes, signature) => {
  if (!verify("sha256", bytes, { key, dsaEncoding: "ieee-p1363" }, signature)) throw new Error(`${what} is not signed`);
};

const acts = {
  judge: ({ quote, collateral, at, root }) => {
    // The machine's certificate stands in the quote; one beside it would count first.
    const { pck_certificate_chain: _, ...parts } = collateral;
    const { status, advisory_ids } = new qvl.QuoteVerifier(root && hex(root)).verify(hex(quote), parts, at);
    return { status, advisories: advisory_ids };
  },
  signed: ({ quote, at }) => {
    const bytes = hex(quote);
    const parsed = qvl.Quote.parse(bytes);
    const parts = parsed.authData.intoV3();
    const [machine, ...above] = qvl.utils.extractCerts(parts.certificationData.body);
    qvl.utils.verifyCertificateChain(machine, above, at, [], qvl.constants.TRUSTED_ROOT_CA_DER);
    check("the quoting enclave", new X509Certificate(machine).publicKey, parts.qeReport, parts.qeReportSignature);
    const key = Buffer.from(parts.ecdsaAttestationKey);
    const named = createHash("sha256").update(key).update(parts.qeAuthData).digest();
    if (!named.equals(Buffer.from(parts.qeReport).subarray(320, 352))) throw new Error("another attestation key");
    const [x, y] = [key.subarray(0, 32), key.subarray(32)].map((half) => half.toString("base64url"));
    const point = createPublicKey({ key: { kty: "EC", crv: "P-256", x, y }, format: "jwk" });
    check("the report", point, bytes.subarray(0, parsed.signedLength()), parts.ecdsaSignature);
    const ppid = qvl.utils.findExtension([qvl.oids.PPID], qvl.utils.getIntelExtension(machine));
    const device = createHash("sha256").update(ppid).digest("hex");
    return { fmspc: qvl.intel.getFmspc(parsed).toString("hex"), device };
  },
};

await answerLines(acts[process.argv[2]]);
