//! Apps that a KMS's contract makes in either form of its factory, on a real chain: by a key, by a Safe, and what is
//! believed of the transaction afterwards.

use alloy::primitives::{Address, B256, U256};
use countersign::chain::{
    Chain, Finality, Options,
    factory::{DeployFailure, DeployedApp, FactoryForm, FactoryTrial, NewApp, NewAppAt},
};
use countersign::http::{Http, Limits};
use serde_json::json;

use crate::support::contracts::{self, abi};
use crate::support::world::{AppVariant, SafeOptions, WorldOptions};
use crate::support::{ACCOUNTS, World};

mod stage {
    alloy::sol! {
        function callAll(address[] to, bytes[] data);
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

async fn connect(world: &World) -> Chain {
    let options = Options {
        endpoints: vec![world.anvil.url().parse().unwrap()],
        chain_id: 31337,
        quorum: countersign::chain::quorum::Quorum::default(),
        allow_unpinned: false,
    };
    let http = Http::new(Limits::default());
    Chain::connect(&options, &http).await.unwrap()
}

fn world_of(app: AppVariant) -> World {
    World::with(WorldOptions {
        app,
        ..WorldOptions::default()
    })
}

fn new_app(owner: Address) -> NewApp {
    NewApp {
        owner,
        disable_upgrades: false,
        require_tcb_up_to_date: false,
        allow_any_device: false,
        device: Some(B256::repeat_byte(0xde)),
        hash: Some(B256::repeat_byte(0xab)),
    }
}

fn trial(world: &World, new: &NewApp) -> FactoryTrial {
    run(async {
        let chain = connect(world).await;
        let head = chain.head().await.unwrap();
        let tried = chain
            .try_factory(NewAppAt { kms: world.kms, new }, ACCOUNTS[4].address, &head)
            .await;
        tried.unwrap()
    })
}

fn proof(world: &World, transaction: B256, new: &NewApp) -> Result<DeployedApp, DeployFailure> {
    run(async {
        let chain = connect(world).await;
        let finality = Finality::default_for(31337);
        chain
            .prove_deployment(transaction, NewAppAt { kms: world.kms, new }, finality)
            .await
    })
}

/// A key makes the app in this form.
fn deploy(world: &World, new: &NewApp, form: FactoryForm) -> B256 {
    let call = new.call(world.kms, form).unwrap();
    let transaction = world.rpc().send(ACCOUNTS[4].address, Some(call.to), &call.data);
    assert_eq!(world.rpc().mined(transaction)["status"], "0x1");
    transaction
}

#[test]
fn an_app_is_made_in_both_forms_with_its_owner_from_the_start() {
    let world = world_of(AppVariant::TwoStep);
    let new = new_app(ACCOUNTS[3].address);
    let mut made = Vec::new();
    for form in [FactoryForm::Five, FactoryForm::Six] {
        let transaction = deploy(&world, &new, form);
        let deployed = proof(&world, transaction, &new).unwrap();
        assert_eq!(deployed.deployer, Some(ACCOUNTS[4].address));
        assert_eq!(deployed.transaction, transaction);
        let owner = world.rpc().read(deployed.app, &abi::ownerCall {});
        assert_eq!(owner, ACCOUNTS[3].address);
        assert!(
            world
                .rpc()
                .read(world.kms, &abi::registeredAppsCall { app: deployed.app })
        );
        made.push(deployed.app);
    }
    assert_ne!(made[0], made[1], "two transactions, two apps");
}

#[test]
fn the_form_is_the_one_that_the_contract_takes_and_that_says_all_that_is_asked() {
    let newer = world_of(AppVariant::TwoStep);
    let older = world_of(AppVariant::OneStep);
    let new = new_app(ACCOUNTS[3].address);
    let strict = NewApp {
        require_tcb_up_to_date: true,
        ..new
    };
    assert_eq!(trial(&newer, &new), FactoryTrial::Works(FactoryForm::Six));
    assert_eq!(trial(&newer, &strict), FactoryTrial::Works(FactoryForm::Six));
    assert_eq!(trial(&older, &new), FactoryTrial::Works(FactoryForm::Five));
    assert!(matches!(trial(&older, &strict), FactoryTrial::Refused(_)));
    let transaction = deploy(&newer, &strict, FactoryForm::Six);
    let app = proof(&newer, transaction, &strict).unwrap().app;
    assert!(newer.rpc().read(app, &abi::requireTcbUpToDateCall {}));
    let transaction = deploy(&older, &new, FactoryForm::Five);
    proof(&older, transaction, &new).unwrap();
}

#[test]
fn a_factory_that_refuses_is_known_with_its_reason_before_anything_is_sent() {
    let world = world_of(AppVariant::TwoStep);
    let FactoryTrial::Refused(why) = trial(&world, &new_app(Address::ZERO)) else {
        panic!("nobody may own a new app");
    };
    assert!(why.contains("invalid owner address"), "{why}");
    let nowhere = new_app(ACCOUNTS[3].address);
    let refused = run(async {
        let chain = connect(&world).await;
        let head = chain.head().await.unwrap();
        let app = NewAppAt {
            kms: world.app,
            new: &nowhere,
        };
        chain.try_factory(app, ACCOUNTS[4].address, &head).await.unwrap()
    });
    assert!(matches!(refused, FactoryTrial::Refused(_)), "{refused:?}");
}

#[test]
fn an_app_that_is_not_what_was_asked_for_is_refused_with_what_differs() {
    let world = world_of(AppVariant::TwoStep);
    let new = new_app(ACCOUNTS[3].address);
    let transaction = deploy(&world, &new, FactoryForm::Six);
    for (wanted, part) in [
        (
            NewApp {
                owner: ACCOUNTS[2].address,
                ..new
            },
            "owner()",
        ),
        (
            NewApp {
                allow_any_device: true,
                ..new
            },
            "allowAnyDevice()",
        ),
        (
            NewApp {
                require_tcb_up_to_date: true,
                ..new
            },
            "requireTcbUpToDate()",
        ),
        (
            NewApp {
                device: Some(B256::repeat_byte(1)),
                ..new
            },
            "allowedDeviceIds",
        ),
        (
            NewApp {
                hash: Some(B256::repeat_byte(1)),
                ..new
            },
            "allowedComposeHashes",
        ),
    ] {
        let failed = proof(&world, transaction, &wanted).unwrap_err();
        assert!(matches!(failed, DeployFailure::Different { .. }), "{failed}");
        assert!(failed.to_string().contains(part), "{failed}");
    }
    proof(&world, transaction, &new).unwrap();
}

#[test]
fn transactions_that_made_no_app_or_two_of_them_name_none() {
    let world = world_of(AppVariant::TwoStep);
    let new = new_app(ACCOUNTS[3].address);
    let other = world.allow(B256::repeat_byte(9));
    let failed = proof(&world, other, &new).unwrap_err();
    assert!(matches!(failed, DeployFailure::NotShown { .. }), "{failed}");
    let failed = proof(&world, B256::repeat_byte(1), &new).unwrap_err();
    assert!(matches!(failed, DeployFailure::NotSettled { .. }), "{failed}");
    let stage = contracts::deploy(&world.rpc(), ACCOUNTS[0].address, "Stage", &[]);
    let call = new.call(world.kms, FactoryForm::Six).unwrap();
    let twice = stage::callAllCall {
        to: vec![call.to; 2],
        data: vec![call.data; 2],
    };
    let transaction = world.rpc().execute(ACCOUNTS[0].address, stage, &twice);
    let failed = proof(&world, transaction, &new).unwrap_err();
    assert!(matches!(failed, DeployFailure::Several { count: 2, .. }), "{failed}");
    let nobody = NewApp {
        owner: Address::ZERO,
        ..new
    };
    let call = nobody.call(world.kms, FactoryForm::Six).unwrap();
    let gas = json!([{
        "from": ACCOUNTS[4].address, "to": call.to, "data": call.data, "gas": U256::from(3_000_000_u64)
    }]);
    let transaction: B256 = serde_json::from_value(world.rpc().call("eth_sendTransaction", gas)).unwrap();
    assert_eq!(world.rpc().mined(transaction)["status"], "0x0");
    let failed = proof(&world, transaction, &nobody).unwrap_err();
    assert!(matches!(failed, DeployFailure::Reverted { .. }), "{failed}");
}

#[test]
fn an_app_that_a_safe_makes_for_itself_names_the_safe_as_its_deployer() {
    let world = World::with(WorldOptions {
        safe: Some(SafeOptions {
            release: 1,
            l2: false,
            threshold: 2,
            owners: 3,
        }),
        ..WorldOptions::default()
    });
    let safe = world.safe.unwrap();
    let new = new_app(safe);
    let call = new.call(world.kms, FactoryForm::Six).unwrap();
    let rpc = world.rpc();
    rpc.call("anvil_impersonateAccount", json!([safe]));
    rpc.call("anvil_setBalance", json!([safe, "0xde0b6b3a7640000"]));
    let transaction = rpc.send(safe, Some(call.to), &call.data);
    rpc.mined(transaction);
    let deployed = proof(&world, transaction, &new).unwrap();
    assert_eq!(deployed.deployer, Some(safe));
    assert_eq!(rpc.read(deployed.app, &abi::ownerCall {}), safe);
}
