//! How many round trips wait for one another: the slope of the wall time over a delay that stands in front of Phala Cloud and of
//! the chain. A processor that is slow or busy moves both ends of it.

use std::time::Duration;

use crate::acts::{Ours, Theirs};
use crate::measure::Cost;
use crate::support::{Action, FaultProxy, Match, Nth};
use crate::table::{Row, Target, Unit};

/// The delays in front of each server, milliseconds.
const DELAYS: [u64; 2] = [50, 250];
/// Round trips that each act may wait for, one after the other.
const AIMS: [(&str, f64); 5] = [
    ("plan", 5.0),
    ("prepare", 6.0),
    ("app show", 4.5),
    ("upgrade, commit accepted", 10.5),
    ("review", 3.5),
];

/// Both servers behind a delay.
struct Far {
    cloud: FaultProxy,
    chain: FaultProxy,
}

impl Far {
    fn of(cloud: &str, chain: &str, delay: u64) -> Self {
        let far = |upstream: &str| {
            let proxy = FaultProxy::to(upstream);
            proxy.on(Match::Any, Nth::Every, Action::Delay(Duration::from_millis(delay)));
            proxy
        };
        Self {
            cloud: far(cloud),
            chain: far(chain),
        }
    }
}

/// One row for each act.
pub fn rows(rounds: u32) -> Vec<Row> {
    let row = |(name, aim): &(&str, f64)| {
        let name = format!("{name}: round trips that wait for one another");
        Row::new(&name, Unit::Count, Target::AtMost(*aim))
    };
    let mut rows: Vec<Row> = AIMS.iter().map(row).collect();
    let [mut near, mut far] = DELAYS.map(Both::start);
    for round in 0..rounds {
        for (row, (near, far)) in rows.iter_mut().zip(near.round(round).into_iter().zip(far.round(round))) {
            row.ours.add(slope(near.0, far.0));
            if let (Some(near), Some(far)) = (near.1, far.1) {
                row.theirs.add(slope(near, far));
            }
        }
    }
    rows
}

/// Round trips between two wall times.
fn slope(near: Cost, far: Cost) -> f64 {
    let [least, most] = DELAYS;
    let apart = Duration::from_millis(most - least).as_secs_f64();
    (far.wall.as_secs_f64() - near.wall.as_secs_f64()) / apart
}

/// Ours and theirs, each with both servers behind the same delay.
struct Both {
    ours: Ours,
    theirs: Theirs,
    _far: [Far; 2],
}

impl Both {
    fn start(delay: u64) -> Self {
        let (mut ours, mut theirs) = (Ours::start(None), Theirs::start(8453));
        let own = Far::of(&server(&ours.world.cloud.prefix()), &ours.world.anvil.url(), delay);
        (ours.cloud, ours.chain) = (Some(own.cloud.prefix()), Some(own.chain.url()));
        let other = Far::of(&server(&theirs.cloud()), &theirs.chain(), delay);
        theirs.through(&other.cloud.prefix(), &other.chain.url());
        Self {
            ours,
            theirs,
            _far: [own, other],
        }
    }

    /// The wall time of each act, in the order of [`AIMS`]; theirs where it has the act.
    fn round(&mut self, round: u32) -> Vec<(Cost, Option<Cost>)> {
        let upgrade = round * 2;
        let accepted = self.ours.upgrade(upgrade, &["--no-wait", "--supersede"]);
        let whole = self.theirs.upgrade_by_cli(upgrade, &[]);
        let plan = self.ours.plan(upgrade + 1);
        let (prepare, dir) = self.ours.prepare(upgrade + 1);
        let review = self
            .ours
            .measured(&["review", &format!("{dir}/proposal.json"), "--json"])
            .0;
        let show = self
            .ours
            .measured(&["app", "show", "--cvm", crate::support::world::CVM, "--json"])
            .0;
        let prepared = self.theirs.prepare(upgrade + 1);
        vec![
            (plan, None),
            (prepare, Some(prepared)),
            (show, None),
            (accepted, Some(whole)),
            (review, None),
        ]
    }
}

/// A prefix without its path.
fn server(prefix: &str) -> String {
    prefix.trim_end_matches("/api/v1").to_owned()
}
