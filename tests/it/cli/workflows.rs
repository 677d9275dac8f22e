//! The workflows of `examples/workflows`, run as a runner runs them: each `run:` step by a shell, with the real binary, against a chain
//! and the simulated cloud. Actions of others are not run; what they would leave is put there by the test.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use alloy::primitives::Address;
use serde_json::Value;

use crate::cli::pipelines::{App, Runner, commands};
use crate::harness::flow::{BINARY, Flow, Ran};
use crate::safe::notices::ground;
use crate::support::cloud::API_KEY;
use crate::support::command::{ask, run, shown};
use crate::support::contracts::abi;
use crate::support::safe_service::Delegate;
use crate::support::world::CVM;
use crate::support::{ACCOUNTS, SafeOptions, World, WorldOptions, repository};

/// A text whose images are fixed.
const PINNED: &str = "services:\n  web:\n    image: nginx@sha256:\
                      0101010101010101010101010101010101010101010101010101010101010101\n";

fn read(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap();
    ask("workflow.mjs", "", &[Value::from(text)]).remove(0)
}

fn workflows() -> Vec<PathBuf> {
    let folders = ["examples/workflows", ".github/workflows"];
    let all = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(repository().join(folder)).unwrap());
    let mut all: Vec<PathBuf> = all.map(|entry| entry.unwrap().path()).collect();
    all.push(repository().join("action.yml"));
    all.sort();
    all
}

/// The steps of every job, and of a composite action.
fn steps(workflow: &Value) -> Vec<Value> {
    let jobs = workflow["jobs"].as_object().into_iter().flatten().map(|(_, job)| job);
    let lists = jobs
        .chain([&workflow["runs"]])
        .filter_map(|job| job["steps"].as_array());
    lists.flatten().cloned().collect()
}

#[test]
fn no_workflow_lets_words_of_strangers_into_a_script_or_takes_more_rights_than_it_names() {
    let all = workflows();
    assert!(all.len() >= 7, "{all:?}");
    for path in all {
        let workflow = read(&path);
        let shown = path.display();
        let steps = steps(&workflow);
        assert!(!steps.is_empty(), "{shown}");
        for step in &steps {
            let script = step["run"].as_str().unwrap_or_default();
            assert!(!script.contains("${{"), "{shown}: an expression in a script: {script}");
            let uses = step["uses"].as_str().unwrap_or("./");
            assert!(
                uses.starts_with("./") || uses.starts_with("actions/"),
                "{shown}: {uses}"
            );
            let checks_out = uses.starts_with("actions/checkout");
            assert!(
                !checks_out || step["with"]["persist-credentials"] == false,
                "{shown}: keeps credentials"
            );
        }
        if workflow.get("jobs").is_some() {
            let rights = workflow["permissions"]
                .as_object()
                .expect("permissions of the whole workflow");
            assert!(rights.values().all(|right| right == "read"), "{shown}: {rights:?}");
        }
    }
}

#[test]
fn the_action_puts_a_binary_into_the_path_and_takes_none_from_an_address_without_its_sum() {
    let script = read(&repository().join("action.yml"))["runs"]["steps"][0]["run"].clone();
    let home = tempfile::tempdir().unwrap();
    let run_with = |given: [&str; 3]| {
        let mut command = Command::new("/bin/bash");
        command
            .args([
                "--noprofile",
                "--norc",
                "-e",
                "-o",
                "pipefail",
                "-c",
                script.as_str().unwrap(),
            ])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("INTO", home.path().join("into"))
            .env("GITHUB_PATH", home.path().join("path"))
            .env("GITHUB_OUTPUT", home.path().join("output"))
            .envs(["GIVEN_PATH", "GIVEN_URL", "GIVEN_SHA256"].into_iter().zip(given));
        run(&mut command)
    };
    for given in [["", "", ""], ["", "https://127.0.0.1:1/countersign", ""]] {
        let refused = run_with(given);
        assert_eq!(refused.status.code(), Some(1), "{}", shown(&refused));
        assert!(!home.path().join("path").exists());
    }
    // Nothing but https is asked, so that nobody on the way decides what runs.
    assert!(
        !run_with(["", "http://127.0.0.1:1/countersign", &"0".repeat(64)])
            .status
            .success()
    );
    let taken = run_with([BINARY, "", ""]);
    assert!(taken.status.success(), "{}", shown(&taken));
    let path = std::fs::read_to_string(home.path().join("path")).unwrap();
    assert!(Path::new(path.trim()).join("countersign").is_file(), "{path}");
    let output = std::fs::read_to_string(home.path().join("output")).unwrap();
    assert!(output.starts_with("version=countersign "), "{output}");
}

/// A runner of one job: what stands in its contexts, and what steps left.
struct Job<'w> {
    world: &'w World,
    home: PathBuf,
    contexts: BTreeMap<String, String>,
    outputs: BTreeMap<String, BTreeMap<String, String>>,
}

impl<'w> Job<'w> {
    /// A fresh machine, as every job gets one: nothing but what is checked out.
    fn new(world: &'w World, name: &str) -> Self {
        let home = world.folder().join(name);
        std::fs::create_dir_all(home.join("bin")).unwrap();
        symlink(BINARY, home.join("bin/countersign")).unwrap();
        std::fs::copy(world.folder().join("phala.toml"), home.join("phala.toml")).unwrap();
        std::fs::write(home.join("docker-compose.yml"), PINNED).unwrap();
        let mut job = Self {
            world,
            home,
            contexts: BTreeMap::new(),
            outputs: BTreeMap::new(),
        };
        job.set("secrets.ETH_RPC_URL", &world.anvil.url());
        job.set("secrets.PHALA_CLOUD_API_KEY", API_KEY);
        job.set("vars.CVM", CVM);
        for unset in ["vars.SERVICE_URL", "vars.TIMEOUT", "vars.PROBE"] {
            job.set(unset, "");
        }
        job.set("github.token", "a token of the job");
        job
    }
    fn set(&mut self, name: &str, value: &str) {
        self.contexts.insert(name.to_owned(), value.to_owned());
    }
    /// A program of the runner's machine that is none of ours.
    fn program(&self, name: &str, script: &str) {
        let path = self.home.join("bin").join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    fn context(&self, name: &str) -> String {
        if let Some(path) = name.strip_prefix("steps.") {
            let (step, output) = path.split_once(".outputs.").unwrap();
            return self.outputs[step].get(output).cloned().unwrap_or_default();
        }
        self.contexts
            .get(name)
            .unwrap_or_else(|| panic!("nothing sets {name}"))
            .clone()
    }
    /// A text with its expressions filled in.
    fn filled(&self, text: &str) -> String {
        let mut parts = text.split("${{");
        let mut out = parts.next().unwrap().to_owned();
        for part in parts {
            let (name, rest) = part.split_once("}}").unwrap();
            out.push_str(&self.context(name.trim()));
            out.push_str(rest);
        }
        out
    }
    fn variables(&self, of: &Value) -> Vec<(String, String)> {
        let all = of["env"].as_object().into_iter().flatten();
        all.map(|(name, value)| (name.clone(), self.filled(value.as_str().unwrap())))
            .collect()
    }
    fn is_wanted(&self, step: &Value) -> bool {
        step["if"].as_str().is_none_or(|condition| {
            let (name, value) = condition.split_once(" == ").unwrap();
            self.context(name) == value.trim_matches('\'')
        })
    }
    /// Runs the steps of a workflow's only job. The names of actions that were wanted, with what they were given.
    fn run(&mut self, file: &str) -> Vec<(String, Value)> {
        let workflow = read(&repository().join("examples/workflows").join(file));
        let jobs = workflow["jobs"].as_object().unwrap();
        assert_eq!(jobs.len(), 1);
        let job = jobs.values().next().unwrap().clone();
        let mut used = Vec::new();
        for step in job["steps"].as_array().unwrap() {
            if !self.is_wanted(step) {
                continue;
            }
            if let Some(uses) = step["uses"].as_str() {
                let mut given = step["with"].clone();
                if let Some(path) = given["path"].as_str() {
                    given["path"] = Value::from(self.filled(path));
                }
                used.push((uses.to_owned(), given));
                continue;
            }
            self.step(&job, step);
        }
        used
    }
    fn step(&mut self, job: &Value, step: &Value) {
        let files = Runner::new(self.world, "step");
        let mut command = Command::new("/bin/sh");
        command
            .args(["-e", "-c", step["run"].as_str().unwrap()])
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", self.home.join("bin").display()))
            .env("HOME", &self.home)
            .env("SSL_CERT_FILE", repository().join("tests/vectors/nobody.pem"))
            .env("GITHUB_REPOSITORY", "somebody/app")
            .env("PHALA_CLOUD_API_PREFIX", self.world.cloud.prefix())
            .envs(files.variables())
            .envs(self.variables(job))
            .envs(self.variables(step))
            .current_dir(&self.home)
            .stdin(Stdio::null());
        let output = run(&mut command);
        let said = shown(&output);
        assert!(output.status.success(), "{}: {said}", step["name"]);
        for line in commands(&output) {
            assert!(
                line.starts_with("::") && line.contains("title=countersign "),
                "{line}\n{said}"
            );
        }
        for secret in self.contexts.iter().filter(|(name, _)| name.ends_with("_KEY")) {
            assert!(!said.contains(secret.1), "{} is in the log: {said}", secret.0);
        }
        if let Some(id) = step["id"].as_str() {
            self.outputs.insert(id.to_owned(), self.read(&files));
        }
    }
    /// Outputs in both forms that a runner reads.
    fn read(&self, files: &Runner) -> BTreeMap<String, String> {
        let text = std::fs::read_to_string(&files.outputs).unwrap();
        if text.lines().all(|line| !line.contains("<<")) {
            let pairs = text.lines().filter_map(|line| line.split_once('='));
            return pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        }
        files.read()
    }
    fn output(&self, step: &str, name: &str) -> &str {
        self.outputs[step].get(name).map_or("", String::as_str)
    }
}

/// A run on the schedule, on another machine; what it used of others' actions.
fn finish<'w>(world: &'w World, proposal: &Path, name: &str) -> (Job<'w>, Vec<(String, Value)>) {
    let mut job = Job::new(world, name);
    job.set("vars.TIMEOUT", "20s");
    job.program("gh", &format!("cp '{}' proposal.json", proposal.display()));
    let used = job.run("finish.yml");
    (job, used)
}

/// Two owners sign, on a copy that is passed on, and somebody executes.
fn owners_execute(world: &World, proposal: &Path) {
    let flow = Flow::new(world);
    let file = world.folder().join("owners.json");
    std::fs::copy(proposal, &file).unwrap();
    for (step, index) in [("sign", 0), ("sign", 1), ("execute", 2)] {
        let key = format!("env:SIGNER_{index}");
        let words = [step, file.to_str().unwrap(), "--signer", &key, "--yes", "--json"];
        Ran::of(&mut flow.command(&words)).exits(0);
    }
}

#[test]
fn what_a_delegate_proposes_on_a_tag_is_finished_on_a_schedule_once_the_owners_have_executed_it() {
    let (world, service) = ground();
    let safe = world.safe.unwrap();
    let delegate = ACCOUNTS[3];
    service.delegate(Delegate {
        safe: Some(safe),
        delegate: delegate.address,
        delegator: ACCOUNTS[0].address,
        label: "ci".to_owned(),
    });
    let mut propose = Job::new(&world, "propose");
    propose.set("secrets.DELEGATE_KEY", delegate.key);
    propose.set("vars.SERVICE_URL", &service.url());
    let used = propose.run("propose.yml");
    let kept = &used.last().unwrap().1["path"];
    assert_eq!(kept, "upgrade/proposal.json", "only what is public is kept");
    assert_eq!(service.proposals().len(), 1, "the owners find it in their wallets");
    assert_eq!(propose.output("prepare", "waiting_for").lines().count(), 3);

    // Another machine, a quarter of an hour later: nobody has signed.
    let proposal = propose.home.join("upgrade/proposal.json");
    let (waiting, used) = finish(&world, &proposal, "finish-1");
    assert_eq!(
        (
            waiting.output("resume", "exit"),
            waiting.output("resume", "ok"),
            waiting.output("resume", "code")
        ),
        ("0", "false", "PENDING_SIGNATURES")
    );
    assert!(
        used.iter().all(|(uses, _)| !uses.starts_with("actions/upload")),
        "{used:?}"
    );

    owners_execute(&world, &proposal);
    let (done, used) = finish(&world, &proposal, "finish-2");
    assert_eq!(
        (done.output("resume", "ok"), done.output("resume", "live")),
        ("true", "done")
    );
    let (uses, given) = used.last().unwrap();
    assert!(uses.starts_with("actions/upload-artifact"), "{used:?}");
    assert!(done.home.join(given["path"].as_str().unwrap()).is_file(), "{given}");
    let commits = world.cloud.commits(CVM);
    let hash: alloy::primitives::B256 = done.output("resume", "compose_hash").parse().unwrap();
    assert_eq!(commits, [hash]);
    // The schedule goes on, and finds nothing to do.
    let (again, _) = finish(&world, &proposal, "finish-3");
    assert_eq!(again.output("resume", "live"), "done");
    assert_eq!(world.cloud.commits(CVM), [hash]);
}

#[test]
fn one_key_upgrades_on_a_push_until_the_app_answers() {
    let world = World::start();
    let app = App::saying(200, "ready");
    let mut job = Job::new(&world, "one-key");
    job.set("secrets.OWNER_KEY", world.owner.key);
    job.set("vars.PROBE", &app.url);
    let used = job.run("one-key.yml");
    assert_eq!(
        (job.output("upgrade", "code"), job.output("upgrade", "live")),
        ("OK", "done")
    );
    let evidence = job.home.join(used.last().unwrap().1["path"].as_str().unwrap());
    assert!(evidence.is_file(), "{}", evidence.display());
    assert_eq!(world.cloud.commits(CVM).len(), 1);
}

#[test]
fn a_new_app_belongs_to_its_owner_and_has_its_first_cvm() {
    let world = World::with(WorldOptions {
        safe: Some(SafeOptions {
            release: 1,
            l2: false,
            threshold: 2,
            owners: 3,
        }),
        ..WorldOptions::default()
    });
    let mut job = Job::new(&world, "new-app");
    let deployer = ACCOUNTS[4];
    job.set("secrets.DEPLOYER_KEY", deployer.key);
    job.set("vars.DEPLOYER", &deployer.address.to_string());
    job.set("vars.CHAIN_ID", "31337");
    job.set("vars.KMS", "base");
    job.set("vars.KMS_CONTRACT", &world.kms.to_string());
    job.set("vars.OWNER", &world.safe.unwrap().to_string());
    job.set("inputs.name", "brand-new");
    job.run("new-app.yml");
    let app: Address = job.output("deploy", "app").parse().unwrap();
    assert_eq!(world.rpc().read(app, &abi::ownerCall {}), world.safe.unwrap());
    let made = world.cloud.cvm("brand-new");
    assert_eq!(
        (made.app, made.compose_hash.to_string()),
        (app, job.output("provision", "hash").to_owned())
    );
}
