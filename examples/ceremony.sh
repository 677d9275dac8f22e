#!/usr/bin/env bash
# A 3-of-5 Safe approves an upgrade with nothing but files: one person prepares, three sign on machines of their own, one
# of them without any network, and somebody who owns nothing executes. No server but the chain and Phala Cloud is asked.
#
#   examples/ceremony.sh DIR CVM COMPOSE_FILE
#
# DIR is new and stands for the people's machines. The environment names the release manager's API key and RPC endpoint
# (PHALA_CLOUD_API_KEY, ETH_RPC_URL) and the keys: SIGNER_0 to SIGNER_2 are owners', SIGNER_4 pays for the execution.
# COUNTERSIGN is the program [default: countersign].
set -euo pipefail

dir=$1 cvm=$2 compose=$3
countersign=${COUNTERSIGN:-countersign}
mkdir -p "$dir"/{manager,alice,bob,carol}

# Each person remembers what was signed in a folder of their own, as on machines of their own.
as() {
  local who=$1
  shift
  XDG_STATE_HOME="$dir/$who/state" "$countersign" "$@"
}

echo "1. The release manager prepares, and passes the proposal on." >&2
as manager prepare --cvm "$cvm" -c "$compose" --dir "$dir/manager/upgrade"
cp "$dir/manager/upgrade/proposal.json" "$dir/alice/"
cp "$dir/manager/upgrade/proposal.json" "$dir/carol/"

echo "2. Alice reviews, signs the file itself, and passes it on to Bob, who does the same." >&2
as alice review "$dir/alice/proposal.json"
as alice sign "$dir/alice/proposal.json" --signer env:SIGNER_0 --yes
cp "$dir/alice/proposal.json" "$dir/bob/"
as bob review "$dir/bob/proposal.json"
as bob sign "$dir/bob/proposal.json" --signer env:SIGNER_1 --yes

echo "3. Carol signs on a machine without a network, and sends her signature alone." >&2
as carol sign "$dir/carol/proposal.json" --offline --signer env:SIGNER_2 --yes --out "$dir/carol/signature.json"

echo "4. The release manager takes the signatures in and has the transaction executed by a key that owns nothing." >&2
as manager import "$dir/bob/proposal.json" "$dir/carol/signature.json" --dir "$dir/manager/upgrade"
as manager execute --dir "$dir/manager/upgrade" --signer env:SIGNER_4 --yes

echo "5. The effect is proved, and the update committed with the proof." >&2
as manager wait --dir "$dir/manager/upgrade"
as manager commit --dir "$dir/manager/upgrade" --yes
