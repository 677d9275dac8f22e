//! How long after the block that holds the transaction the commit request arrives.
//!
//! anvil mines at fixed times. A watcher asks it for its height every few milliseconds; the block was mined after the
//! last question that was still answered with the old height was asked, so a delay counted from there is never too
//! short. The simulated cloud's log is looked at every millisecond; a request counts from when it is seen there. Each
//! upgrade starts at another moment between two blocks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use alloy::primitives::B256;
use serde_json::{Value, json};

use crate::acts::Ours;
use crate::support::{Rpc, World, contracts, until};
use crate::table::{Row, Target, Unit};

/// Time between two questions of the watcher.
const LOOK: Duration = Duration::from_millis(4);
/// What is aimed at, milliseconds.
const AIM: f64 = 300.0;

/// When each block was mined, at the earliest.
struct Watcher {
    mined: Arc<Mutex<BTreeMap<u64, Instant>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    fn start(rpc: Rpc) -> Self {
        let (mined, stop) = (Arc::new(Mutex::new(BTreeMap::new())), Arc::new(AtomicBool::new(false)));
        let (found, ended) = (Arc::clone(&mined), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut height = rpc.height();
            let mut earliest = Instant::now();
            while !ended.load(Ordering::Relaxed) {
                let asked = Instant::now();
                let now = rpc.height();
                if now > height {
                    found.lock().unwrap().insert(now, earliest);
                    height = now;
                }
                earliest = asked;
                std::thread::sleep(LOOK);
            }
        });
        Self {
            mined,
            stop,
            thread: Some(thread),
        }
    }
    fn mined(&self, block: u64) -> Instant {
        until("the watcher", || self.mined.lock().unwrap().get(&block).copied())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// The block in which the app announced `hash`.
fn block_of(world: &World, hash: B256) -> u64 {
    let (topic, data) = contracts::compose_hash_added(hash);
    let filter = json!([{"fromBlock": "0x0", "address": world.app, "topics": [topic]}]);
    let logs = world.rpc().call("eth_getLogs", filter);
    let ours = |log: &&Value| log["data"].as_str() == Some(&data.to_string());
    let log = logs.as_array().unwrap().iter().find(ours).expect("an announcement");
    let number = log["blockNumber"].as_str().unwrap().trim_start_matches("0x");
    u64::from_str_radix(number, 16).unwrap()
}

/// Runs `rounds` upgrades one after the other.
pub fn rows(rounds: u32, block_time: u64) -> [Row; 2] {
    let ours = Ours::start(Some(block_time));
    let watcher = Watcher::start(ours.world.rpc());
    let mut delay = Row::new(
        &format!("{block_time}-second blocks: block to commit request"),
        Unit::Milliseconds,
        Target::AtMost(AIM),
    );
    let mut whole = Row::new(
        &format!("{block_time}-second blocks: upgrade until live"),
        Unit::Milliseconds,
        Target::None,
    );
    for round in 0..rounds {
        std::thread::sleep(Duration::from_secs(block_time) * round / rounds);
        let (mut command, hash) = ours.upgrade_command(round, &["--confirmations", "1"]);
        let began = Instant::now();
        let mut child = command
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let arrived = loop {
            if !ours.world.cloud.requests_to("POST", "/commit-update").is_empty() {
                break Instant::now();
            }
            assert!(began.elapsed() < Duration::from_secs(60), "no commit request");
            std::thread::sleep(Duration::from_millis(1));
        };
        assert!(child.wait().unwrap().success(), "round {round}");
        whole.ours.add(began.elapsed().as_secs_f64() * 1e3);
        let mined = watcher.mined(block_of(&ours.world, hash));
        delay
            .ours
            .add(arrived.saturating_duration_since(mined).as_secs_f64() * 1e3);
    }
    [delay, whole]
}
