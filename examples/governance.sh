#!/usr/bin/env bash
# The life of an app that no single person ever owns: made with a 2-of-3 Safe as its owner, provisioned, upgraded twice,
# cleaned of its old hashes, moved to another machine, and handed to a timelock, through which it is upgraded once more.
# Each step leaves a directory with the proof of what it did on chain: evidence.json and evidence.md.
#
#   examples/governance.sh DIR SAFE TIMELOCK NEW_DEVICE COMPOSE_FILE...
#
# DIR is new. TIMELOCK is OpenZeppelin's, with the Safe as its proposer. NEW_DEVICE is the machine that the CVM moves to.
# Four compose files: how the app begins, and three upgrades. The environment names the API key and an RPC endpoint
# (PHALA_CLOUD_API_KEY, ETH_RPC_URL) and keys: SIGNER_0 and SIGNER_1 are owners of the Safe, SIGNER_4 owns nothing and pays
# for transactions. Twice it waits for Enter: while the CVM is moved, and while the timelock's delay passes.
# COUNTERSIGN is the program [default: countersign], NAME the CVM's name [default: governed].
set -euo pipefail

dir=$1 safe=$2 timelock=$3 new_device=$4
shift 4
countersign=${COUNTERSIGN:-countersign}
name=${NAME:-governed}
mkdir "$dir"
exec 3>&2 # what people read stays readable when output is captured

say() { echo "$*" >&3; }

pause() {
  say "$* Then press Enter."
  read -r
}

# The first value of a field in a JSON object on one line.
field() { grep -o "\"$1\":[^,}]*" | head -n 1 | cut -d: -f2- | tr -d '" '; }

# Two of the Safe's three owners sign; the second one does so from the proposal alone, as on a machine of her own. What else
# is given goes to each review and signing: --yes does not agree to giving the app away, its new owner's address does.
sign() {
  local step=$1
  shift
  "$countersign" review --dir "$dir/$step" "$@"
  "$countersign" sign --dir "$dir/$step" --signer env:SIGNER_0 --yes "$@"
  cp "$dir/$step/proposal.json" "$dir/$step.for-bob.json"
  XDG_STATE_HOME="$dir/bob" "$countersign" review "$dir/$step.for-bob.json" "$@"
  XDG_STATE_HOME="$dir/bob" "$countersign" sign "$dir/$step.for-bob.json" --signer env:SIGNER_1 --yes "$@"
  "$countersign" import "$dir/$step.for-bob.json" --dir "$dir/$step"
}

# The Safe acts: signed, executed by a key that owns nothing, and proved.
safe_acts() {
  sign "$@"
  local step=$1
  shift
  "$countersign" execute --dir "$dir/$step" --signer env:SIGNER_4 --yes "$@"
  "$countersign" wait --dir "$dir/$step"
}

# The Safe schedules at the timelock, and anybody executes once the delay is over.
timelock_acts() {
  sign "$1"
  "$countersign" execute --dir "$dir/$1" --signer env:SIGNER_4 --yes || test $? -eq 8 # the delay: not done, and nothing is wrong
  pause "$1 is scheduled. Wait until the timelock's delay is over."
  "$countersign" execute --dir "$dir/$1" --signer env:SIGNER_4 --yes
  "$countersign" wait --dir "$dir/$1"
}

upgrade() {
  "$countersign" prepare --cvm "$name" -c "$2" --dir "$dir/$1"
  "$3" "$1"
  "$countersign" commit --dir "$dir/$1" --yes
}

change() {
  local step=$1
  shift
  "$countersign" app "$@" --app "$app" --chain-id "$chain" --dir "$dir/$step"
}

say "1. The CVM is provisioned: its compose hash and its machine are known, and nothing runs."
provisioned=$("$countersign" cvm create --name "$name" -c "$1" --kms base --allowed-env GREETING --provision-only --yes --json)
hash_1=$(field compose_hash <<<"$provisioned")
device=$(field device_id <<<"$provisioned")
kms=$(field kms_contract <<<"$provisioned")
kms_id=$(field kms_id <<<"$provisioned")
chain=$(field chain_id <<<"$provisioned")

say "2. A key that will own nothing has the KMS make the app's contract, whose owner is the Safe from the first block on."
made=$("$countersign" app deploy --chain-id "$chain" --kms-contract "$kms" --owner "$safe" \
  --compose-hash "$hash_1" --device "$device" --kms-id "$kms_id" --env GREETING \
  --dir "$dir/1-new-app" --signer env:SIGNER_4 --yes --json)
app=$(field app <<<"$made")
transaction=$(field transaction_hash <<<"$made")
deployer=$(field deployer <<<"$made")

say "3. What was provisioned is committed for that app, with the environment that was sealed for it."
"$countersign" cvm create --commit --app-id "$app" --compose-hash "$hash_1" --deployer "$deployer" \
  --transaction-hash "$transaction" --kms-id "$kms_id" \
  --encrypted-env "$dir/1-new-app/sealed.hex" --allowed-env GREETING --wait --yes

say "4. Two upgrades, each signed by two owners of the Safe."
upgrade 2-upgrade "$2" safe_acts
hash_2=$(field compose_hash <"$dir/2-upgrade/evidence.json")
upgrade 3-upgrade "$3" safe_acts

say "5. What the app ran before may never run again."
change 4-old-hashes hashes remove "$hash_1" "$hash_2"
safe_acts 4-old-hashes

say "6. The machine is replaced: the new one is let in, the CVM moves, the old one is kept out."
change 5-device-in devices add "$new_device"
safe_acts 5-device-in
pause "Move $name to the machine $new_device."
change 6-device-out devices remove "$device"
safe_acts 6-device-out

say "7. The Safe hands the app to the timelock, which has to accept it."
change 7-offer owner transfer "$timelock"
safe_acts 7-offer --accept "APP_GIVEN_AWAY=$timelock"
change 8-accept owner accept
timelock_acts 8-accept

say "8. One more upgrade, through the timelock."
upgrade 9-upgrade "$4" timelock_acts

say "9. Compare each of these with the chain, line by line:"
ls "$dir"/*/evidence.md
"$countersign" app show "$app" --chain-id "$chain"
"$countersign" app owner show "$app" --chain-id "$chain"
