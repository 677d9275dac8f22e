//! The rehearsal that the README shows goes as it should.

use std::path::Path;

use crate::harness::flow::BINARY;
use crate::support::command::{countersign, run, shown};

#[test]
#[cfg_attr(
    not(feature = "attest-test-root"),
    ignore = "needs --features attest-test-root, as `make test` has it"
)]
fn the_rehearsal_ends_well() {
    let folder = tempfile::tempdir().unwrap();
    let rehearsal = Path::new(BINARY).with_file_name("examples").join("rehearsal");
    assert!(
        rehearsal.is_file(),
        "run `cargo test` as a whole, it builds the examples"
    );
    let output = run(&mut countersign(rehearsal, folder.path()));
    assert!(output.status.success(), "{}", shown(&output));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.ends_with("The rehearsal went as it should.\n"), "{said}");
}
