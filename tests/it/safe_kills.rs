//! The process dies by SIGKILL around every effect of the Safe route; the same command again finishes it once.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use alloy::primitives::U256;

use crate::flow::{Flow, Ran};
use crate::judge::{self, each};
use crate::support::command::shown;
use crate::support::{SafeOptions, World, WorldOptions, safes};

/// Command, place of death.
const POINTS: [(&str, &str); 19] = [
    ("prepare", "freeze.a"),
    ("prepare", "freeze.b"),
    ("prepare", "export.a"),
    ("sign", "safe.sign.a"),
    ("sign", "safe.sign.b"),
    ("sign", "safe-sign.b"),
    ("sign", "safe-sign.d"),
    ("sign", "safe.sign.d"),
    ("sign", "safe.sign.e"),
    ("sign --on-chain", "errand.a"),
    ("sign --on-chain", "errand.b"),
    ("sign --on-chain", "errand.d"),
    ("sign --on-chain", "errand.e"),
    ("sign --on-chain", "broadcast.d"),
    ("execute", "sign.a"),
    ("execute", "sign.b"),
    ("execute", "sign.d"),
    ("execute", "sign.e"),
    ("execute", "broadcast.d"),
];

fn step(flow: &Flow<'_>, words: &str) -> Command {
    if words == "prepare" {
        return judge::command(flow, "prepare", &[]);
    }
    let dir = flow.dir.to_str().unwrap();
    let mut all: Vec<&str> = words.split(' ').collect();
    let key = if words == "execute" {
        "env:SIGNER_4"
    } else {
        "env:SIGNER_0"
    };
    all.extend(["--dir", dir, "--signer", key, "--yes", "--json"]);
    flow.command(&all)
}

#[test]
fn k_a_death_around_any_effect_of_the_safe_route_is_followed_by_one_that_finishes() {
    each(&POINTS, |(words, point)| {
        let world = World::with(WorldOptions {
            safe: Some(SafeOptions {
                release: 1,
                l2: true,
                threshold: 1,
                owners: 2,
            }),
            ..WorldOptions::default()
        });
        let flow = Flow::new(&world);
        let on_chain = *words == "sign --on-chain";
        let sign = if on_chain { "sign --on-chain" } else { "sign" };
        for one in ["prepare", sign, "execute"] {
            if one == *words {
                let output = step(&flow, one)
                    .env("FAILPOINTS", format!("{point}=return"))
                    .output()
                    .unwrap();
                assert_eq!(output.status.signal(), Some(9), "{point}: {}", shown(&output));
            }
            Ran::of(&mut step(&flow, one)).exits(0);
        }
        flow.step("wait").exits(0);
        flow.step("commit").exits(0);
        flow.landed_once();
        let nonce = world.rpc().read(world.safe.unwrap(), &safes::abi::nonceCall {});
        assert_eq!(nonce, U256::from(1), "{point}");
        let payer = crate::support::ACCOUNTS[4].address;
        assert_eq!(world.rpc().nonce(payer), 1, "{point}: one execution");
        if !on_chain {
            judge::legal(&flow);
        }
    });
}
