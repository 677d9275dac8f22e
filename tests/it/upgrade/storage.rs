//! Disks that are full, broken, gone or not to be trusted: nothing begins that could not be remembered, and what was
//! begun is gone on with when the disk is well again.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use crate::harness::flow::{Flow, Ran};
use crate::harness::judge::{
    self, behind, can_trace, copied, each, ended, finished, legal, moved, skipped, spawn, works,
};
use crate::support::world::CVM;
use crate::support::{FaultProxy, Match, Moment, Nth, World, until};

/// What reached cloud and chain so far: changing requests, commits, transactions.
fn sent(world: &World) -> (usize, usize, u64) {
    // anvil answers a send before it has mined.
    let transactions = until("an empty pool", || {
        let count = |block: &str| {
            let params = serde_json::json!([world.owner.address, block]);
            world.rpc().number("eth_getTransactionCount", params)
        };
        let mined = count("latest");
        (count("pending") == mined).then_some(mined)
    });
    let changing = world
        .cloud
        .requests()
        .iter()
        .filter(|request| request.method != "GET")
        .count();
    (changing, world.cloud.commits(CVM).len(), transactions)
}

/// Whether a process may have file systems of its own here.
fn can_mount() -> bool {
    works("unshare", &["-rm", "sh", "-c", "mount -t tmpfs tmpfs /mnt"])
}

/// A disk with so many free pages and inodes, on which an upgrade runs; then room is made and the disk is kept.
fn on_small_disk(flow: &Flow<'_>, (pages, inodes): (usize, usize)) -> Ran {
    const SCRIPT: &str = r#"
        mount -t tmpfs -o "size=$1,nr_inodes=$2" tmpfs disk && head -c "$3" /dev/zero > disk/fill || exit 99
        shift 3; "$@"; code=$?
        rm disk/fill; cp -a disk/. kept && exit $code"#;
    const DISK: usize = 1 << 20;
    std::fs::create_dir_all(flow.world.folder().join("disk")).unwrap();
    std::fs::create_dir_all(flow.world.folder().join("kept")).unwrap();
    let (size, fill) = (DISK.to_string(), (DISK - pages * 4096).to_string());
    let before = [
        "unshare",
        "-rm",
        "sh",
        "-c",
        SCRIPT,
        "sh",
        &size,
        &inodes.to_string(),
        &fill,
    ];
    let on_disk = moved(flow, flow.world.folder().join("disk/upgrade"));
    Ran::of(&mut behind(&before, &on_disk, ("upgrade", &[])))
}

#[test]
fn d1_d2_d3_a_disk_that_fills_up_anywhere_stops_the_upgrade_before_what_it_could_not_remember() {
    if !can_mount() {
        return skipped(
            "D1, D2 and D3 by full disks",
            "no file system of one's own (unshare -rm)",
        );
    }
    let pages = [0, 1, 2, 3, 8, 16, 17, 18, 19, 20, 21, 22, 24, 28, 60].map(|pages| (pages, 64));
    let inodes = [2, 3, 4, 5, 6, 7, 64].map(|inodes| (60, inodes));
    each(&[pages.as_slice(), &inodes].concat(), |room| {
        let world = World::start();
        let flow = Flow::new(&world);
        let ran = on_small_disk(&flow, *room);
        let enough = *room == (60, 64);
        assert!(
            ran.exit == if enough { 0 } else { ran.exit } && [0, 9, 12].contains(&ran.exit),
            "{}",
            ran.said
        );
        if room.0 < 16 || room.1 < 4 {
            assert_eq!((ran.exit, sent(&world)), (12, (0, 0, 0)), "{}", ran.said);
        }
        let kept = moved(&flow, world.folder().join("kept/upgrade"));
        kept.step("upgrade").exits(0);
        finished(&kept);
    });
}

/// Runs a step while the kernel answers some calls with an error; gives what the calls were as well.
fn with_fault(flow: &Flow<'_>, step: &str, (path, fault): (Option<&Path>, &str)) -> (Ran, String) {
    let log = flow.world.folder().join("strace.log");
    let inject = format!("inject={fault}");
    let mut before = vec!["strace", "-f", "-y", "-qq", "-o", log.to_str().unwrap()];
    before.extend(["-e", "trace=write,fsync,fdatasync,flock,fallocate", "-e", &inject]);
    if let Some(path) = path {
        before.extend(["-P", path.to_str().unwrap()]);
    }
    let ran = Ran::of(&mut behind(&before, flow, (step, &[])));
    (ran, std::fs::read_to_string(log).unwrap())
}

/// The records of an upgrade that nothing disturbs, with how a run ends that cannot store one, and what it has sent
/// then: changing requests, commits, transactions.
const RECORDS: [(&str, i32, (usize, usize, u64)); 13] = [
    ("open", 12, (0, 0, 0)),
    ("plan", 12, (0, 0, 0)),
    ("prepare.try", 12, (0, 0, 0)),
    ("prepare.ok", 9, (1, 0, 0)),
    ("verified", 12, (1, 0, 0)),
    ("sign.try", 12, (1, 0, 0)),
    ("tx.signed", 12, (1, 0, 0)),
    ("tx.sent", 9, (1, 0, 1)),
    ("tx.seen", 12, (1, 0, 1)),
    ("tx.final", 12, (1, 0, 1)),
    ("commit.try", 12, (1, 0, 1)),
    ("commit.ok", 9, (2, 1, 1)),
    ("done", 12, (2, 1, 1)),
];

#[test]
fn d2_d3_d4_a_record_that_cannot_be_stored_stops_the_run_before_the_effect() {
    if !can_trace() {
        return skipped("D2, D3 and D4", "no strace");
    }
    let faults = ["write:error=ENOSPC", "fdatasync:error=EIO"];
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("upgrade").exits(0);
    let kinds: Vec<_> = flow
        .journal()
        .into_iter()
        .map(|record| record["kind"].clone())
        .collect();
    assert_eq!(kinds, RECORDS.map(|(kind, ..)| kind));
    let cases: Vec<_> = faults
        .into_iter()
        .flat_map(|fault| (1..).zip(RECORDS).map(move |(nth, record)| (fault, nth, record)))
        .collect();
    each(&cases, |(fault, nth, (_, exit, reached))| {
        let world = World::start();
        let flow = Flow::new(&world);
        let journal = flow.dir.join("journal");
        let (ran, log) = with_fault(&flow, "upgrade", (Some(&journal), &format!("{fault}:when={nth}")));
        let (_, after) = log.split_once("(INJECTED)").unwrap();
        assert!(
            !after.contains("write(") && !after.contains("fdatasync("),
            "a file that failed was believed again:\n{log}"
        );
        assert_eq!((ran.exit, sent(&world)), (*exit, *reached), "{}", ran.said);
        let code = match (*exit, *fault) {
            (9, _) => "OUTCOME_NOT_STORED",
            (_, "write:error=ENOSPC") => "STORAGE_FULL",
            _ => "STORAGE_FAILED",
        };
        assert_eq!(ran.json["code"], code, "{}", ran.said);
        flow.step("upgrade").exits(0);
        finished(&flow);
        let kinds = RECORDS.map(|(kind, ..)| kind);
        assert!(
            flow.kinds()
                .iter()
                .all(|kind| kinds.contains(&kind.as_str()) || kind == "commit.not")
        );
    });
}

#[test]
fn d4_d5_c4_calls_that_fail_while_a_directory_is_opened_or_a_file_replaced() {
    if !can_trace() {
        return skipped("C4, D4 and D5", "no strace");
    }
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let before = sent(&world);
    for fault in [
        "fsync:error=EIO:when=1",
        "flock:error=ENOLCK:when=1",
        "flock:retval=0",
        "fallocate:error=ENOSPC",
    ] {
        let (ran, log) = with_fault(&flow, "resume", (None, fault));
        assert!(log.contains("(INJECTED)"), "{fault} met nothing:\n{log}");
        assert_eq!((ran.exit, sent(&world)), (12, before), "{fault}: {}", ran.said);
    }
    let (ran, log) = with_fault(&flow, "resume", (None, "fsync:error=EIO:when=4"));
    assert!(
        log.contains("(INJECTED)") && [9, 12].contains(&ran.exit),
        "{}",
        ran.said
    );
    let (_, log) = with_fault(
        &flow,
        "resume",
        (Some(&flow.dir.join("journal")), "write:error=EINTR:when=1..3"),
    );
    assert!(log.contains("(INJECTED)"), "{log}");
    flow.step("resume").exits(0);
    finished(&flow);
}

#[test]
fn d6_a_limit_on_file_sizes_is_met_before_an_effect_and_kills_nothing() {
    let world = World::start();
    let flow = Flow::new(&world);
    let run = |blocks: usize| {
        let script = format!("ulimit -f {blocks}; exec \"$@\"");
        Ran::of(&mut behind(&["sh", "-c", &script, "sh"], &flow, ("upgrade", &[])))
    };
    for blocks in [0, 1, 16, 120] {
        assert_eq!((run(blocks).exit, sent(&world)), (12, (0, 0, 0)), "{blocks}");
    }
    // What is reserved fits; one record more does not fit behind it. Each run plans anew, and the limit outruns those records.
    let mut exits = Vec::new();
    for blocks in (128..400).step_by(16) {
        let ran = run(blocks);
        assert!([0, 9, 12].contains(&ran.exit), "{}", ran.said);
        legal(&flow);
        exits.push(ran.exit);
    }
    assert!(exits.contains(&12) && exits.last() == Some(&0), "{exits:?}");
    finished(&flow);
}

#[test]
fn d7_a_directory_that_takes_no_files_is_told_before_anything_is_asked() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    world.cloud.forget_requests();
    let read_only = r#"mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@""#;
    let dir = flow.dir.to_str().unwrap().to_owned();
    if can_mount() {
        for step in ["resume", "upgrade"] {
            let mut run = behind(&["unshare", "-rm", "sh", "-c", read_only, &dir], &flow, (step, &[]));
            Ran::of(&mut run).exits(12);
        }
    } else {
        skipped(
            "D7 by a read-only file system",
            "no file system of one's own (unshare -rm)",
        );
    }
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&flow.dir, Some(65534), None).unwrap();
        flow.step("resume").exits(12).says("STORAGE_PERMISSION");
        std::os::unix::fs::chown(&flow.dir, Some(0), None).unwrap();
    } else {
        skipped("D7 by a foreign directory", "only root can give one away");
    }
    assert!(world.cloud.requests().iter().all(|request| request.method == "GET"));
    flow.step("resume").exits(0);
    finished(&flow);
}

#[test]
fn d8_a_directory_that_vanishes_ends_the_run_and_the_chain_tells_the_next() {
    let cases = [
        ("prepare", Match::Http("PATCH", "/cvms/"), 9),
        ("broadcast", Match::Rpc("eth_sendRawTransaction"), 9),
        ("wait", Match::Rpc("eth_getTransactionReceipt"), 12),
        ("commit", Match::Http("POST", "/commit-update"), 9),
    ];
    each(&cases, |(during, matches, exit)| {
        let world = World::start();
        let (chain, cloud) = (
            FaultProxy::to(&world.anvil.url()),
            FaultProxy::to(&world.cloud.prefix()),
        );
        let flow = Flow::new(&world).chain_at(&chain.url()).cloud_at(&cloud.prefix());
        let proxy = if matches!(matches, Match::Rpc(_)) {
            &chain
        } else {
            &cloud
        };
        let gate = proxy.gate(matches.clone(), Nth::Only(1), Moment::Served);
        let child = spawn(&flow, "upgrade", &[]);
        gate.wait();
        std::fs::remove_dir_all(&flow.dir).unwrap();
        let before = sent(&world);
        gate.open();
        let ran = ended(child);
        assert_eq!((ran.exit, sent(&world)), (*exit, before), "{during}: {}", ran.said);
        if *during == "broadcast" {
            let hash = world
                .rpc()
                .call("eth_getBlockByNumber", serde_json::json!(["latest", false]))["transactions"][0]
                .clone();
            assert!(
                ran.json["message"].as_str().unwrap().contains(hash.as_str().unwrap()),
                "{}",
                ran.said
            );
        }
        if *during == "commit" {
            world.cloud.wait_for_hash(CVM, flow.hash);
            flow.with("upgrade", &["--supersede"])
                .exits(6)
                .says("NOTHING_TO_APPROVE");
            flow.landed_once();
        } else {
            flow.with("upgrade", &["--supersede"]).exits(0);
            finished(&flow);
        }
    });
}

#[test]
fn d9_too_few_open_files_is_a_matter_of_trying_again() {
    let world = World::start();
    let flow = Flow::new(&world);
    let (mut exits, mut codes) = (Vec::new(), Vec::new());
    for files in 4..40 {
        let script = format!("ulimit -n {files}; exec \"$@\"");
        let ran = Ran::of(&mut behind(&["sh", "-c", &script, "sh"], &flow, ("upgrade", &[])));
        exits.push(ran.exit);
        if ran.exit == 0 {
            break;
        }
        assert_eq!(ran.exit, 75, "{files} files: {}", ran.said);
        codes.extend(ran.json["code"].as_str().map(str::to_owned));
        if flow.dir.join("journal").exists() {
            legal(&flow);
        }
    }
    assert!(exits.len() > 3 && exits.last() == Some(&0), "{exits:?}");
    let told = codes.iter().any(|code| code == "STORAGE_TOO_MANY_OPEN");
    assert!(told, "{codes:?}");
    finished(&flow);
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn d10_what_others_could_open_is_closed_and_noted_and_a_secret_they_could_read_is_refused() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    for (name, closed) in [
        ("", 0o700),
        ("journal", 0o600),
        ("token", 0o600),
        ("prepare.raw", 0o600),
        ("journal.head", 0o600),
    ] {
        assert_eq!(mode(&flow.dir.join(name)), closed, "{name}");
    }
    chmod(&flow.dir, 0o755);
    chmod(&flow.dir.join("journal"), 0o644);
    flow.step("execute").exits(0);
    assert_eq!((mode(&flow.dir), mode(&flow.dir.join("journal"))), (0o700, 0o600));
    let notes: Vec<_> = flow
        .journal()
        .into_iter()
        .filter(|record| record["kind"] == "note")
        .collect();
    assert!(
        notes
            .iter()
            .any(|note| note["body"]["text"].as_str().unwrap().contains("0644")),
        "{notes:?}"
    );
    flow.step("wait").exits(0);
    chmod(&flow.dir.join("token"), 0o644);
    let refused = flow.step("resume").exits(12).says("STORAGE_PERMISSION");
    assert!(refused.said.contains("chmod 600"), "{}", refused.said);
    flow.nothing_committed();
    chmod(&flow.dir.join("token"), 0o600);
    flow.step("resume").exits(0);
    finished(&flow);
}

#[test]
fn d11_what_is_no_plain_file_of_ones_own_is_no_journal() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let before = sent(&world);
    type Spoil = (&'static str, fn(&Path));
    let spoil: [Spoil; 5] = [
        ("symlink", |file| {
            let real = file.with_extension("real");
            std::fs::rename(file, &real).unwrap();
            symlink(real, file).unwrap();
        }),
        ("pipe", |file| {
            std::fs::remove_file(file).unwrap();
            assert!(works("mkfifo", &[file.to_str().unwrap()]));
        }),
        ("second name", |file| {
            std::fs::hard_link(file, file.with_extension("twin")).unwrap()
        }),
        ("directory", |file| {
            std::fs::remove_file(file).unwrap();
            std::fs::create_dir(file).unwrap();
        }),
        ("device", |file| {
            std::fs::remove_file(file).unwrap();
            symlink("/dev/zero", file).unwrap();
        }),
    ];
    for (name, spoil) in spoil {
        for file in ["journal", "journal.lock"] {
            let spoilt = copied(&flow, &format!("{name} as {file}"));
            spoil(&spoilt.dir.join(file));
            let ran = spoilt.step("resume");
            assert_eq!((ran.exit, sent(&world)), (12, before), "{name} as {file}: {}", ran.said);
        }
    }
    flow.step("resume").exits(0);
    finished(&flow);
}

#[test]
fn d12_a_directory_has_one_lock_however_it_is_written() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let proxy = FaultProxy::to(&world.anvil.url());
    let slow = moved(&flow, flow.dir.clone()).chain_at(&proxy.url());
    let gate = proxy.gate(Match::Rpc("eth_sendRawTransaction"), Nth::Only(1), Moment::Arrived);
    let child = spawn(&slow, "resume", &[]);
    gate.wait();
    symlink(&flow.dir, world.folder().join("alias")).unwrap();
    std::fs::create_dir(world.folder().join("beside")).unwrap();
    symlink(world.folder(), world.folder().join("above")).unwrap();
    for twin in ["upgrade/", "./upgrade/../upgrade", "beside/../upgrade", "above/upgrade"] {
        let twin = moved(&flow, world.folder().join(twin));
        twin.step("resume").exits(11).says("LOCKED");
    }
    gate.open();
    judge::ended(child).exits(0);
    finished(&flow);
}
